// SPDX-License-Identifier: Apache-2.0
// What every kind of check is, once it has been read: something that can be asked whether a target is well.
import type { ForwardingMethod__Output } from '../../generated/fulcrum/v1/ForwardingMethod.js';
import { FulcrumError } from '../../grpc/errors.js';

/** Whom a check is made of. */
export interface Target {
  /** As parseAddress() writes it. */
  readonly address: string;
  readonly port: number;
  /** Address of this host to ask from; left out: as its routes say. */
  readonly source?: string | undefined;
  /** Ports to ask from, one of them; only with a source. */
  readonly sourcePorts?: SourcePorts | undefined;
  /** The way that the server's clients take; `port` is the VIP's if its service has none. */
  readonly clientWay?: ((port: number) => Promise<ClientWay>) | undefined;
}

/** So many from the first on. */
export interface SourcePorts {
  readonly first: number;
  readonly count: number;
}

/** To a VIP, and from there to one server of it, whatever its scheduler would say. */
export interface ClientWay {
  readonly address: string;
  readonly port: number;
  readonly source: string;
  readonly sourcePorts: SourcePorts;
  readonly method: ForwardingMethod__Output;
  /** False once the way has gone, with the dataplane that made it for one: what failed then is not the server's. */
  readonly isOpen: () => boolean;
}

/** A server of a service without a port has none either. */
export function requirePort({ port }: Target): void {
  if (port === 0)
    throw new FulcrumError({ code: 'FAILED_PRECONDITION', message: 'there is no port to check: give the check one' });
}

export interface Success {
  readonly ok: true;
  /** Microseconds until the answer was known to be good. */
  readonly latencyUs: number;
  /** What a command with a dynamic weight asks for. */
  readonly weight?: number;
}

export interface Failure {
  readonly ok: false;
  /** One sentence without a full stop, for the operator. */
  readonly reason: string;
  /** Nothing was heard of the target, or it refused to be asked. Left out: it was heard, but what it said was wrong. */
  readonly contact?: 'none' | 'refused' | undefined;
  readonly latencyUs: number;
}

export type Result = Success | Failure;

export interface Prober {
  /**
   * Asks once. Everything that it opened is closed when the promise settles. Rejects with a FulcrumError if this host
   * could not ask (no descriptor left, no such source address): that says nothing about the target. Rejects with the
   * signal's reason when that is aborted.
   */
  readonly probe: (target: Target, timeoutMs: number, signal: AbortSignal) => Promise<Result>;
}
