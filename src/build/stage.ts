// SPDX-License-Identifier: Apache-2.0
// `stage.ts DIRECTORY [--debug FILE]`: the files that run, and nothing that only builds or tests, as they lie in an image
// and in the .deb: dist/, proto/, bin/, the addon without its symbols (--debug: where these go), and the npm packages that
// are loaded at run time.

import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { BuildError, root, say, tool } from './step.js';

/** In "dependencies", since a checkout builds the addon when it starts; what is installed has it built. */
const buildOnly: readonly string[] = ['node-gyp', 'node-addon-api'];

const addon = 'dataplane/build/Release/dataplane.node';

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** Where `require(name)` finds a package from a directory, as Node looks for it. */
function findPackage(name: string, from: string): string | undefined {
  for (let directory = from; ; directory = dirname(directory)) {
    const candidate = join(directory, 'node_modules', name);
    if (existsSync(join(candidate, 'package.json'))) return candidate;
    if (directory === dirname(directory)) return undefined;
  }
}

/** Directories of the npm packages that run-time code can load, from what each of them says that it needs. */
export function runtimePackages(): readonly string[] {
  const found = new Set<string>();
  const visit = (directory: string): void => {
    const manifest = JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Manifest;
    const { dependencies = {}, optionalDependencies = {} } = manifest;
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies })) {
      if (directory === root && buildOnly.includes(name)) continue;
      const at = findPackage(name, directory);
      if (at === undefined && name in optionalDependencies) continue;
      if (at === undefined) throw new BuildError(`${directory} needs ${name}, which is not installed: run npm install`);
      if (found.has(at)) continue;
      found.add(at);
      visit(at);
    }
  };
  visit(root);
  return [...found].sort();
}

/** In a package: types, maps, sources of what is built, texts for readers. Licences stay. */
const isUnused = (path: string): boolean =>
  /\.(map|md|markdown|ts|mts|cts|tsbuildinfo|flow|html|sh)$/.test(path) ||
  /(^|\/)(\.[^/]+|Makefile)$/.test(path) ||
  /^(test|tests|benchmark|benchmarks|docs|example|examples|coverage)$/.test(path);

/** Of dist/: programs and what they read; neither tests, nor what builds a checkout, nor what builds and tests left. */
const isRun = (path: string): boolean =>
  /^(src(\/.*)?|descriptors\.binpb|director\.json|fulcrum\.schema\.json)$/.test(path) &&
  !/^src\/build(\/|$)|\.map$|(^|\/)\.[^/]*stamp$/.test(path);

function copyTree(from: string, to: string, take: (path: string) => boolean): void {
  cpSync(from, to, {
    recursive: true,
    // Nested packages are listed by themselves.
    filter: (path) => {
      const within = relative(from, path);
      return within === '' || (basename(within) !== 'node_modules' && take(within));
    },
  });
}

/** Removes directories that the filters left with nothing in them. */
function removeEmpty(directory: string): void {
  for (const entry of readdirSync(directory, { withFileTypes: true }))
    if (entry.isDirectory()) removeEmpty(join(directory, entry.name));
  if (readdirSync(directory).length === 0) rmSync(directory, { recursive: true });
}

/** Modes as packages want them, whatever the umask of the checkout: 0755 for what is executable, else 0644. */
export function setModes(directory: string): void {
  chmodSync(directory, 0o755);
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) setModes(path);
    else if (entry.isFile()) chmodSync(path, isProgram(path) ? 0o755 : 0o644);
  }
}

const isProgram = (path: string): boolean =>
  /\/bin\/(fulcrum|ipvsadm)[^/.]*$/.test(path) || path.endsWith('/entrypoint');

async function stageAddon(to: string, debug: string | undefined): Promise<void> {
  const from = join(root, addon);
  mkdirSync(dirname(to), { recursive: true });
  if (debug !== undefined) {
    mkdirSync(dirname(debug), { recursive: true });
    await tool(['objcopy', '--only-keep-debug', '--compress-debug-sections', from, debug]);
  }
  await tool(['strip', '--strip-unneeded', '--remove-section=.comment', '-o', to, from]);
}

/** Lays out a runnable tree; what was there before is removed. */
export async function stage(directory: string, debug?: string): Promise<void> {
  for (const needed of [addon, 'dist/src/cli/main.js', 'dist/descriptors.binpb', 'dist/director.json'])
    if (!existsSync(join(root, needed))) throw new BuildError(`${needed} is missing: run bin/bootstrap`);
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  copyTree(join(root, 'dist'), join(directory, 'dist'), isRun);
  copyTree(join(root, 'proto'), join(directory, 'proto'), (path) => !path.endsWith('buf.yaml'));
  copyTree(join(root, 'bin'), join(directory, 'bin'), (path) => path !== 'bootstrap');
  // What the build does not take along: scripts of the lab.
  copyTree(join(root, 'src'), join(directory, 'src'), (path) => !/\.ts$|^(build|generated|web)$/.test(path));
  for (const file of ['package.json', 'LICENSE']) cpSync(join(root, file), join(directory, file));
  const modules = realpathSync(join(root, 'node_modules'));
  for (const from of runtimePackages()) {
    const within = relative(modules, realpathSync(from));
    copyTree(from, join(directory, 'node_modules', within), (path) => !isUnused(path));
  }
  await stageAddon(join(directory, addon), debug);
  removeEmpty(directory);
  setModes(directory);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const { values, positionals } = parseArgs({ options: { debug: { type: 'string' } }, allowPositionals: true });
  const [directory, ...rest] = positionals;
  if (directory === undefined || rest.length > 0) throw new Error('usage: stage.ts DIRECTORY [--debug FILE]');
  try {
    await stage(directory, values.debug);
    say(`staged in ${directory}: ${statSync(join(directory, addon)).size} bytes of addon`);
  } catch (error) {
    if (!(error instanceof BuildError)) throw error;
    say(error.message);
    process.exitCode = 1;
  }
}
