// SPDX-License-Identifier: Apache-2.0
// Programs of the project for tests to start: from source where the test runs from source, else as they are built.
import { fileURLToPath } from 'node:url';

/** What node is given to run a module, named as an import in the file `from` (its import.meta.url) would name it. */
export function moduleArguments(from: string, specifier: string): string[] {
  const file = fileURLToPath(new URL(specifier, from));
  return from.endsWith('.ts') ? ['--import=tsx', file.replace(/\.js$/, '.ts')] : [file];
}
