// SPDX-License-Identifier: Apache-2.0
// Errors of sockets in an operator's words, and whose fault they are: a server that refuses has failed its check, but a
// director without descriptors has only failed to make it.
import { FulcrumError } from '../../grpc/errors.js';
import type { Failure } from './prober.js';

const serversFaults: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  ECONNABORTED: 'connection aborted',
  EPIPE: 'connection closed',
  ETIMEDOUT: 'connection timed out',
  EHOSTUNREACH: 'no route to host',
  EHOSTDOWN: 'host is down',
  ENETUNREACH: 'network is unreachable',
  // What connect() says of prohibit and blackhole routes, and of a firewall on the way out.
  EACCES: "prohibited by this host's routes",
  EINVAL: "thrown away by this host's routes",
  EPERM: "forbidden by this host's firewall",
};

const ownFaults: Readonly<Record<string, string>> = {
  EMFILE: 'too many open files in this process (raise its limit, LimitNOFILE)',
  ENFILE: 'too many open files on this host (fs.file-max)',
  ENOBUFS: 'no buffer space on this host',
  ENOMEM: 'out of memory',
  EAGAIN: 'this host has no resources left for it',
  EADDRNOTAVAIL: 'the source is not an address of this host, or has no free port',
  EADDRINUSE: 'the source address has no free port',
  EAFNOSUPPORT: 'this host does not speak this address family',
};

export function codeOf(error: unknown): string {
  const code = (error as { readonly code?: unknown } | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

/** Why this host could not ask; undefined if the error is the target's. */
export function ownFault(error: unknown): FulcrumError | undefined {
  if (error instanceof FulcrumError) return error;
  const message = ownFaults[codeOf(error)];
  return message === undefined ? undefined : new FulcrumError({ code: 'FAILED_PRECONDITION', message, cause: error });
}

/** Whether an error means that the target was not reached, or did not want to be. */
export function contactOf(error: unknown): Failure['contact'] {
  const code = codeOf(error);
  if (code === 'ECONNREFUSED') return 'refused';
  return ['ETIMEDOUT', 'EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH'].includes(code) ? 'none' : undefined;
}

/** Why a target failed. */
export function reasonOf(error: unknown): string {
  const known = serversFaults[codeOf(error)];
  if (known !== undefined) return known;
  return error instanceof Error ? error.message : String(error);
}
