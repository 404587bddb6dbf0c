// SPDX-License-Identifier: Apache-2.0
// Watch: a snapshot, an end marker, then changes in the order in which they were made. Readers share the immutable
// objects; one that falls behind by more than a bound is ended with RESOURCE_EXHAUSTED and may begin again.
import type { Event } from '../generated/fulcrum/v1/Event.js';
import type { WatchResponse } from '../generated/fulcrum/v1/WatchResponse.js';
import { FulcrumError } from '../grpc/errors.js';
import { markRulesMessage, revisionText, virtualServiceMessage } from './messages.js';
import type { Model, Touched } from './model.js';
import type { Service } from './nouns.js';
import { vipsOf } from './vips.js';

/** Services and servers that a reader may be behind: what its queue holds back from the garbage collector. */
const defaultQueueBound = 500_000;

/** Makes the message when the reader is ready for it. */
interface Change {
  readonly message: () => WatchResponse;
  readonly weight: number;
}

interface Reader {
  queue: Change[];
  /** Index of the next change in the queue. */
  next: number;
  /** Of the changes not read yet. */
  weight: number;
  overflown: boolean;
  wake: () => void;
}

export class Broadcaster {
  readonly #lineage: string;
  readonly #queueBound: number;
  readonly #readers = new Set<Reader>();

  constructor(lineage: string, queueBound: number = defaultQueueBound) {
    this.#lineage = lineage;
    this.#queueBound = queueBound;
  }

  /** Tells readers what a group of edits changed. */
  publishEdit(before: Model, after: Model, touched: Touched): void {
    if (this.#readers.size > 0) this.#push(changes(before, after, touched, this.#lineage));
  }

  /** Tells readers what happened. */
  publishEvent(happened: Event, model: Model): void {
    const revision = revisionText(this.#lineage, model.revision);
    this.#push([{ message: () => ({ revision, happened }), weight: 1 }]);
  }

  /** Begins with a model, then goes on with everything published after this call, until the signal aborts. */
  watch(model: Model, signal: AbortSignal): AsyncIterable<WatchResponse> {
    const reader: Reader = { queue: [], next: 0, weight: 0, overflown: false, wake: () => {} };
    this.#readers.add(reader);
    const leave = () => {
      this.#readers.delete(reader);
      reader.wake();
    };
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
    return this.#read(reader, model, signal);
  }

  #push(news: readonly Change[]): void {
    const weight = news.reduce((sum, change) => sum + change.weight, 0);
    for (const reader of this.#readers) {
      // However large a change is, a reader that had caught up gets it.
      if (reader.weight > 0 && reader.weight + weight > this.#queueBound) {
        reader.overflown = true;
        reader.queue = [];
        this.#readers.delete(reader);
      } else {
        reader.weight += weight;
        for (const change of news) reader.queue.push(change);
      }
      reader.wake();
    }
  }

  async *#read(reader: Reader, model: Model, signal: AbortSignal): AsyncGenerator<WatchResponse> {
    try {
      yield* snapshot(model, this.#lineage);
      while (!signal.aborted) {
        if (reader.overflown) throw tooSlow();
        const change = takeNext(reader);
        if (change === undefined) await new Promise<void>((wake) => this.#sleep(reader, signal, wake));
        else yield change.message();
      }
    } finally {
      this.#readers.delete(reader);
    }
  }

  #sleep(reader: Reader, signal: AbortSignal, wake: () => void): void {
    reader.wake = wake;
    if (signal.aborted || reader.overflown) wake();
  }
}

function takeNext(reader: Reader): Change | undefined {
  const change = reader.queue[reader.next];
  if (change === undefined) {
    reader.queue = [];
    reader.next = 0;
    return undefined;
  }
  reader.next++;
  reader.weight -= change.weight;
  return change;
}

function tooSlow(): FulcrumError {
  const message = 'the reader is too slow: changes it has not read have been given up; watch again for a new snapshot';
  return new FulcrumError({ code: 'RESOURCE_EXHAUSTED', message });
}

function* snapshot(model: Model, lineage: string): Generator<WatchResponse> {
  const revision = revisionText(lineage, model.revision);
  for (const service of model.services.values()) yield { revision, service: virtualServiceMessage(service, lineage) };
  for (const vip of vipsOf(model).values()) yield { revision, vip };
  yield { revision, timeouts: model.timeouts };
  yield { revision, tunables: model.tunables };
  yield { revision, markRules: markRulesMessage(model) ?? {} };
  for (const prefixList of model.prefixLists.values()) yield { revision, prefixList };
  yield { revision, endOfSnapshot: {} };
}

function changes(before: Model, after: Model, touched: Touched, lineage: string): Change[] {
  const revision = revisionText(lineage, after.revision);
  const result: Change[] = [];
  for (const id of touched.services) {
    const service = after.services.get(id);
    const gone = before.services.get(id);
    if (service !== undefined) result.push(serviceChanged(service, revision, lineage));
    else if (gone !== undefined) {
      result.push({ message: () => ({ revision, serviceRemoved: { key: gone.key } }), weight: 1 });
    }
  }
  result.push(...vipChanges(before, after, touched.vips, revision));
  if (touched.timeouts) result.push({ message: () => ({ revision, timeouts: after.timeouts }), weight: 1 });
  if (touched.tunables) result.push({ message: () => ({ revision, tunables: after.tunables }), weight: 1 });
  if (touched.markRules)
    result.push({ message: () => ({ revision, markRules: markRulesMessage(after) ?? {} }), weight: 1 });
  for (const name of touched.prefixLists) {
    const prefixList = after.prefixLists.get(name);
    const message = prefixList ? { revision, prefixList } : { revision, prefixListRemoved: name };
    result.push({ message: () => message, weight: 1 });
  }
  return result;
}

function serviceChanged(service: Service, revision: string, lineage: string): Change {
  const message = () => ({ revision, service: virtualServiceMessage(service, lineage) });
  return { message, weight: 1 + service.servers.size };
}

/** What was touched, and what is there or not there any more because of it: a range takes the addresses in it along. */
function vipChanges(before: Model, after: Model, touched: ReadonlySet<string>, revision: string): Change[] {
  if (touched.size === 0) return [];
  const [old, now] = [vipsOf(before), vipsOf(after)];
  const result: Change[] = [];
  for (const [address, vip] of now) {
    const isSame = !touched.has(address) && old.get(address)?.services === vip.services;
    if (!isSame) result.push({ message: () => ({ revision, vip }), weight: 1 });
  }
  for (const address of old.keys()) {
    if (!now.has(address)) result.push({ message: () => ({ revision, vipRemoved: { address } }), weight: 1 });
  }
  return result;
}
