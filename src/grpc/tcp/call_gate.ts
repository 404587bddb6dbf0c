// SPDX-License-Identifier: Apache-2.0
// The gate that every call over TCP passes before its request is read: who calls, whether they may, and whether they do
// not call too much. Calls that last are ended when their caller loses the right to them.
import { Metadata, ServerInterceptingCall, type ServerInterceptor, status } from '@grpc/grpc-js';
import { mayDo, type Role, setCaller } from '../caller.js';
import type { StatusName } from '../errors.js';
import type { CertificateNames } from './certificate_names.js';
import type { Limits } from './limits.js';
import type { Connection, Ends } from './tls_door.js';
import { TokenBucket } from './token_bucket.js';

/** Why a call was refused, or ended. */
export type CallRefusal = 'role' | 'call_rate' | 'calls' | 'streams' | 'request_timeout' | 'flood';

export interface RefusedCall {
  readonly why: CallRefusal;
  readonly code: StatusName;
  readonly message: string;
  readonly identity: string;
  readonly role: Role | undefined;
  readonly peer: string;
  readonly method: string;
}

export interface CallGateOptions {
  readonly limits: Limits;
  readonly connectionOf: (ends: Ends) => Connection | undefined;
  /** Undefined: it may do nothing. */
  readonly roleOf: (names: CertificateNames) => Role | undefined;
  /** The least that a method needs, by its path. Undefined: nobody may call it. */
  readonly neededFor: (path: string) => Role | undefined;
  readonly refused: (call: RefusedCall) => void;
}

/** What an identity has under way, over all its connections. */
interface Client {
  readonly bucket: TokenBucket;
  calls: number;
  streams: number;
}

interface OpenCall {
  readonly connection: Connection;
  readonly path: string;
  readonly isStream: boolean;
  readonly end: (code: StatusName, message: string) => void;
}

interface Refusal {
  readonly why: CallRefusal;
  readonly code: StatusName;
  readonly message: string;
  /** When it is worth another try. */
  readonly retryMs?: number;
}

/** gRFC A6: how long the client's library waits before it tries again by itself. */
const pushbackKey = 'grpc-retry-pushback-ms';
/** Above so many, identities without calls are forgotten. */
const rememberedClients = 1_000;
const floodWindowMs = 1_000;

export class CallGate {
  readonly #options: CallGateOptions;
  readonly #clients = new Map<string, Client>();
  readonly #open = new Set<OpenCall>();
  readonly #refusals = new WeakMap<Connection, { count: number; last: number }>();

  constructor(options: CallGateOptions) {
    this.#options = options;
  }

  /** For the gRPC server that the door's connections go to. */
  get interceptor(): ServerInterceptor {
    return ({ path, responseStream, requestStream }, call) => {
      // Who takes a request back at once has made it nevertheless.
      const connection = this.#options.connectionOf(call.getConnectionInfo());
      const early = connection && this.#rateRefusal(connection, path);
      let open: OpenCall | undefined;
      let timer: NodeJS.Timeout | undefined;
      const answer = (code: StatusName, message: string, metadata = new Metadata()): void =>
        call.sendStatus({ code: status[code], details: message, metadata });
      const isComplete = (): void => clearTimeout(timer);
      return new ServerInterceptingCall(call, {
        start: (next) =>
          next({
            onReceiveMetadata: (metadata, proceed) => {
              if (connection === undefined) return answer('UNAUTHENTICATED', 'the connection is closed');
              if (early !== undefined) return answer(...answerOf(early));
              const role = this.#options.roleOf(connection.names);
              const refusal = this.#refusal(connection, role, path, responseStream);
              if (refusal !== undefined || role === undefined) {
                const given = refusal ?? noRole(connection, path);
                this.#refuse(connection, role, path, given);
                return answer(...answerOf(given));
              }
              open = { connection, path, isStream: responseStream, end: answer };
              this.#enter(open);
              timer = setTimeout(() => {
                const late = tooLate(this.#options.limits.requestMs);
                this.#refuse(connection, role, path, late);
                answer(...answerOf(late));
              }, this.#options.limits.requestMs);
              setCaller(metadata, { identity: connection.identity, role, peer: connection.peer });
              proceed(metadata);
            },
            onReceiveMessage: (message, proceed) => {
              // A stream of requests is complete with its first.
              if (requestStream) isComplete();
              proceed(message);
            },
            onReceiveHalfClose: (proceed) => {
              isComplete();
              proceed();
            },
            onCancel: () => {
              isComplete();
              if (open !== undefined) this.#leave(open);
            },
          }),
      });
    };
  }

  /** Calls under way. */
  get calls(): number {
    return this.#open.size;
  }

  /** Ends calls whose callers may not make them any more. */
  review(): void {
    for (const { connection, path, end } of this.#open) {
      const role = this.#options.roleOf(connection.names);
      const refusal = this.#roleRefusal(connection, role, path);
      if (refusal === undefined) continue;
      this.#refuse(connection, role, path, refusal);
      end(refusal.code, refusal.message);
    }
  }

  #rateRefusal(connection: Connection, path: string): Refusal | undefined {
    const retryMs = this.#client(connection.identity).bucket.take();
    if (retryMs === 0) return undefined;
    const most = this.#options.limits.callsPerSecond;
    const message = `${connection.identity} makes more than ${most} calls a second: try again in ${retryMs} ms`;
    const refusal: Refusal = { why: 'call_rate', code: 'RESOURCE_EXHAUSTED', message, retryMs };
    this.#refuse(connection, this.#options.roleOf(connection.names), path, refusal);
    return refusal;
  }

  #refusal(connection: Connection, role: Role | undefined, path: string, isStream: boolean): Refusal | undefined {
    const { limits } = this.#options;
    const client = this.#client(connection.identity);
    const unfit = this.#roleRefusal(connection, role, path);
    if (unfit !== undefined) return unfit;
    if (client.calls >= limits.clientCalls) {
      const message = `${connection.identity} has ${client.calls} calls under way: that is the most`;
      return { why: 'calls', code: 'RESOURCE_EXHAUSTED', message };
    }
    if (isStream && client.streams >= limits.clientStreams) {
      const message = `${connection.identity} has ${client.streams} streams open: that is the most`;
      return { why: 'streams', code: 'RESOURCE_EXHAUSTED', message };
    }
    return undefined;
  }

