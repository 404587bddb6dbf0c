// SPDX-License-Identifier: Apache-2.0
// Regular expressions of Perl and PCRE as RE2's: what is written otherwise is rewritten, and what would mean something
// else is refused.
import { KeyError } from '../config/keys.js';
import { compileRegex } from '../config/regex.js';

/** regex_options of keepalived that RE2 has as letters. */
const letters: Readonly<Record<string, string>> = { caseless: 'i', multiline: 'm', dotall: 's', ungreedy: 'U' };

/** Those by which nothing else is found. */
const withoutEffect: readonly string[] = [
  'dupnames',
  'no_auto_capture',
  'no_auto_possess',
  'no_dotstar_anchor',
  'no_start_optimize',
  'utf',
];

/** Those that are seen to in another way. */
const rewritten: readonly string[] = ['anchored', 'dollar_endonly'];

export function isRegexOption(name: string): boolean {
  return name in letters || withoutEffect.includes(name) || rewritten.includes(name);
}

/** Quoted text, an escape, a class in brackets, or the one character that means something else. */
const pieces = /\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|\$/gs;

/** What RE2 does not have, or has as something else: \v is one character there. */
const escapes: ReadonlyMap<string, string> = new Map([
  ['\\h', '[ \\t]'],
  ['\\H', '[^ \\t]'],
  ['\\v', '[\\n\\x0b\\f\\r]'],
  ['\\V', '[^\\n\\x0b\\f\\r]'],
  ['\\R', '(?:\\r\\n|[\\n\\x0b\\f\\r])'],
  ['\\N', '[^\\n]'],
  ['\\Z', '\\n?\\z'],
]);

/** The expression of RE2 that finds the same. Throws KeyError if there is none. */
export function re2Regex(source: string, options: readonly string[] = []): string {
  const isMultiline = options.includes('multiline') || /\(\?[a-zA-Z]*m/.test(source);
  // Without other orders, $ is also before a newline at the end.
  const end = isMultiline || options.includes('dollar_endonly') ? '$' : '\\n?$';
  const body = source.replace(pieces, (piece) => {
    if (piece === '$') return end;
    if (piece.startsWith('[') && /\\[hHvVRN]/.test(piece))
      throw new KeyError(`"${source}" has ${piece}, which RE2 has not`);
    return escapes.get(piece) ?? piece;
  });
  const anchored = options.includes('anchored') ? `\\A(?:${body})` : body;
  const flags = options.map((option) => letters[option] ?? '').join('');
  const whole = flags === '' ? anchored : `(?${flags})${anchored}`;
  compileRegex(whole, source);
  return whole;
}
