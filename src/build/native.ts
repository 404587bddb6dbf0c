// SPDX-License-Identifier: Apache-2.0
// The C++ engine, by node-gyp in dataplane/: the addon always, test, fuzz and bench programs when they are asked for.
// Fuzzing is done under sanitizers, so its program and the core below it are built apart, in build/Sanitized.

import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { answer, binary, exists, filesBelow, root, runIfMain, type Step, tool } from './step.js';

export type Goal = 'test' | 'bench';

const directory = join(root, 'dataplane');

interface Target {
  readonly name: string;
  readonly sanitized?: boolean;
}

const targetsOf: Readonly<Record<Goal, readonly Target[]>> = {
  test: [{ name: 'dataplane_test' }, { name: 'dataplane_fuzz', sanitized: true }],
  bench: [{ name: 'dataplane_bench' }],
};

/** Directory below dataplane/build where a target's program lies. */
export const outputOf = (target: Target): string => (target.sanitized ? 'Sanitized' : 'Release');

const sanitize = '-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer';

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

const noise = /^(gyp ERR!|\s+\w+\(target\)|\s+(COPY|TOUCH) |make: (Enter|Leav)ing|rm -f |ar crs )/;

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
  const wanted = [...goals].flatMap((goal) => targetsOf[goal]).filter((target) => defined.includes(`'${target.name}'`));
  const make = (target: Target): Step => ({
    name: `native: ${target.name}${target.sanitized ? ' under sanitizers' : ''}`,
    stamp: join(directory, `build/.${target.name}-stamp`),
    inputs: sources,
    facts: [...toolchain, sanitize],
    run: () =>
      tool(
        [
          binary('node-gyp'),
          'build',
          `--jobs=${availableParallelism()}`,
          '--loglevel=error',
          `builddir=./${outputOf(target)}`,
          target.name,
        ],
        {
          cwd: directory,
          show: progress,
          noise,
          // make's own flags come last on the compiler's line. Compiling would take longer than optimizing saves.
          environment: target.sanitized ? { CXXFLAGS: `${sanitize} -O0`, LDFLAGS: sanitize } : {},
        },
      ),
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
      // binding.gyp takes the sources by folder, when it is read.
      facts: [...toolchain, ...sources.map((path) => relative(directory, path))],
      run: () =>
        tool([binary('node-gyp'), 'configure', '--loglevel=error', ...nodeHeaders()], {
          cwd: directory,
          show: progress,
          noise,
        }),
    },
    ...[{ name: 'dataplane' }, ...wanted].map(make),
  ];
}

// With --addon only what runs in production.
await runIfMain(import.meta.url, () => nativeSteps(new Set(process.argv[2] === '--addon' ? [] : ['test', 'bench'])));
