// SPDX-License-Identifier: Apache-2.0
// Configurations as they were, and who made them so. In memory as immutable models, which share what they have in common;
// on disk beside the state as segments, a configuration and the edits after it. It is no part of what is wanted: if it
// cannot be written, that is said, and everything else goes on.
import { readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { appendFile, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Operation } from '../../generated/fulcrum/v1/Operation.js';
import type { Logger } from '../../grpc/log.js';
import { storedCapabilities } from '../capabilities.js';
import { describeOperation } from '../director.js';
import { withAction } from '../journal.js';
import { applyOperations, type Model } from '../model.js';
import { parseState, type State, writeState } from '../state_file.js';

/** One configuration, and the edit that led to it. */
export interface Past {
  readonly model: Model;
  /** RFC 3339, UTC; empty of the oldest one, of which no more is known. */
  readonly time: string;
  readonly identity: string;
  readonly method: string;
  /** Some of its operations in words, and how many there were. */
  readonly changes: readonly string[];
  readonly count: number;
}

/** A line of a segment. */
interface Entry {
  readonly revision: number;
  readonly time: string;
  readonly identity: string;
  readonly method: string;
  readonly operations: readonly Operation[];
}

/** Edits of a segment, and its bytes, after which another one begins. Two are kept. */
const longestSegment = 100;
const largestSegment = 8 * 1024 * 1024;
const keptSegments = 2;
/** To write down more operations, and to carry them out again at a start, takes too long: what was before such an edit is known until the manager ends. */
const largestEdit = 2_000;
/** Of an edit's operations so many are told. */
const toldOperations = 20;

const segmentName = /^history-(\d+)\.jsonl?$/;

export interface HistoryOptions {
  readonly directory: string;
  readonly log: Logger;
}

export class History {
  readonly #directory: string;
  readonly #log: Logger;
  /** In the order in which they were in force. */
  #past: Past[] = [];
  #segment = { base: 0, records: 0, bytes: 0 };
  #written: Promise<void> = Promise.resolve();
  #complained = false;

  private constructor({ directory, log }: HistoryOptions) {
    this.#directory = directory;
    this.#log = log;
  }

  /** What is known of how the state came about; without anything that fits it begins now. */
  static open(options: HistoryOptions, current: State): History {
    const history = new History(options);
    try {
      history.#load(current);
    } catch (error) {
      options.log.warn({ err: error }, 'the history cannot be read: it begins anew');
      history.#past = [];
    }
    if (history.#past.at(-1)?.model.revision !== current.model.revision) history.#begin(current);
    else history.#past[history.#past.length - 1] = { ...(history.#past.at(-1) as Past), model: current.model };
    return history;
  }

  /** Newest first. */
  list(): readonly Past[] {
    return this.#past.toReversed();
  }

  at(revision: number): Past | undefined {
    return this.#past.find(({ model }) => model.revision === revision);
  }

  /** An edit that has been made. */
  add(after: State, edit: Omit<Entry, 'revision'>): void {
    const { revision } = after.model;
    this.#past.push(pastOf(after.model, edit));
    const kept = keptSegments * longestSegment;
    if (this.#past.length > kept) this.#past = this.#past.slice(-kept);
    if (edit.operations.length > largestEdit) this.#beginSegment(after);
    else this.#append(after, { revision, ...edit });
  }

  #append(after: State, record: Entry): void {
    const line = `${JSON.stringify(record)}\n`;
    this.#segment.records++;
    this.#segment.bytes += line.length;
    const { base } = this.#segment;
    this.#write(() => appendFile(this.#path(base, 'jsonl'), line, { mode: 0o600 }));
    if (this.#segment.records >= longestSegment || this.#segment.bytes >= largestSegment) this.#beginSegment(after);
  }

  /** Resolves when all that was added is written. */
  async settle(): Promise<void> {
    await this.#written;
  }

  #begin(current: State): void {
    this.#past = [oldest(current.model)];
    this.#remove(this.#segments());
    this.#beginSegment(current);
  }

  #beginSegment(state: State): void {
    const base = state.model.revision;
    this.#segment = { base, records: 0, bytes: 0 };
    this.#write(async () => {
      const file = await open(this.#path(base, 'json'), 'w', 0o600);
      try {
        await writeState(file, state);
      } finally {
        await file.close();
      }
      await appendFile(this.#path(base, 'jsonl'), '', { mode: 0o600 });
      this.#remove(this.#segments().slice(0, -keptSegments));
    });
  }

  #write(work: () => Promise<void>): void {
    this.#written = this.#written.then(work).catch((error: unknown) => {
      if (!this.#complained) this.#log.warn({ err: error }, 'the history cannot be written');
      this.#complained = true;
    });
  }

  #path(base: number, kind: 'json' | 'jsonl'): string {
    return join(this.#directory, `history-${base}.${kind}`);
  }

  /** Their numbers, the oldest first. */
  #segments(): readonly number[] {
    const numbers = readdirSync(this.#directory).flatMap((name) => segmentName.exec(name)?.[1] ?? []);
    return [...new Set(numbers.map(Number))].toSorted((one, other) => one - other);
  }

  #remove(segments: readonly number[]): void {
    for (const base of segments)
      for (const kind of ['json', 'jsonl'] as const) rmSync(this.#path(base, kind), { force: true });
  }

  #load(current: State): void {
    for (const base of this.#segments()) {
      const begun = this.#readBase(base, current.lineage);
      if (this.#past.at(-1)?.model.revision !== base) this.#past = begun === undefined ? [] : [oldest(begun)];
      this.#segment = { base, records: 0, bytes: 0 };
      if (this.#past.length > 0) this.#replay(wholeLines(this.#path(base, 'jsonl')));
    }
  }

  /** One that was not written to its end is no loss if the segment before it leads there. */
  #readBase(base: number, lineage: string): Model | undefined {
    try {
      const state = parseState(readFileSync(this.#path(base, 'json')));
      return state.lineage === lineage && state.model.revision === base ? state.model : undefined;
    } catch {
      return undefined;
    }
  }

  #replay(text: string): void {
    for (const line of text.split('\n').slice(0, -1)) {
      const record = JSON.parse(line) as Entry;
      const before = this.#past.at(-1)?.model as Model;
      const operations = record.operations.map(withAction);
      const { model } = applyOperations(before, operations, 'APPLY_MODE_ATOMIC', storedCapabilities);
      if (model.revision !== record.revision) throw new Error(`revision ${record.revision} does not follow`);
      this.#past.push(pastOf(model, record));
      this.#segment.records++;
      this.#segment.bytes += line.length;
    }
  }
}

/** What follows the last newline was being written when the machine stopped: it is taken away. */
function wholeLines(path: string): string {
  const bytes = readFileSync(path);
  const end = bytes.lastIndexOf('\n') + 1;
  if (end < bytes.length) truncateSync(path, end);
  return bytes.subarray(0, end).toString();
}

function oldest(model: Model): Past {
  return { model, time: '', identity: '', method: '', changes: [], count: 0 };
}

function pastOf(model: Model, { time, identity, method, operations }: Omit<Entry, 'revision'>): Past {
  const changes = operations.slice(0, toldOperations).map(describeOperation);
  return { model, time, identity, method, changes, count: operations.length };
}
