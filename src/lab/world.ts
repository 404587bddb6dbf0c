// SPDX-License-Identifier: Apache-2.0
// A small world of network namespaces joined by veths, that leaves nothing behind. What it makes is noted first in
// /run/fulcrum-lab/<prefix>.json: the world of a process that was killed is removed when the next one is made.

import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { endProcesses, identify, isAlive, type ProcessIdentity } from '../supervisor/run_directory.js';
import { type Command, type RunOptions, run, Task } from './command.js';

const recordDirectory = '/run/fulcrum-lab';
const namespaceDirectory = '/run/netns';
const endGraceMs = 3000;

interface Record extends ProcessIdentity {
  readonly namespaces: readonly string[];
  readonly directories: readonly string[];
}

export class WorldExists extends Error {}

/** One end of a link. */
export interface End {
  readonly namespace: string;
  readonly device: string;
  /** Makes it a port of this bridge, which is in the same namespace. */
  readonly bridge?: string;
  readonly mac?: string;
  readonly mtu?: number;
  /** With prefix length. */
  readonly addresses?: readonly string[];
}

/** veth leaves checksums and segmentation to whoever comes next, and nobody does. Tags stay in the frame. */
const offloads = ['tx', 'rx', 'tso', 'gso', 'gro', 'txvlan', 'rxvlan'];

export class World {
  readonly prefix: string;
  readonly #file: string;
  #namespaces: readonly string[] = [];
  #directories: readonly string[] = [];

  private constructor(prefix: string) {
    this.prefix = prefix;
    this.#file = join(recordDirectory, `${prefix}.json`);
  }

  /** Makes an empty world, after removing what killed processes left of theirs. Throws WorldExists. */
  static async create(prefix: string): Promise<World> {
    mkdirSync(recordDirectory, { recursive: true, mode: 0o755 });
    await removeLeftovers();
    const world = new World(prefix);
    try {
      writeFileSync(world.#file, world.#record(), { flag: 'wx' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      const owner = readRecord(world.#file);
      throw new WorldExists(`another one is running already (process ${owner?.pid}, ${world.#file})`);
    }
    return world;
  }

  /** Full name of a namespace of this world. */
  name(namespace: string): string {
    return `${this.prefix}-${namespace}`;
  }

  async addNamespace(namespace: string): Promise<void> {
    this.#namespaces = [...this.#namespaces, this.name(namespace)];
    this.#note();
    await run(['ip', 'netns', 'add', this.name(namespace)]);
    await this.ip(namespace, ['link set lo up']);
  }

  /** Notes a directory that goes when the world does. */
  addDirectory(path: string): void {
    this.#directories = [...this.#directories, path];
    this.#note();
  }

  /** Runs lines of `ip -batch` in a namespace. */
  async ip(namespace: string, lines: readonly string[]): Promise<void> {
    await run(['ip', '-n', this.name(namespace), '-batch', '-'], { input: `${lines.join('\n')}\n` });
  }

  /** The same for addresses, routes and rules of IPv6, where "default" does not tell the family. */
  async ip6(namespace: string, lines: readonly string[]): Promise<void> {
    await run(['ip', '-6', '-n', this.name(namespace), '-batch', '-'], { input: `${lines.join('\n')}\n` });
  }

  async addBridge(namespace: string, name: string): Promise<void> {
    await this.ip(namespace, [
      `link add name ${name} type bridge forward_delay 0 mcast_snooping 0`,
      `link set dev ${name} up`,
    ]);
  }

  /** Joins two namespaces by a veth pair, offloads off. */
  async link(from: End, to: End): Promise<void> {
    const ends = [from, to];
    const [a, b] = ends.map((end) => `name ${end.device} netns ${this.name(end.namespace)}`);
    await run(['ip', 'link', 'add', ...`${a} type veth peer ${b}`.split(' ')]);
    for (const end of ends) await this.#bringUp(end);
  }

  async #bringUp({ namespace, device, bridge, mac, mtu, addresses = [] }: End): Promise<void> {
    await this.run(namespace, ['ethtool', '-K', device, ...offloads.flatMap((name) => [name, 'off'])]);
    await this.ip(namespace, [
      ...(mac === undefined ? [] : [`link set dev ${device} address ${mac}`]),
      ...(mtu === undefined ? [] : [`link set dev ${device} mtu ${mtu}`]),
      ...(bridge === undefined ? [] : [`link set dev ${device} master ${bridge}`]),
      ...addresses.map((address) => `address add ${address} dev ${device}`),
      `link set dev ${device} up`,
    ]);
  }

