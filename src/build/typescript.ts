// SPDX-License-Identifier: Apache-2.0
// The TypeScript compiler: src/ and test/ into dist/.

import { existsSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { binary, filesBelow, root, type Step, tool } from './step.js';

/** What was compiled of a source that is gone; a test among it would go on being run. */
function removeOrphans(): void {
  const isCompiled = (path: string): boolean => /^dist\/(src|test)\/.*\.js$/.test(relative(root, path));
  for (const file of existsSync(join(root, 'dist')) ? filesBelow('dist', isCompiled) : [])
    if (!existsSync(join(root, relative(join(root, 'dist'), file).replace(/\.js$/, '.ts')))) rmSync(file);
}

const isSource = (path: string): boolean => path.endsWith('.ts');

export function typescriptSteps(): readonly Step[] {
  return [
    {
      name: 'typescript: compile',
      stamp: join(root, 'dist/.typescript-stamp'),
      inputs: [
        ...filesBelow('src', isSource),
        ...filesBelow('test', isSource),
        join(root, 'tsconfig.json'),
        join(root, 'node_modules/typescript/package.json'),
      ],
      run: async () => {
        removeOrphans();
        await tool([binary('tsc'), '-p', root]);
      },
    },
  ];
}
