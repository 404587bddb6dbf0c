// SPDX-License-Identifier: Apache-2.0
// Regular expressions of checks: RE2's. A match takes a time that grows with the text and with the expression, and with
// nothing else; so much of a text is searched as fits the time that a check may take of the process that makes them all.
import { RE2JS, RE2JSSyntaxException } from 're2js';
import { KeyError } from './keys.js';

/** Of any text. */
const mostSearched = 262_144;
/** Instructions of the compiled expression times bytes: at some 10 ns for the two, a tenth of a second at the worst. */
const mostWork = 32 * mostSearched;
/** Leaves a KiB that is searched. */
const mostInstructions = mostWork / 1024;

export interface Regex {
  /** Bytes of a text that test() looks at, as if the text had no more. */
  readonly searchedBytes: number;
  /** The text as UTF-8. */
  readonly test: (text: Uint8Array) => boolean;
}

/** Throws KeyError, which quotes what was written where that is another text. */
export function compileRegex(source: string, written: string = source): Regex {
  const compiled = parse(source, written);
  const instructions = compiled.programSize();
  if (instructions > mostInstructions) {
    throw new KeyError(
      `"${written}" is too large: it takes ${instructions} instructions, of which there may be ${mostInstructions}`,
    );
  }
  const searchedBytes = Math.min(mostSearched, Math.floor(mostWork / instructions));
  return { searchedBytes, test: (text) => compiled.test(text.subarray(0, searchedBytes)) };
}

function parse(source: string, written: string): RE2JS {
  try {
    return RE2JS.compile(source);
  } catch (error) {
    if (!(error instanceof RE2JSSyntaxException)) throw error;
    const piece = error.getPattern() ?? source;
    const where = piece === source ? '' : `: ${piece}`;
    throw new KeyError(`"${written}" is not a regular expression of RE2: ${error.getDescription()}${where}`);
  }
}
