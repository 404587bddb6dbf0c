// SPDX-License-Identifier: Apache-2.0
// The page's connection to the manager: opened, listened to for signs of life, opened again. Read by fetch, because that
// can show a token where one is needed; the token is kept for this tab only.
import { EventParser } from './event_parser.js';
import type { Update } from './view.js';

export type StreamState =
  | { readonly kind: 'connecting' }
  | { readonly kind: 'live' }
  /** The manager does not answer; `at`: when it is asked again. */
  | { readonly kind: 'lost'; readonly reason: string; readonly at: number }
  /** It wants a token; `wasGiven`: another one than this. */
  | { readonly kind: 'refused'; readonly wasGiven: boolean };

export interface StreamListener {
  /** `isFirst`: of a stream, and so everything there is. */
  readonly update: (update: Update, isFirst: boolean) => void;
  readonly state: (state: StreamState) => void;
}

/** The manager says something every second. */
const silenceMs = 4_000;
const firstRetryMs = 500;
const longestRetryMs = 5_000;
const tokenName = 'fulcrum-token';

class Refused extends Error {}

export function keepToken(token: string): void {
  sessionStorage.setItem(tokenName, token);
}

export class Stream {
  readonly #path: string;
  readonly #listener: StreamListener;
  readonly #closed = new AbortController();
  #failures = 0;

  constructor(path: string, listener: StreamListener) {
    this.#path = path;
    this.#listener = listener;
    void this.#run();
  }

  close(): void {
    this.#closed.abort();
  }

  async #run(): Promise<void> {
    const { signal } = this.#closed;
    this.#listener.state({ kind: 'connecting' });
    while (!signal.aborted) {
      let reason = 'the connection ended';
      try {
        await this.#once();
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Refused) {
          this.#listener.state({ kind: 'refused', wasGiven: sessionStorage.getItem(tokenName) !== null });
          return;
        }
        reason = error instanceof Error ? error.message : String(error);
      }
      if (signal.aborted) return;
      const ms = Math.min(firstRetryMs * 2 ** this.#failures++, longestRetryMs);
      this.#listener.state({ kind: 'lost', reason, at: Date.now() + ms });
      await pause(ms, signal);
    }
  }

  async #once(): Promise<void> {
    const silence = new AbortController();
    const signal = AbortSignal.any([this.#closed.signal, silence.signal]);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const alive = (): void => {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(new Error(`nothing was heard for ${silenceMs / 1000} s`)), silenceMs);
    };
    try {
      alive();
      await this.#read(signal, alive);
    } finally {
      clearTimeout(timer);
    }
  }

  async #read(signal: AbortSignal, alive: () => void): Promise<void> {
    const body = await open(this.#path, signal);
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new EventParser();
    let isFirst = true;
    for (;;) {
      const { value, done } = await reader.read();
      if (done || this.#closed.signal.aborted) return;
      alive();
      for (const { event, data } of parser.push(value)) {
        if (event !== 'update') continue;
        this.#failures = 0;
        if (isFirst) this.#listener.state({ kind: 'live' });
        this.#listener.update(JSON.parse(data) as Update, isFirst);
        isFirst = false;
      }
    }
  }
}

async function open(path: string, signal: AbortSignal): Promise<ReadableStream<BufferSource>> {
  const token = sessionStorage.getItem(tokenName);
  const headers = { accept: 'text/event-stream', ...(token !== null && { authorization: `Bearer ${token}` }) };
  const answer = await fetch(path, { headers, signal, cache: 'no-store' });
  if (answer.status === 401) throw new Refused();
  if (!answer.ok || answer.body === null) throw new Error((await answer.text()).trim() || `HTTP ${answer.status}`);
  return answer.body as ReadableStream<BufferSource>;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
