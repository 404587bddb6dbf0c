// SPDX-License-Identifier: Apache-2.0
// What the processes of a director may do. They are started by setpriv (util-linux): capabilities belong to threads, so a
// process that has its threads already could not give them up for all of them.

import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { runRoot, stateRoot } from '../grpc/paths.js';

export interface Account {
  readonly name: string;
  readonly user: number;
  readonly group: number;
}

/** Throws an Error if there is no such user, or who asks may not become it. */
export function accountOf(name: string): Account {
  if (process.geteuid?.() !== 0) throw new Error(`--user ${name}: only root may become another user`);
  const number = (option: '-u' | '-g'): number => {
    try {
      return Number(
        execFileSync('id', [option, '--', name], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
      );
    } catch {
      throw new Error(`--user ${name}: there is no such user`);
    }
  };
  return { name, user: number('-u'), group: number('-g') };
}

/**
 * Packet sockets, kernel ports and the kernel's silence on them; memory that a NIC writes to is locked. Drivers that want
 * physical addresses or I/O ports (UIO) want sys_admin and sys_rawio as well.
 */
export const dataplaneCapabilities: readonly string[] = ['net_admin', 'net_raw', 'ipc_lock'];

/** Words of --dataplane-capabilities; undefined: all are kept. Throws an Error for what is no name. */
export function readCapabilities(text: string): readonly string[] | undefined {
  const names = text.toLowerCase().split(',');
  if (names.length === 1 && names[0] === 'all') return undefined;
  const wrong = names.find((name) => !/^[a-z][a-z_]*$/.test(name) || name === 'all');
  if (wrong !== undefined) throw new Error(`--dataplane-capabilities: "${wrong}" is no capability`);
  return names.map((name) => name.replace(/^cap_/, ''));
}

/** Bit 8 of the sets in proc_pid_status(5): without it the bounding set cannot be made smaller. */
const setpcap = 1n << 8n;

function effectiveCapabilities(): bigint {
  const [, effective = '0'] = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8')) ?? [];
  return BigInt(`0x${effective}`);
}

const mayDrop = (): boolean => process.geteuid?.() === 0 && (effectiveCapabilities() & setpcap) !== 0n;

/** Words in front of the dataplane's command: no more than these capabilities, and the group of who connects to it. */
export function dataplanePrivileges(
  kept: readonly string[] | undefined,
  manager: Account | undefined,
): readonly string[] {
  const group = manager ? ['--regid', String(manager.group), '--clear-groups'] : [];
  const isKept = kept === undefined || !mayDrop();
  if (isKept && group.length === 0) return [];
  const bounding = `--bounding-set=${['-all', ...(kept ?? []).map((name) => `+${name}`)].join(',')}`;
  return ['setpriv', ...group, ...(isKept ? [] : ['--no-new-privs', '--inh-caps=-all', bounding]), '--'];
}

/**
 * Words in front of the manager's command: another user, and none of root's powers; of a user that was given the dataplane's
 * capabilities, as in a container, none of these.
 */
export function managerPrivileges(manager: Account | undefined): readonly string[] {
  if (manager === undefined) {
    const hasNothingToLose = process.geteuid?.() === 0 || effectiveCapabilities() === 0n;
    return hasNothingToLose ? [] : ['setpriv', '--no-new-privs', '--inh-caps=-all', '--ambient-caps=-all', '--'];
  }
  const who = ['--reuid', String(manager.user), '--regid', String(manager.group), '--init-groups'];
  return ['setpriv', ...who, '--no-new-privs', '--inh-caps=-all', ...(mayDrop() ? ['--bounding-set=-all'] : []), '--'];
}

/** Makes the state directory, and gives it to the account with what root's manager left in it. */
export function handOver(directory: string, { user, group }: Account): void {
  makeParent(directory);
  mkdirSync(directory, { recursive: true, mode: 0o750 });
  for (const path of [directory, ...readdirSync(directory).map((name) => join(directory, name))]) {
    const entry = lstatSync(path);
    // Whoever had the directory before could have put anything there.
    const isRoots = entry.uid === 0 && (entry.isDirectory() || (entry.isFile() && entry.nlink === 1));
    if (isRoots) chownSync(path, user, group);
  }
}

/** Both of a director's processes make their sockets in the run directory; neither may take the other's away. */
export function share(directory: string, { group }: Account): void {
  makeParent(directory);
  mkdirSync(directory, { recursive: true });
  chownSync(directory, 0, group);
  chmodSync(directory, 0o1770);
}

/** What all directors have theirs in is passed through by everybody; what is in it, is not. */
function makeParent(directory: string): void {
  const parent = dirname(directory);
  mkdirSync(parent, { recursive: true, mode: 0o755 });
  if (parent === runRoot || parent === stateRoot) chmodSync(parent, 0o755);
}
