// SPDX-License-Identifier: Apache-2.0
// Server-sent events as they are read (HTML standard, section 9.2.6): text in pieces as the network brings it, events as
// they become whole. The browser's own EventSource could not show a token.

export interface ServerSentEvent {
  readonly event: string;
  readonly data: string;
}

export class EventParser {
  #rest = '';
  #event = '';
  #data: string[] = [];
  #retryMs: number | undefined;
  #endsWithReturn = false;

  /** What the server last said of how long to wait before asking again. */
  get retryMs(): number | undefined {
    return this.#retryMs;
  }

  /** Events that this piece makes whole. */
  push(piece: string): readonly ServerSentEvent[] {
    // A line feed at the begin may be the other half of a line's end.
    const text = this.#endsWithReturn && piece.startsWith('\n') ? piece.slice(1) : piece;
    if (piece !== '') this.#endsWithReturn = piece.endsWith('\r');
    const lines = (this.#rest + text).split(/\r\n|\r|\n/);
    this.#rest = lines.pop() ?? '';
    return lines.flatMap((line) => this.#line(line) ?? []);
  }

  #line(line: string): ServerSentEvent | undefined {
    if (line === '') return this.#dispatch();
    const [, field = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (field === 'event') this.#event = value;
    else if (field === 'data') this.#data.push(value);
    else if (field === 'retry' && /^\d+$/.test(value)) this.#retryMs = Number(value);
    return undefined;
  }

  #dispatch(): ServerSentEvent | undefined {
    const [event, data] = [this.#event || 'message', this.#data];
    this.#event = '';
    this.#data = [];
    return data.length === 0 ? undefined : { event, data: data.join('\n') };
  }
}
