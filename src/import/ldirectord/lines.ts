// SPDX-License-Identifier: Apache-2.0
// The grammar of an ldirectord.cf: "key = value" lines; indented ones belong to the "virtual" above them.
import { readTextFile } from '../files.js';
import { type Place, syntaxError } from '../source.js';

export interface Directive {
  readonly key: string;
  readonly value: string;
  readonly place: Place;
}

export interface Virtual extends Directive {
  readonly directives: readonly Directive[];
}

export interface LdirectordFile {
  readonly globals: readonly Directive[];
  readonly virtuals: readonly Virtual[];
}

export function readDirectives(file: string): LdirectordFile {
  const globals: Directive[] = [];
  const virtuals: (Directive & { readonly directives: Directive[] })[] = [];
  for (const [index, raw] of readTextFile(file).split(/\r?\n/).entries()) {
    const text = withoutComment(raw).trimEnd();
    if (text === '') continue;
    const column = (/\S/.exec(text)?.index ?? 0) + 1;
    const place = { file, line: index + 1, column };
    const directive = directiveOf(text, place);
    if (column === 1 && directive.key === 'virtual') virtuals.push({ ...directive, directives: [] });
    else if (column === 1) globals.push(directive);
    else if (virtuals.length > 0) virtuals.at(-1)?.directives.push(directive);
    else throw syntaxError(place, 'an indented line needs a "virtual" above it');
  }
  return { globals, virtuals };
}

function directiveOf(text: string, place: Place): Directive {
  const [, key, value = ''] = /^\s*([A-Za-z][\w-]*)\s*=\s*(.*)$/.exec(text) ?? [];
  // "supervised" may stand alone.
  const [bare] = /^\s*[a-z]+$/.exec(text) ?? [];
  if (key === undefined && bare === undefined) throw syntaxError(place, 'this is not "key = value"');
  return { key: (key ?? bare ?? '').trim().toLowerCase(), value: key === undefined ? 'yes' : value, place };
}

/** A "#" begins a comment, but not within quotes. */
function withoutComment(raw: string): string {
  const [kept = ''] = /^(?:"(?:\\"|[^"])*"|[^#"]|"(?=[^"]*$))*/.exec(raw) ?? [];
  return kept;
}

/** A value that may stand in quotes. */
export function unquoted(value: string): string {
  const [, inner] = /^"(.*)"$/.exec(value) ?? /^'(.*)'$/.exec(value) ?? [];
  return inner ?? value;
}
