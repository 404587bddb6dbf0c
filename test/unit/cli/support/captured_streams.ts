// SPDX-License-Identifier: Apache-2.0
// Standard input from a text, standard output and error into texts.
import type { Streams } from '../../../../src/cli/streams.js';

export interface CapturedStreams extends Streams {
  readonly output: () => string;
  readonly complaints: () => string;
  /** Largest text that was written at once, in characters. */
  readonly largestWrite: () => number;
}

export function capturedStreams(input: string | readonly string[] = '', inputIsTerminal = false): CapturedStreams {
  const written: string[] = [];
  const complained: string[] = [];
  const pieces = typeof input === 'string' ? [input] : input;
  return {
    write: async (text) => {
      written.push(text);
    },
    complain: (line) => complained.push(`${line}\n`),
    input: async function* () {
      yield* pieces;
    },
    inputIsTerminal,
    output: () => written.join(''),
    complaints: () => complained.join(''),
    largestWrite: () => Math.max(0, ...written.map((text) => text.length)),
  };
}
