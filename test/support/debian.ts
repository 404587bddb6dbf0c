// SPDX-License-Identifier: Apache-2.0
// A clean Debian to install into: debootstrap's minimal system, made from the mirrors that this machine itself uses, as a
// tarball that is used again for a day. And why there can be none.

import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { type Command, run } from '../../src/lab/command.js';

const cache = '/var/tmp/fulcrum-test-cache';
const codename = 'bookworm';
const cachedMs = 24 * 60 * 60 * 1000;

interface Repository {
  readonly uri: string;
  readonly release: string;
  readonly component: string;
}

const succeeds = (command: Command): Promise<boolean> =>
  run(command).then(
    () => true,
    () => false,
  );

/** The first reason why these programs cannot be used here; undefined if there is none. */
export async function impediment(...programs: readonly string[]): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'this needs root';
  if (process.arch !== 'x64') return 'packages and images are made for amd64';
  for (const program of programs)
    if (!(await succeeds(['sh', '-c', `command -v ${program}`])))
      return `${program} is not installed (bin/bootstrap --full)`;
  if (!readFileSync('/etc/os-release', 'utf8').includes(`VERSION_CODENAME=${codename}`)) return 'this is not Debian 12';
  if ((await repositories()).length === 0) return 'apt knows no mirror of Debian 12 here';
  return undefined;
}

/** Debian's own repositories of this machine, the release itself first. */
async function repositories(): Promise<readonly Repository[]> {
  const format = '$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)';
  const text = await run(['apt-get', 'indextargets', '--format', format, 'Identifier: Packages']);
  const found = [...new Set(text.split('\n'))]
    .map((line) => line.split('|') as [string, string, string, string])
    .filter(([origin, , release = '']) => origin === 'Debian' && release.startsWith(codename))
    .map(([, uri, release, component]) => ({ uri, release, component }));
  return found.sort((a, b) => a.release.length - b.release.length);
}

/** Unpacks a clean Debian into a directory that does not exist yet. */
export async function unpackDebian(directory: string): Promise<void> {
  const tarball = await debianTarball();
  mkdirSync(directory, { recursive: true });
  await run(['tar', '-C', directory, '-xpf', tarball]);
}

/** debootstrap --variant=minbase, with this machine's sources, package lists and way out to them. */
async function debianTarball(): Promise<string> {
  const file = join(cache, `${codename}.tar`);
  const made = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (Date.now() - made < cachedMs) return file;
  mkdirSync(cache, { recursive: true });
  const work = join(cache, `${codename}-${process.pid}`);
  try {
    const sources = await repositories();
    await run(['debootstrap', '--variant=minbase', codename, work, sources[0]?.uri ?? '']);
    const lines = sources.map(({ uri, release, component }) => `deb ${uri} ${release} ${component}\n`);
    writeFileSync(join(work, 'etc/apt/sources.list'), lines.join(''));
    writeFileSync(join(work, 'etc/apt/apt.conf.d/90test'), await transport());
    writeFileSync(join(work, 'usr/sbin/policy-rc.d'), '#!/bin/sh\nexit 101\n', { mode: 0o755 });
    await run(['chroot', work, 'apt-get', '-q', 'update']);
    await run(['chroot', work, 'apt-get', 'clean']);
    await run(['tar', '-C', work, '-cf', `${file}.${process.pid}`, '.']);
    renameSync(`${file}.${process.pid}`, file);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return file;
}

/** Proxies and the like that apt is set up with here. */
async function transport(): Promise<string> {
  const lines = (await run(['apt-config', 'dump', 'Acquire'])).split('\n');
  return lines.filter((line) => /^Acquire::(https?|Retries)\b/.test(line) && !/ "";$/.test(line)).join('\n');
}

const nodePrefix = dirname(dirname(realpathSync(process.execPath)));
const npm = join(nodePrefix, 'lib/node_modules/npm');
const headers = join(nodePrefix, 'include/node');

/** The running node, at `usr/bin/node`. */
export function addNode(root: string): void {
  cpSync(realpathSync(process.execPath), join(root, 'usr/bin/node'));
}

/** Whether this machine's node came with npm, as Node.js's own archives and images do. */
export const hasNpm = existsSync(join(npm, 'bin/npm-cli.js'));

/** npm and the headers for addons; and the authorities that node trusts here, at the path that is returned. */
export async function addBuildTools(root: string): Promise<string | undefined> {
  cpSync(npm, join(root, 'usr/lib/node_modules/npm'), { recursive: true });
  await run(['ln', '-s', '../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/bin/npm')]);
  if (existsSync(headers)) cpSync(headers, join(root, 'usr/include/node'), { recursive: true });
  const authorities = process.env.NODE_EXTRA_CA_CERTS;
  if (authorities === undefined) return undefined;
  cpSync(authorities, join(root, 'usr/local/share/authorities.crt'), { dereference: true });
  return '/usr/local/share/authorities.crt';
}
