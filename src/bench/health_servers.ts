// SPDX-License-Identifier: Apache-2.0
// The servers that the health bench checks, in a process of their own: one listener of each kind on all addresses, and one
// that goes away when it is told to.

import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Server } from 'node:net';

/** What this process tells when it listens. */
export interface Ports {
  readonly tcp: number;
  readonly failing: number;
  readonly http: number;
  readonly https: number;
}

/** Many connections come in one turn of the loop. */
const backlog = 4096;

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '0.0.0.0', backlog }, resolve));
  return (server.address() as AddressInfo).port;
}

function closing(): Server {
  return createServer((socket) => {
    socket.on('error', () => undefined);
    socket.resume();
  });
}

async function serve(certificate: string, key: string): Promise<void> {
  const failing = closing();
  const ports: Ports = {
    tcp: await listen(closing()),
    failing: await listen(failing),
    http: await listen(createHttpServer((_, response) => void response.end('well\n'))),
    https: await listen(
      createHttpsServer({ cert: readFileSync(certificate), key: readFileSync(key) }, (_, response) => {
        response.end('well\n');
      }),
    ),
  };
  process.on('message', () => failing.close(() => process.send?.('closed')));
  // Nobody to serve any more.
  process.on('disconnect', () => process.exit());
  process.send?.(ports);
}

const [, , certificate = '', key = ''] = process.argv;
await serve(certificate, key);
