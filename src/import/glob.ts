// SPDX-License-Identifier: Apache-2.0
// Files that match a pattern as a shell has it: * ? [a-z] {a,b}, in alphabetical order.
import { readdirSync, statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';

/** Relative patterns begin at the directory; what is found is named the same way. */
export function matchingFiles(pattern: string, directory: string): readonly string[] {
  return alternatives(pattern).flatMap((one) => {
    const start = isAbsolute(one) ? '/' : directory;
    const parts = one.split('/').filter((part) => part !== '' && part !== '.');
    return parts.reduce<readonly string[]>(matchesBelow, [start]).filter(isFile);
  });
}

function matchesBelow(directories: readonly string[], part: string): readonly string[] {
  if (!/[*?[]/.test(part)) return directories.map((directory) => join(directory, part));
  const form = expressionOf(part);
  return directories.flatMap((directory) =>
    namesIn(directory)
      .filter((name) => form.test(name) && name.startsWith('.') === part.startsWith('.'))
      .map((name) => join(directory, name)),
  );
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return [];
  }
}

function isFile(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
}

function expressionOf(part: string): RegExp {
  const source = part.replace(/\[!?[^\]]+\]|[*?]|[.+^${}()|\\[\]]/g, (piece) => {
    if (piece === '*') return '.*';
    if (piece === '?') return '.';
    if (piece.length > 1) return piece.replace('[!', '[^').replaceAll('\\', '\\\\');
    return `\\${piece}`;
  });
  return new RegExp(`^${source}$`);
}

/** "{a,b}.conf": one pattern for each. */
function alternatives(pattern: string): readonly string[] {
  const [, before = '', choices, after = ''] = /^(.*?)\{([^{}]*)\}(.*)$/.exec(pattern) ?? [];
  if (choices === undefined) return [pattern];
  return choices.split(',').flatMap((choice) => alternatives(`${before}${choice}${after}`));
}
