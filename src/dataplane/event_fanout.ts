// SPDX-License-Identifier: Apache-2.0
// Gives every reader of WatchEvents each event once, in order. A reader has a queue of bounded length; what does not fit
// is lost for that reader, who is told how many before the next event. Events stay serialized.

/** Events a reader may be behind. */
const queueLength = 1024;

/** Tag of WatchEventsResponse.lost: field 2, varint. */
const lostTag = 0x10;

/** Serialized WatchEventsResponse with only `lost` set. Appended to another one it sets lost there. */
export function serializeLost(lost: number): Buffer {
  const bytes = [lostTag];
  let rest = lost;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}

interface Reader {
  readonly queue: Uint8Array[];
  lost: number;
  wake: () => void;
}

export class EventFanout {
  readonly #readers = new Set<Reader>();
  #ended = false;

  publish(event: Uint8Array): void {
    for (const reader of this.#readers) {
      if (reader.queue.length < queueLength) reader.queue.push(event);
      else reader.lost++;
      reader.wake();
    }
  }

  /** Lets readers have what is queued for them, and ends. */
  end(): void {
    this.#ended = true;
    for (const reader of this.#readers) reader.wake();
  }

  /** Events from now on, until the signal aborts or end() is called. Reading begins at the call, not at the first next(). */
  subscribe(signal: AbortSignal): AsyncIterable<Uint8Array> {
    const reader: Reader = { queue: [], lost: 0, wake: () => {} };
    this.#readers.add(reader);
    signal.addEventListener('abort', () => {
      this.#readers.delete(reader);
      reader.wake();
    });
    return this.#read(reader, signal);
  }

  async *#read(reader: Reader, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    while (!signal.aborted) {
      const event = reader.queue.shift();
      if (event !== undefined) yield event;
      else if (reader.lost > 0) {
        const lost = reader.lost;
        reader.lost = 0;
        yield serializeLost(lost);
      } else if (this.#ended) return;
      else {
        await new Promise<void>((wake) => {
          reader.wake = wake;
          if (signal.aborted || this.#ended) wake();
        });
      }
    }
  }
}
