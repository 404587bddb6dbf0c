// SPDX-License-Identifier: Apache-2.0
// Where a director's sockets and its durable state are. There is one director per network namespace, so the default
// places are named after the namespace of the caller.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

export const runRoot = '/run/fulcrum';
export const stateRoot = '/var/lib/fulcrum';
const namedNamespaces = '/run/netns';

export interface RunPaths {
  readonly directory: string;
  readonly managerSocket: string;
  readonly dataplaneSocket: string;
}

function inodeOf(path: string): number | undefined {
  try {
    return statSync(path).ino;
  } catch {
    return undefined;
  }
}

/** Inode of the network namespace that this process is in. */
export function networkNamespaceInode(): number {
  return statSync('/proc/self/ns/net').ino;
}

/** "default" in the namespace of process 1, else its name under /run/netns, else "netns-<inode>". */
export function networkNamespaceName(): string {
  const own = networkNamespaceInode();
  if (inodeOf('/proc/1/ns/net') === own) return 'default';
  return namedNamespace(own) ?? `netns-${own}`;
}

function namedNamespace(inode: number): string | undefined {
  try {
    return readdirSync(namedNamespaces).find((name) => inodeOf(join(namedNamespaces, name)) === inode);
  } catch {
    return undefined;
  }
}

/** The sockets in a run directory; by default that of this network namespace. */
export function runPaths(directory: string = join(runRoot, String(networkNamespaceInode()))): RunPaths {
  return {
    directory,
    managerSocket: join(directory, 'manager.sock'),
    dataplaneSocket: join(directory, 'dataplane.sock'),
  };
}

/** Directory of the durable state of this network namespace's director. */
export function defaultStateDirectory(): string {
  return join(stateRoot, networkNamespaceName());
}

export interface ManagerSocket {
  readonly path: string;
  /** Found by the namespace's inode: whoever answers there has to be checked, since inodes are used again. */
  readonly byNamespace: boolean;
}

/** The manager's socket: the one given (--socket), else FULCRUM_SOCKET, else that of this network namespace. */
export function findManagerSocket(given?: string, environment: NodeJS.ProcessEnv = process.env): ManagerSocket {
  const path = given ?? environment.FULCRUM_SOCKET;
  if (path !== undefined && path !== '') return { path, byNamespace: false };
  return { path: runPaths().managerSocket, byNamespace: true };
}
