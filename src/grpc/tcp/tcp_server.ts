// SPDX-License-Identifier: Apache-2.0
// A gRPC server behind the TLS door and the gate, put together.

import type { SecureContextOptions } from 'node:tls';
import { type Server, ServerCredentials } from '@grpc/grpc-js';
import { closeServer, createServer } from '../listen.js';
import { CallGate, type CallGateOptions, type CallRefusal, type RefusedCall } from './call_gate.js';
import { type Limits, usualLimits } from './limits.js';
import { type DoorRefusal, TlsDoor } from './tls_door.js';

export interface TcpServerOptions extends Pick<CallGateOptions, 'roleOf' | 'neededFor'> {
  /** "HOST:PORT". */
  readonly address: string;
  readonly context: SecureContextOptions;
  readonly limits?: Partial<Limits> | undefined;
  readonly refusedCall: (call: RefusedCall) => void;
  /** Adds the services. */
  readonly equip: (server: Server) => void;
}

export class TcpServer {
  readonly #server: Server;
  readonly #gate: CallGate;
  readonly #door: TlsDoor;
  /** Connections and calls that were refused, by reason. */
  readonly refusals: ReadonlyMap<DoorRefusal | CallRefusal, number>;

  private constructor(
    server: Server,
    gate: CallGate,
    door: TlsDoor,
    refusals: ReadonlyMap<DoorRefusal | CallRefusal, number>,
  ) {
    this.#server = server;
    this.#gate = gate;
    this.#door = door;
    this.refusals = refusals;
  }

  /** Resolves when it listens. */
  static async open(options: TcpServerOptions): Promise<TcpServer> {
    const limits: Limits = { ...usualLimits, ...options.limits };
    const refusals = new Map<DoorRefusal | CallRefusal, number>();
    const count = (why: DoorRefusal | CallRefusal): void => void refusals.set(why, (refusals.get(why) ?? 0) + 1);
    let door: TlsDoor | undefined;
    const gate = new CallGate({
      limits,
      roleOf: options.roleOf,
      neededFor: options.neededFor,
      connectionOf: (ends) => door?.connectionOf(ends),
      refused: (call) => {
        count(call.why);
        options.refusedCall(call);
      },
    });
    const server = createServer({
      'grpc.max_receive_message_length': limits.requestBytes,
      'grpc.max_concurrent_streams': limits.connectionCalls,
      'grpc.max_connection_idle_ms': limits.idleMs,
      'grpc.keepalive_time_ms': limits.pingMs,
      'grpc.keepalive_timeout_ms': limits.pongMs,
      interceptors: [gate.interceptor],
    });
    options.equip(server);
    // Encryption is the door's: what it lets in is a plain connection to the server.
    const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
    door = await TlsDoor.open(options.address, {
      context: options.context,
      limits,
      refused: count,
      enter: (socket) => injector.injectConnection(socket),
    });
    return new TcpServer(server, gate, door, refusals);
  }

  get port(): number {
    return this.#door.port;
  }

  get connections(): number {
    return this.#door.connections;
  }

  get calls(): number {
    return this.#gate.calls;
  }

  setContext(context: SecureContextOptions): void {
    this.#door.setContext(context);
  }

  /** To be called when roles have changed. */
  review(): void {
    this.#gate.review();
  }

  /** Gives calls under way some time. */
  async close(graceMs: number): Promise<void> {
    this.#door.shut();
    await closeServer(this.#server, graceMs);
    this.#door.closeAll();
  }
}
