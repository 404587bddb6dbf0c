// SPDX-License-Identifier: Apache-2.0
// The configuration file's JSON Schema as a file: dist/fulcrum.schema.json, for editors.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { directorSchema } from '../config/schema.js';
import { root, type Step } from './step.js';

export function schemaSteps(): readonly Step[] {
  const text = `${JSON.stringify(directorSchema, null, 2)}\n`;
  return [
    {
      name: 'config: JSON Schema',
      stamp: join(root, 'dist/.schema-stamp'),
      inputs: [],
      facts: [text],
      run: async () => {
        mkdirSync(join(root, 'dist'), { recursive: true });
        writeFileSync(join(root, 'dist/fulcrum.schema.json'), text);
      },
    },
  ];
}
