// SPDX-License-Identifier: Apache-2.0
// What may stand in a place of a command line, the same for every shell.
import type { ArgumentNode, CommandNode, OptionNode } from '../tree.js';

/** "files", "services", "servers" are looked up when they are asked for; otherwise the words themselves. */
export type Candidates = readonly string[] | 'files' | 'services' | 'servers';

/** Of an option's value. */
export function valuesOf({ value, choices }: OptionNode): Candidates {
  if (choices.length > 0) return choices;
  return /file|directory|path/.test(value) ? 'files' : [];
}

export function argumentValues({ name, choices }: ArgumentNode): Candidates {
  if (choices.length > 0) return choices;
  if (name === 'service' || name === 'server') return `${name}s`;
  return name === 'file' ? 'files' : [];
}

export const optionNames = ({ options }: CommandNode): readonly string[] =>
  options.flatMap(({ short, long }) => [short, long].filter((name) => name !== undefined));

/** "service add" */
export const keyOf = ({ path }: CommandNode): string => path.slice(1).join(' ');

/** On one line, and no longer than a list of candidates can show. */
export const brief = (text: string): string => text.replaceAll(/\s+/g, ' ').slice(0, 100);

export const inQuotes = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;
