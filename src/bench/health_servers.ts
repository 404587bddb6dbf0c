// SPDX-License-Identifier: Apache-2.0
// The servers that the health bench checks, in a process of their own: one listener of each kind on all addresses, one that
// goes away at a line of input, and some that mean no good. Says where they listen in a line of JSON; ends with its input.

import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

export interface Ports {
  readonly tcp: number;
  readonly failing: number;
  readonly http: number;
  readonly https: number;
  /** Takes connections and says nothing. */
  readonly silent: number;
  /** HTTP whose body never ends. */
  readonly endless: number;
  /** HTTP whose body is what backtracking engines choke on. */
  readonly letters: number;
  /** UDP that answers anything with the same nonsense. */
  readonly garbage: number;
}

/** Many connections come in one turn of the loop. */
const backlog = 4096;
const host = '0.0.0.0';

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen({ port: 0, host, backlog }, resolve));
  return (server.address() as AddressInfo).port;
}

const quiet = (socket: Socket): Socket => socket.on('error', () => undefined).resume();

const saying = (body: string): Promise<number> => listen(createHttpServer((_, response) => void response.end(body)));

async function serve(certificate: string, key: string): Promise<void> {
  const failing = createServer(quiet);
  const tls = { cert: readFileSync(certificate), key: readFileSync(key) };
  const garbage = createSocket('udp4').on('message', (_, from) => garbage.send('nonsense', from.port, from.address));
  await once(garbage.bind(0, host), 'listening');
  const ports: Ports = {
    tcp: await listen(createServer(quiet)),
    failing: await listen(failing),
    http: await saying('well\n'),
    https: await listen(createHttpsServer(tls, (_, response) => void response.end('well\n'))),
    silent: await listen(createServer({ allowHalfOpen: true }, quiet)),
    endless: await listen(createHttpServer((_, response) => void response.write('on and on'))),
    letters: await saying(`${'a'.repeat(100_000)}!`),
    garbage: garbage.address().port,
  };
  process.stdout.write(`${JSON.stringify(ports)}\n`);
  for await (const _ of createInterface({ input: process.stdin }))
    failing.close(() => void process.stdout.write('closed\n'));
  process.exit();
}

const [, , certificate = '', key = ''] = process.argv;
await serve(certificate, key);
