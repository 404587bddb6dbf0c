// SPDX-License-Identifier: Apache-2.0
// One open page: what it wants to see, and what it has been sent of that.
import type { ServerResponse } from 'node:http';
import type { Frame, Section } from './frame.js';
import type { Parameters } from './parameters.js';
import { comment, message, retry } from './server_sent_events.js';

/** After a stream has ended its page is to come back in so many milliseconds. */
const retryMs = 1_000;

export class Viewer {
  readonly parameters: Parameters;
  readonly #response: ServerResponse;
  readonly #mostBytes: number;
  readonly #sent = new Map<Section, string>();
  /** Up to which it has what is plotted; undefined: nothing yet. */
  #second: number | undefined;

  constructor(parameters: Parameters, response: ServerResponse, mostBytes: number) {
    this.parameters = parameters;
    this.#response = response;
    this.#mostBytes = mostBytes;
    response.write(retry(retryMs));
  }

  /** Sends what is new. False: it has not read what it was sent before, and its stream is at an end. */
  tell(frame: Frame): boolean {
    const parts = [...this.#changed(frame), ...this.#plotted(frame)];
    // That nothing is new is told as well: without a word the page takes the manager for lost.
    this.#response.write(parts.length === 0 ? comment('nothing new') : message('update', `{${parts.join(',')}}`));
    if (this.#response.writableLength <= this.#mostBytes) return true;
    this.#response.destroy();
    return false;
  }

  end(): void {
    this.#response.end();
  }

  *#changed(frame: Frame): Generator<string> {
    for (const [name, text] of frame.sections(this.parameters)) {
      if (this.#sent.get(name) === text) continue;
      this.#sent.set(name, text);
      yield `"${name}":${text}`;
    }
  }

  *#plotted(frame: Frame): Generator<string> {
    const point = frame.point(this.parameters);
    if (this.#second === undefined) {
      const plots = frame.plots(this.parameters);
      if (plots === undefined) return;
      this.#second = point?.second ?? 0;
      yield `"plots":${plots}`;
    } else if (point !== undefined && point.second > this.#second) {
      this.#second = point.second;
      yield `"point":${point.text}`;
    }
  }
}
