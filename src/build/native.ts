// SPDX-License-Identifier: Apache-2.0
// The C++ engine, by node-gyp in dataplane/: the addon always, test, fuzz and bench binaries when they are asked for.

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { answer, binary, exists, filesBelow, root, runIfMain, type Step, tool } from './step.js';

export type Goal = 'test' | 'bench';

const directory = join(root, 'dataplane');

const targetsOf: Readonly<Record<Goal, readonly string[]>> = {
  test: ['dataplane_test', 'dataplane_fuzz'],
  bench: ['dataplane_bench'],
};

/** The headers of the running node where they are installed; otherwise node-gyp fetches them. */
function nodeHeaders(): readonly string[] {
  const prefix = dirname(dirname(process.execPath));
  return exists(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : [];
}

/** "  CXX(target) Release/obj.target/core/core/worker.o" → "native: core/worker.o"; warnings and errors as they are. */
function progress(line: string): string | null {
  const compiled = /^\s*(?:CXX|CC)\(target\) \S*?\/obj\.target\/[^/]+\/(\S+)\.o$/.exec(line);
  if (compiled) return `native: ${compiled[1]}`;
  const linked = /^\s*(?:AR|LINK|SOLINK_MODULE)\(target\) (\S+)$/.exec(line);
  if (linked) return `native: linking ${linked[1]?.split('/').at(-1)}`;
  return /(warning|error):/.test(line) ? line : null;
}

const isSource = (path: string): boolean =>
  /\.(cc|h|gyp|gypi|inc)$/.test(path) && !path.startsWith('dataplane/build/') && !path.includes('/test/data/');

export async function nativeSteps(goals: ReadonlySet<Goal>): Promise<readonly Step[]> {
  const gyp = join(directory, 'binding.gyp');
  const toolchain = [
    process.version,
    process.arch,
    await answer('pkg-config', '--modversion', 'libdpdk'),
    await answer('pkg-config', '--modversion', 'protobuf'),
    await answer('g++', '-dumpfullversion'),
  ];
  const sources = filesBelow('dataplane', isSource);
  const defined = readFileSync(gyp, 'utf8');
  const wanted = [...goals].flatMap((goal) => targetsOf[goal]).filter((target) => defined.includes(`'${target}'`));
  const make = (target: string): Step => ({
    name: `native: ${target}`,
    stamp: join(directory, `build/.${target}-stamp`),
    inputs: sources,
    facts: toolchain,
    run: () =>
      tool([binary('node-gyp'), 'build', `--jobs=${availableParallelism()}`, '--loglevel=error', target], {
        cwd: directory,
        show: progress,
      }),
  });
  return [
    {
      name: 'native: configure',
      stamp: join(directory, 'build/.configure-stamp'),
      inputs: [
        gyp,
        join(root, 'node_modules/node-gyp/package.json'),
        join(root, 'node_modules/node-addon-api/package.json'),
      ],
      facts: toolchain,
      run: () =>
        tool([binary('node-gyp'), 'configure', '--loglevel=error', ...nodeHeaders()], {
          cwd: directory,
          show: progress,
        }),
    },
    ...['dataplane', ...wanted].map(make),
  ];
}

await runIfMain(import.meta.url, () => nativeSteps(new Set(['test', 'bench'])));
