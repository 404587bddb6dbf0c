// SPDX-License-Identifier: Apache-2.0
// Regular expressions of Perl and PCRE as JavaScript's: what is written otherwise is rewritten, and what would silently
// mean something else is refused.
import { checkRegex } from '../config/health_check.js';
import { KeyError } from '../config/keys.js';

const classes: ReadonlyMap<string, string> = new Map([
  ['alpha', 'a-zA-Z'],
  ['digit', '0-9'],
  ['alnum', 'a-zA-Z0-9'],
  ['upper', 'A-Z'],
  ['lower', 'a-z'],
  ['xdigit', '0-9a-fA-F'],
  ['space', '\\s'],
  ['word', '\\w'],
  ['blank', ' \\t'],
]);

/** Read by JavaScript without complaint, as something else: \Q…\E, \K, \R, \G, \h, \H, \X, \e, \a. */
const misread = /(?:^|[^\\])(?:\\\\)*(\\[QEKRGhHXNea])/;

/** The source of a JavaScript expression with the same meaning. Throws KeyError if there is none. */
export function javascriptRegex(source: string): string {
  const rewritten = source
    .replace(
      /\[:(\^?)(\w+):\]/g,
      (whole, negated: string, name: string) => (negated === '' && classes.get(name)) || whole,
    )
    .replace(/^\\A/, '^')
    .replace(/\\[zZ]$/, '$');
  const [, unknown] = misread.exec(rewritten) ?? [];
  if (unknown !== undefined) throw new KeyError(`"${source}" uses ${unknown}, which JavaScript does not have`);
  if (/(?:^|[^\\])\\[AzZ]/.test(rewritten)) throw new KeyError(`"${source}" has \\A, \\z or \\Z in its middle`);
  if (/\[:\^?\w+:\]/.test(rewritten)) throw new KeyError(`"${source}" has a class that JavaScript does not have`);
  return checkRegex(rewritten);
}
