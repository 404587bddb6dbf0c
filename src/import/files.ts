// SPDX-License-Identifier: Apache-2.0
// Reading the files of an import; a file that cannot be read ends it.
import { readFileSync } from 'node:fs';

export class UnreadableFile extends Error {
  override readonly name = 'UnreadableFile';
}

export function readTextFile(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UnreadableFile(`${file}: ${code === 'ENOENT' ? 'no such file' : message}`);
  }
}
