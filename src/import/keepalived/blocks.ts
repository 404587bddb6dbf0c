// SPDX-License-Identifier: Apache-2.0
// keepalived's grammar: statements of a keyword and its words, one a line, some with a block of statements in braces.
import { type Place, syntaxError } from '../source.js';
import { type Word, wordsOf } from '../words.js';
import type { Line } from './lines.js';

export interface Statement {
  readonly keyword: string;
  /** After the keyword. */
  readonly words: readonly Word[];
  readonly place: Place;
  /** What is in braces; undefined without them. */
  readonly body?: readonly Statement[];
}

interface Open {
  readonly keyword: string;
  readonly words: readonly Word[];
  readonly place: Place;
  body?: Open[];
}

export function parseBlocks(lines: readonly Line[]): readonly Statement[] {
  const root: Open[] = [];
  const blocks: Open[] = [];
  const current = (): Open[] => blocks.at(-1)?.body ?? root;
  for (const line of lines) {
    let words: Word[] = [];
    const finish = (): void => {
      const [first, ...rest] = words;
      if (first !== undefined) current().push({ keyword: first.text, words: rest, place: first.place });
      words = [];
    };
    for (const word of bracesApart(wordsOf(line.text, line.place))) {
      if (word.isQuoted || !/^[{}]$/.test(word.text)) words.push(word);
      else if (word.text === '{') {
        finish();
        openBlock(current(), blocks, word.place);
      } else {
        finish();
        if (blocks.pop() === undefined) throw syntaxError(word.place, '"}" closes nothing');
      }
    }
    finish();
  }
  const unclosed = blocks.at(-1);
  if (unclosed !== undefined)
    throw syntaxError(unclosed.place, `the block of "${unclosed.keyword}" is not closed: "}" is missing`);
  return root;
}

/** The block belongs to the statement before it, on the same line or on one above. */
function openBlock(siblings: readonly Open[], blocks: Open[], place: Place): void {
  const owner = siblings.at(-1);
  if (owner === undefined || owner.body !== undefined) throw syntaxError(place, '"{" has no keyword in front of it');
  owner.body = [];
  blocks.push(owner);
}

/** "global_defs{" is two words. */
function bracesApart(words: readonly Word[]): readonly Word[] {
  return words.flatMap((word, index) => {
    const isGlued = !word.isQuoted && word.text.length > 1 && word.text.endsWith('{') && index === words.length - 1;
    if (!isGlued) return [word];
    const column = word.place.column + word.text.length - 1;
    return [
      { ...word, text: word.text.slice(0, -1) },
      { ...word, text: '{', place: { ...word.place, column } },
    ];
  });
}
