// SPDX-License-Identifier: Apache-2.0
// A line as words: blanks separate, double quotes keep blanks. And a command as a program with its arguments.
import { type Place, syntaxError } from './source.js';

export interface Word {
  readonly text: string;
  readonly isQuoted: boolean;
  readonly place: Place;
}

/** Words of one line; its place tells the column of its first character. */
export function wordsOf(text: string, place: Place): readonly Word[] {
  const words: Word[] = [];
  let at = 0;
  while (at < text.length) {
    const start = at + (/^\s*/.exec(text.slice(at))?.[0].length ?? 0);
    if (start >= text.length) break;
    const here = { ...place, column: place.column + start };
    const quoted = text[start] === '"';
    const match = (quoted ? /^"((?:\\"|[^"])*)"/ : /^[^\s]+/).exec(text.slice(start));
    if (match === null) throw syntaxError(here, 'a quote is not closed');
    words.push({ text: quoted ? (match[1] ?? '').replaceAll('\\"', '"') : match[0], isQuoted: quoted, place: here });
    at = start + match[0].length;
  }
  return words;
}

/** "/usr/bin/probe -a 'two words'" as an operator's shell would split it, without expanding anything. */
export function programOf(command: string): readonly string[] {
  const words = command.match(/(?:"[^"]*"|'[^']*'|\\.|[^\s"'\\])+/g) ?? [];
  return words.map((word) =>
    word.replace(/"([^"]*)"|'([^']*)'|\\(.)/g, (_, double, single, escaped) => double ?? single ?? escaped),
  );
}
