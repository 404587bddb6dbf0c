// SPDX-License-Identifier: Apache-2.0
// The TypeScript compiler: src/ and test/ into dist/.

import { join } from 'node:path';
import { binary, filesBelow, root, type Step, tool } from './step.js';

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
      run: () => tool([binary('tsc'), '-p', root]),
    },
  ];
}
