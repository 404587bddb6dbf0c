// SPDX-License-Identifier: Apache-2.0
// Makes servers and binds them to a unix socket (mode 0660); src/grpc/tcp is the way in over TCP. A socket file that a
// killed process left is removed, but only after nobody answered on it.
import { chmodSync, lstatSync, mkdirSync, unlinkSync } from 'node:fs';
import { createConnection } from 'node:net';
import { dirname } from 'node:path';
import { Server, ServerCredentials, type ServerOptions } from '@grpc/grpc-js';
import { maxMessageBytes, socketTarget } from './client.js';
import { FulcrumError, quote } from './errors.js';

/** Longest path that fits struct sockaddr_un, with its closing zero byte. */
const maxSocketPathBytes = 107;

/** A server that takes messages as large as the clients send, if not told otherwise. */
export function createServer(options: ServerOptions = {}): Server {
  return new Server({
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    ...options,
  });
}

/** Binds to a unix socket, making its directory (mode 0750) if need be. */
export async function listenUnix(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > maxSocketPathBytes) {
    const message = `${quote(path)} is longer than the ${maxSocketPathBytes} bytes that a unix socket's path may have`;
    throw new FulcrumError({ code: 'INVALID_ARGUMENT', message });
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o750 });
  await removeStaleSocket(path);
  await bind(server, socketTarget(path), ServerCredentials.createInsecure());
  chmodSync(path, 0o660);
}

async function removeStaleSocket(path: string): Promise<void> {
  const file = lstatSync(path, { throwIfNoEntry: false });
  if (file === undefined) return;
  if (!file.isSocket()) {
    throw new FulcrumError({
      code: 'ALREADY_EXISTS',
      message: `${quote(path)} exists and is not a socket: left as it is`,
    });
  }
  if (await answers(path)) {
    throw new FulcrumError({ code: 'ALREADY_EXISTS', message: `another process listens on ${quote(path)}` });
  }
  unlinkSync(path);
}

/** Whether a process accepts connections on a unix socket. */
function answers(path: string): Promise<boolean> {
  return new Promise((done, fail) => {
    const connection = createConnection(path);
    connection.once('connect', () => {
      connection.destroy();
      done(true);
    });
    connection.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') done(false);
      else fail(new FulcrumError({ code: 'UNAVAILABLE', message: `${quote(path)}: ${error.message}`, cause: error }));
    });
  });
}

function bind(server: Server, address: string, credentials: ServerCredentials): Promise<void> {
  return new Promise((done, fail) => {
    server.bindAsync(address, credentials, (error) => {
      if (error === null) done();
      else
        fail(
          new FulcrumError({
            code: 'UNAVAILABLE',
            message: `cannot listen on ${address}: ${error.message}`,
            cause: error,
          }),
        );
    });
  });
}

/** Stops accepting, gives calls under way some time, then ends them. */
export function closeServer(server: Server, graceMs: number): Promise<void> {
  return new Promise((done) => {
    const timer = setTimeout(() => server.forceShutdown(), graceMs);
    server.tryShutdown(() => {
      clearTimeout(timer);
      done();
    });
  });
}