  #roleRefusal({ identity }: Connection, role: Role | undefined, path: string): Refusal | undefined {
    const needed = this.#options.neededFor(path);
    if (role !== undefined && needed !== undefined && mayDo(role, needed)) return undefined;
    return { why: 'role', code: 'PERMISSION_DENIED', message: roleMessage(identity, role, path, needed) };
  }

  #refuse(connection: Connection, role: Role | undefined, method: string, { why, code, message }: Refusal): void {
    const { identity, peer } = connection;
    this.#options.refused({ why, code, message, identity, role, peer, method });
    const now = performance.now();
    const before = this.#refusals.get(connection);
    const count = before !== undefined && now - before.last < floodWindowMs ? before.count + 1 : 1;
    this.#refusals.set(connection, { count, last: now });
    if (count !== this.#options.limits.refusals) return;
    const flood = `${count} calls were refused without a pause: the connection is closed`;
    this.#options.refused({ why: 'flood', code: 'RESOURCE_EXHAUSTED', message: flood, identity, role, peer, method });
    setImmediate(connection.close);
  }

  #enter(call: OpenCall): void {
    const client = this.#client(call.connection.identity);
    client.calls++;
    if (call.isStream) client.streams++;
    this.#open.add(call);
  }

  #leave(call: OpenCall): void {
    if (!this.#open.delete(call)) return;
    const client = this.#client(call.connection.identity);
    client.calls--;
    if (call.isStream) client.streams--;
  }

  #client(identity: string): Client {
    const known = this.#clients.get(identity);
    if (known !== undefined) return known;
    if (this.#clients.size >= rememberedClients) this.#forgetQuiet();
    const { callsPerSecond, callBurst } = this.#options.limits;
    const client = { bucket: new TokenBucket(callsPerSecond, callBurst), calls: 0, streams: 0 };
    this.#clients.set(identity, client);
    return client;
  }

  #forgetQuiet(): void {
    for (const [identity, { calls, bucket }] of this.#clients)
      if (calls === 0 && bucket.isFull()) this.#clients.delete(identity);
  }
}

function answerOf({ code, message, retryMs }: Refusal): [StatusName, string, Metadata] {
  const metadata = new Metadata();
  if (retryMs !== undefined) metadata.set(pushbackKey, String(retryMs));
  return [code, message, metadata];
}

function noRole({ identity }: Connection, path: string): Refusal {
  return { why: 'role', code: 'PERMISSION_DENIED', message: roleMessage(identity, undefined, path, undefined) };
}

function tooLate(requestMs: number): Refusal {
  const message = `the request was not there as a whole within ${requestMs / 1_000} s`;
  return { why: 'request_timeout', code: 'DEADLINE_EXCEEDED', message };
}

/** "cn:alice has the role read: Apply needs operate". */
export function roleMessage(identity: string, role: Role | undefined, path: string, needed: Role | undefined): string {
  const has = role === undefined ? 'has no role' : `has the role ${role}`;
  const method = path.split('/').at(-1) ?? path;
  return `${identity} ${has}: ${method} ${needed === undefined ? 'is for nobody' : `needs ${needed}`}`;
}
