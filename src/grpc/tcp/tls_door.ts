// SPDX-License-Identifier: Apache-2.0
// The API's door to the network: mutual TLS, and a bound on everything that a client can hold before it makes a call.
// Connections that pass go to a gRPC server. Certificates can be exchanged while it is open.
import { constants } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type SecureContextOptions, type Server, type TLSSocket } from 'node:tls';
import { FulcrumError } from '../errors.js';
import { type CertificateNames, certificateNames, identityOf } from './certificate_names.js';
import type { Limits } from './limits.js';

export interface Connection {
  readonly names: CertificateNames;
  /** "cn:alice". */
  readonly identity: string;
  /** "192.0.2.7:40000". */
  readonly peer: string;
  readonly close: () => void;
}

/** Why a connection was closed before it could make a call, or because of the calls that it made. */
export type DoorRefusal =
  | 'handshakes'
  | 'handshake_timeout'
  | 'handshake_failed'
  | 'no_name'
  | 'no_http2'
  | 'protocol'
  | 'connections'
  | 'client_connections';

export interface TlsDoorOptions {
  readonly context: SecureContextOptions;
  readonly limits: Limits;
  readonly refused: (why: DoorRefusal, peer: string, detail: string) => void;
  /** A connection that passed: the gRPC server's. */
  readonly enter: (socket: TLSSocket) => void;
}

/** What tells connections apart; both the door and a call know it. */
export interface Ends {
  readonly localAddress?: string | undefined;
  readonly localPort?: number | undefined;
  readonly remoteAddress?: string | undefined;
  readonly remotePort?: number | undefined;
}

/** A session that could be resumed would outlive the authority that its client was let in by. */
const always = {
  minVersion: 'TLSv1.2',
  secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
} as const;

export class TlsDoor {
  readonly #options: TlsDoorOptions;
  readonly #server: Server;
  /** Sockets that have not finished their handshake, the oldest first. */
  readonly #handshakes = new Map<string, Socket>();
  readonly #connections = new Map<string, Connection>();
  readonly #byIdentity = new Map<string, number>();

  private constructor(options: TlsDoorOptions) {
    this.#options = options;
    this.#server = createServer({
      ...options.context,
      ...always,
      requestCert: true,
      rejectUnauthorized: true,
      ALPNProtocols: ['h2'],
      handshakeTimeout: options.limits.handshakeMs,
    });
    this.#server.prependListener('connection', (socket: Socket) => this.#knock(socket));
    this.#server.on('secureConnection', (socket) => this.#enter(socket));
    this.#server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => {
      const why = error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT' ? 'handshake_timeout' : 'handshake_failed';
      options.refused(why, peerOf(socket), error.message);
      // Node leaves one open that takes too long.
      socket.destroy();
    });
  }

  /** Opens at "HOST:PORT", IPv6 in brackets; port 0: any. */
  static async open(address: string, options: TlsDoorOptions): Promise<TlsDoor> {
    const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? [];
    const door = new TlsDoor(options);
    await new Promise<void>((resolve, reject) => {
      door.#server.once('error', ({ message }) =>
        reject(new FulcrumError({ code: 'UNAVAILABLE', message: `cannot listen on ${address}: ${message}` })),
      );
      door.#server.listen({ host, port: Number(port) }, resolve);
    });
    door.#server.on('error', () => {}); // Of a single connection that could not be accepted.
    return door;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  get connections(): number {
    return this.#connections.size;
  }

  /** Holds for connections that are made from now on. */
  setContext(context: SecureContextOptions): void {
    this.#server.setSecureContext({ ...context, ...always });
  }

  /** Undefined once it is closed. */
  connectionOf(ends: Ends): Connection | undefined {
    return this.#connections.get(keyOf(ends));
  }

  /** Lets nobody in any more. Connections stay. */
  shut(): void {
    this.#server.close();
    for (const socket of this.#handshakes.values()) socket.destroy();
  }

  closeAll(): void {
    for (const connection of this.#connections.values()) connection.close();
  }

  /** The oldest one makes room: it is the least likely to be honest, and an honest one comes again. */
  #knock(socket: Socket): void {
    const key = keyOf(socket);
    const [oldest] = this.#handshakes;
    if (this.#handshakes.size >= this.#options.limits.handshakes && oldest !== undefined) {
      this.#options.refused('handshakes', peerOf(oldest[1]), 'too many clients are at their handshake');
      this.#handshakes.delete(oldest[0]);
      oldest[1].destroy();
    }
    this.#handshakes.set(key, socket);
    socket.once('close', () => {
      if (this.#handshakes.get(key) === socket) this.#handshakes.delete(key);
    });
  }

  #enter(socket: TLSSocket): void {
    const key = keyOf(socket);
    const peer = peerOf(socket);
    this.#handshakes.delete(key);
    // Its client is gone, unless HTTP/2 has found a fault with it.
    socket.on('error', ({ code = '', message }: NodeJS.ErrnoException) => {
      if (code.startsWith('ERR_HTTP2')) this.#options.refused('protocol', peer, message);
    });
    const names = certificateNames(socket.getPeerCertificate());
    const identity = identityOf(names);
    const why = this.#refusal(socket, identity);
    if (identity === undefined || why !== undefined) {
      this.#options.refused(why ?? 'no_name', peer, identity ?? '');
      socket.destroy();
      return;
    }
    this.#connections.set(key, { names, identity, peer, close: () => socket.destroy() });
    this.#byIdentity.set(identity, this.#connectionsOf(identity) + 1);
    socket.once('close', () => {
      this.#connections.delete(key);
      const left = this.#connectionsOf(identity) - 1;
      if (left > 0) this.#byIdentity.set(identity, left);
      else this.#byIdentity.delete(identity);
    });
    this.#options.enter(socket);
  }

  #refusal(socket: TLSSocket, identity: string | undefined): DoorRefusal | undefined {
    const { limits } = this.#options;
    if (socket.alpnProtocol !== 'h2') return 'no_http2';
    if (identity === undefined) return 'no_name';
    if (this.#connections.size >= limits.connections) return 'connections';
    return this.#connectionsOf(identity) >= limits.clientConnections ? 'client_connections' : undefined;
  }

  #connectionsOf(identity: string): number {
    return this.#byIdentity.get(identity) ?? 0;
  }
}

function keyOf({ localAddress, localPort, remoteAddress, remotePort }: Ends): string {
  return `${localAddress} ${localPort} ${remoteAddress} ${remotePort}`;
}

/** Empty once it is closed. */
function peerOf({ remoteAddress, remotePort }: Ends): string {
  if (remoteAddress === undefined) return '';
  return remoteAddress.includes(':') ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`;
}