  async sysctl(namespace: string, settings: Readonly<{ [name: string]: number }>): Promise<void> {
    const words = Object.entries(settings).map(([name, value]) => `${name}=${value}`);
    await this.run(namespace, ['sysctl', '-q', '-w', ...words]);
  }

  /** Runs a program in a namespace to its end. */
  run(namespace: string, command: Command, options?: RunOptions): Promise<string> {
    return run(this.#inside(namespace, command), options);
  }

  /** Starts a program in a namespace. */
  spawn(namespace: string, command: Command): Task {
    return new Task(this.#inside(namespace, command));
  }

  /** Inode of a namespace, by which a director's run directory is named. */
  inode(namespace: string): number {
    return statSync(join(namespaceDirectory, this.name(namespace))).ino;
  }

  /** Ends what runs in the namespaces and removes everything. May be called again. */
  async destroy(): Promise<void> {
    await remove({ namespaces: this.#namespaces, directories: this.#directories });
    rmSync(this.#file, { force: true });
  }

  #inside(namespace: string, command: Command): Command {
    return ['ip', 'netns', 'exec', this.name(namespace), ...command];
  }

  #note(): void {
    writeFileSync(`${this.#file}.new`, this.#record());
    renameSync(`${this.#file}.new`, this.#file);
  }

  #record(): string {
    const own = identify(process.pid) as ProcessIdentity;
    const record: Record = { ...own, namespaces: this.#namespaces, directories: this.#directories };
    return JSON.stringify(record);
  }
}

/** Removes the worlds whose processes are gone. */
export async function removeLeftovers(): Promise<void> {
  for (const file of readdirSync(recordDirectory).filter((name) => name.endsWith('.json'))) {
    const path = join(recordDirectory, file);
    const record = readRecord(path);
    if (record !== undefined && isAlive(record)) continue;
    if (record !== undefined) await remove(record);
    rmSync(path, { force: true });
  }
}

function readRecord(path: string): Record | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Record;
  } catch {
    return undefined;
  }
}

async function remove(what: Pick<Record, 'namespaces' | 'directories'>): Promise<void> {
  const existing = what.namespaces.filter((name) => readdirNames(namespaceDirectory).includes(name));
  await endProcesses(processesIn(existing), endGraceMs);
  for (const directory of what.directories) {
    for (const place of mountsBelow(directory)) await run(['umount', '--lazy', place]);
    rmSync(directory, { recursive: true, force: true });
  }
  const deletions = await Promise.allSettled(existing.map((name) => run(['ip', 'netns', 'delete', name])));
  const failed = deletions.find((deletion) => deletion.status === 'rejected');
  if (failed !== undefined) throw failed.reason;
}

/** Mount points in a directory, the innermost first (proc(5): field 5, with octal escapes). */
function mountsBelow(directory: string): readonly string[] {
  const places = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .map((place) => place.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8))));
  return places.filter((place) => place.startsWith(`${directory}/`)).toReversed();
}

function readdirNames(path: string): readonly string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** Every process whose network namespace is one of these. */
function processesIn(namespaces: readonly string[]): readonly ProcessIdentity[] {
  const wanted = new Set(namespaces.map((name) => `net:[${statSync(join(namespaceDirectory, name)).ino}]`));
  return readdirNames('/proc')
    .filter((name) => /^\d+$/.test(name) && wanted.has(namespaceOf(name)))
    .map((name) => identify(Number(name)))
    .filter((identity) => identity !== undefined);
}

function namespaceOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return '';
  }
}
