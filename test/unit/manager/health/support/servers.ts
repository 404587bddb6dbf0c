// SPDX-License-Identifier: Apache-2.0
// Servers of a test on loopback addresses, closed when the test ends, with all their connections.
import { createSocket, type Socket as DatagramSocket, type RemoteInfo } from 'node:dgram';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { ExecutionContext } from 'ava';
import type { Target } from '../../../../../src/manager/health/prober.js';

/** Listens with any server of Node's own (net, tls, http, https, http2). */
export async function listen(t: ExecutionContext, server: Server, address = '127.0.0.1'): Promise<Target> {
  const connections = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    connections.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => connections.delete(socket));
  });
  server.listen(0, address);
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of connections) socket.destroy();
    server.close();
  });
  return { address, port: (server.address() as AddressInfo).port };
}

/** A server that does this with each connection. */
export function tcpServer(t: ExecutionContext, serve: (socket: Socket) => void, address?: string): Promise<Target> {
  return listen(t, createServer(serve), address);
}

/** A server that says this as soon as something was asked, and closes. */
export function answering(t: ExecutionContext, answer: string): Promise<Target> {
  return tcpServer(t, (socket) => socket.once('data', () => socket.end(answer)));
}

/** A port nobody listens on. */
export async function closedPort(address = '127.0.0.1'): Promise<Target> {
  const server = createServer().listen(0, address);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return { address, port };
}

/** Calls `serve` for each datagram. */
export async function udpServer(
  t: ExecutionContext,
  serve: (message: Buffer, from: RemoteInfo, socket: DatagramSocket) => void,
  address = '127.0.0.1',
): Promise<Target> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  socket.on('message', (message, from) => serve(message, from, socket));
  socket.bind(0, address);
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  return { address, port: socket.address().port };
}

/** A UDP port of nobody's. */
export async function closedUdpPort(address = '127.0.0.1'): Promise<Target> {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4').bind(0, address);
  await once(socket, 'listening');
  const { port } = socket.address();
  socket.close();
  await once(socket, 'close');
  return { address, port };
}
