// SPDX-License-Identifier: Apache-2.0
// Who makes a call, and what they may do. The door that a call came in by works it out once and ties it to the call's
// metadata, where no client can write it.
import type { Metadata } from '@grpc/grpc-js';

/** From the least to the most: each may do what those before it may. */
export const roles = ['read', 'operate', 'admin'] as const;
export type Role = (typeof roles)[number];

export interface Caller {
  /** "cn:NAME" or "dns:NAME" of the client's certificate, or "unix". */
  readonly identity: string;
  readonly role: Role;
  /** "192.0.2.7:40000", or "unix". */
  readonly peer: string;
}

/** Whoever may open a director's unix socket, as its mode says, is its administrator. */
export const localCaller: Caller = { identity: 'unix', role: 'admin', peer: 'unix' };

export function mayDo(role: Role, needed: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(needed);
}

/** The one that may do what each of them may. */
export function greatest(needed: Iterable<Role>): Role {
  let most = 0;
  for (const role of needed) most = Math.max(most, roles.indexOf(role));
  return roles[most] ?? 'admin';
}

const callers = new WeakMap<Metadata, Caller>();

export function setCaller(metadata: Metadata, caller: Caller): void {
  callers.set(metadata, caller);
}

/** Undefined of a call that came in by a door without a gate: a unix socket. */
export function callerOf(metadata: Metadata): Caller | undefined {
  return callers.get(metadata);
}
