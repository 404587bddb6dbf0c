// SPDX-License-Identifier: Apache-2.0
// What clients over TCP may take of the manager; docs/security.md has the same table. Each has a certificate of the
// authority, but a client that is broken, or was taken over, must not disturb others.

export interface Limits {
  /** TLS handshakes under way; when another client comes, the oldest one is given up. */
  readonly handshakes: number;
  readonly handshakeMs: number;
  readonly connections: number;
  /** Of one identity. */
  readonly clientConnections: number;
  /** Calls of one connection at a time, as HTTP/2 tells the client. */
  readonly connectionCalls: number;
  /** Of one identity at a time, over all its connections. */
  readonly clientCalls: number;
  /** Of these, streams: Watch, WatchDrain, Trace, reflection. */
  readonly clientStreams: number;
  /** Of one identity. */
  readonly callsPerSecond: number;
  /** As many at once after a quiet time. */
  readonly callBurst: number;
  /**
   * Refused calls of a connection after which it is closed, unless a second passes without any. With callBurst fewer than
   * the thousand requests taken back after which nghttp2 turns deaf to a connection, but leaves it open.
   */
  readonly refusals: number;
  /** Until a request is there as a whole. */
  readonly requestMs: number;
  readonly requestBytes: number;
  /** Without a call, a connection is closed. */
  readonly idleMs: number;
  /** A ping is sent so often, and is to be answered within the second time. */
  readonly pingMs: number;
  readonly pongMs: number;
}

export const usualLimits: Limits = {
  handshakes: 64,
  handshakeMs: 5_000,
  connections: 256,
  clientConnections: 16,
  connectionCalls: 64,
  clientCalls: 64,
  clientStreams: 16,
  callsPerSecond: 200,
  callBurst: 400,
  refusals: 400,
  requestMs: 30_000,
  requestBytes: 4 * 1024 * 1024,
  idleMs: 300_000,
  pingMs: 60_000,
  pongMs: 20_000,
};
