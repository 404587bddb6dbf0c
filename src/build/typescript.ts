// SPDX-License-Identifier: Apache-2.0
// The TypeScript compiler: src/ and test/ into dist/; and the status page, whose code is the browser's, into dist/src/web.

import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { binary, filesBelow, root, runIfMain, type Step, tool } from './step.js';

/** What was compiled of a source that is gone; a test among it would go on being run. */
function removeOrphans(): void {
  const isCompiled = (path: string): boolean => /^dist\/(src|test)\/.*\.js$/.test(relative(root, path));
  for (const file of existsSync(join(root, 'dist')) ? filesBelow('dist', isCompiled) : [])
    if (!existsSync(join(root, relative(join(root, 'dist'), file).replace(/\.js$/, '.ts')))) rmSync(file);
}

const isSource = (path: string): boolean => path.endsWith('.ts');
const isPageFile = (path: string): boolean => /\.(html|css|svg)$/.test(path);

export function typescriptSteps(): readonly Step[] {
  const compiler = join(root, 'node_modules/typescript/package.json');
  const configuration = join(root, 'tsconfig.json');
  const main: Step = {
    name: 'typescript: compile',
    stamp: join(root, 'dist/.typescript-stamp'),
    inputs: [...filesBelow('src', isSource), ...filesBelow('test', isSource), configuration, compiler],
    run: async () => {
      removeOrphans();
      await tool([binary('tsc'), '-p', root]);
    },
  };
  const page: Step = {
    name: 'typescript: status page',
    stamp: join(root, 'dist/src/web/.stamp'),
    inputs: [
      ...filesBelow('src/web', isSource),
      ...filesBelow('src/web', isPageFile),
      join(root, 'src/web/tsconfig.json'),
      configuration,
      compiler,
      join(root, 'node_modules/uplot/package.json'),
    ],
    run: buildPage,
  };
  return [main, page];
}

async function buildPage(): Promise<void> {
  const output = join(root, 'dist/src/web');
  await tool([binary('tsc'), '-p', join(root, 'src/web')]);
  mkdirSync(output, { recursive: true });
  for (const file of filesBelow('src/web', isPageFile)) copyFileSync(file, join(output, basename(file)));
}

await runIfMain(import.meta.url, async () => typescriptSteps());
