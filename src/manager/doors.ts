// SPDX-License-Identifier: Apache-2.0
// The ways in to the API: the unix socket, and TCP if it is wanted, each a gRPC server of its own with the same services
// and its own limits.
import type { Server } from '@grpc/grpc-js';
import { addHealth, type Health } from '../grpc/health.js';
import { closeServer, createServer, listenUnix } from '../grpc/listen.js';
import type { Logger } from '../grpc/log.js';
import { addReflection } from '../grpc/reflection.js';
import type { RefusedCall } from '../grpc/tcp/call_gate.js';
import type { Limits } from '../grpc/tcp/limits.js';
import { TcpServer } from '../grpc/tcp/tcp_server.js';
import { Access } from './access/access.js';
import { roleForMethod } from './access/methods.js';
import type { TlsFiles } from './access/tls_files.js';
import { directorServiceName } from './service.js';

export interface ListenOptions {
  /** "HOST:PORT". */
  readonly address: string;
  readonly tls: TlsFiles;
  readonly rolesFile?: string | undefined;
  readonly limits?: Partial<Limits> | undefined;
}

export interface DoorsOptions {
  readonly socket: string;
  readonly listen: ListenOptions | undefined;
  readonly descriptorSet: Buffer;
  /** Adds the director's own service. */
  readonly addDirector: (server: Server) => void;
  readonly report: (kind: string, message: string) => void;
  readonly refusedCall: (call: RefusedCall) => void;
  readonly log: Logger;
}

/** What there is to count of TCP. */
export interface TcpReadings {
  readonly connections: number;
  readonly calls: number;
  readonly refusals: ReadonlyMap<string, number>;
  readonly reloads: ReadonlyMap<string, number>;
  /** Of the server's certificate, milliseconds since 1970. */
  readonly validUntil: number;
}

export class Doors {
  readonly #unix: Server;
  readonly #health: Health[] = [];
  #tcp: TcpServer | undefined;
  #access: Access | undefined;

  private constructor(unix: Server) {
    this.#unix = unix;
  }

  /** Resolves when all of them are open; if one cannot be opened, none is. */
  static async open(options: DoorsOptions): Promise<Doors> {
    const doors = new Doors(createServer());
    const equip = (server: Server): void => {
      options.addDirector(server);
      doors.#health.push(addHealth(server, [directorServiceName]));
      addReflection(server, options.descriptorSet, [directorServiceName]);
    };
    try {
      equip(doors.#unix);
      await listenUnix(doors.#unix, options.socket);
      if (options.listen !== undefined) await doors.#listen(options.listen, options, equip);
      return doors;
    } catch (error) {
      doors.#unix.forceShutdown();
      throw error;
    }
  }

  async #listen(
    { address, tls, rolesFile, limits }: ListenOptions,
    { report, refusedCall, log }: DoorsOptions,
    equip: (server: Server) => void,
  ): Promise<void> {
    const access = new Access({ tls, rolesFile, report, log });
    const tcp = await TcpServer.open({
      address,
      context: access.material.context,
      limits,
      roleOf: (names) => access.roleOf(names),
      neededFor: roleForMethod,
      refusedCall,
      equip,
    });
    access.follow({
      certificatesChanged: ({ context }) => tcp.setContext(context),
      rolesChanged: () => tcp.review(),
    });
    this.#access = access;
    this.#tcp = tcp;
  }

  /** Of TCP; 0 without. */
  get port(): number {
    return this.#tcp?.port ?? 0;
  }

  /** Undefined without TCP. */
  tcpReadings(): TcpReadings | undefined {
    if (this.#tcp === undefined || this.#access === undefined) return undefined;
    const { connections, calls, refusals } = this.#tcp;
    const validUntil = Date.parse(this.#access.material.certificate.validTo);
    return { connections, calls, refusals, reloads: this.#access.reloads, validUntil };
  }

  setServing(serving: boolean): void {
    for (const health of this.#health) health.setServing(serving);
  }

  /** Reads certificates and roles again. */
  reload(): void {
    this.#access?.reload();
  }

  async close(graceMs: number): Promise<void> {
    this.#access?.stop();
    await Promise.all([closeServer(this.#unix, graceMs), this.#tcp?.close(graceMs)]);
  }
}
