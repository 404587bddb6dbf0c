// SPDX-License-Identifier: Apache-2.0
// The reference pages, written from what the programs themselves go by: docs/reference/configuration.md from the JSON
// Schema of the file, docs/reference/api.md from the comments of the protos. `npm run docs` writes them.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { apiReference } from './reference_api.js';
import { configurationReference } from './reference_configuration.js';
import { root, say } from './step.js';

/** Pages by path from the root of the checkout. */
export async function referencePages(): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ['docs/reference/configuration.md', configurationReference()],
    ['docs/reference/api.md', await apiReference()],
  ]);
}

async function writePages(): Promise<void> {
  for (const [path, text] of await referencePages()) {
    const file = join(root, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    say(path);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) await writePages();
