// SPDX-License-Identifier: Apache-2.0
// After a thousand tries of each kind, passed, failed and late, this process has what it had before: no descriptor, no
// timer, no socket more.
import { readdirSync, readFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import test from 'ava';
import type { Check__Output } from '../../../../src/generated/fulcrum/v1/Check.js';
import { addHealth } from '../../../../src/grpc/health.js';
import { prepareCheck } from '../../../../src/manager/health/prepare.js';
import type { Target } from '../../../../src/manager/health/prober.js';
import { makeCertificates } from './support/certificates.js';
import {
  commandCheck,
  dnsCheck,
  grpcCheck,
  httpCheck,
  path,
  pingCheck,
  smtpCheck,
  tcpCheck,
  tlsOptions,
  udpCheck,
} from './support/checks.js';
import { closedPort, closedUdpPort, listen, tcpServer, udpServer } from './support/servers.js';

test('nothing is left behind', async (t) => {
  const certificates = await makeCertificates();
  t.teardown(certificates.remove);
  const files = {
    cert: readFileSync(certificates.path('server.crt')),
    key: readFileSync(certificates.path('server.key')),
  };
  const http = await listen(
    t,
    createHttpServer((_, response) => void response.end('well')),
  );
  const https = await listen(
    t,
    createHttpsServer(files, (_, response) => void response.end('well')),
  );
  const silent = await tcpServer(t, (socket) => void socket.resume());
  const smtp = await tcpServer(t, (socket) => {
    socket.write('220 ready\r\n');
    socket.on('data', (data: Buffer) =>
      data.includes('QUIT') ? socket.end('221 bye\r\n') : socket.write('250 hello\r\n'),
    );
  });
  const echo = await udpServer(t, (message, from, socket) => socket.send(message, from.port, from.address));
  const health = new Server();
  addHealth(health, []).setServing(true);
  const grpcPort = await new Promise<number>((resolve) =>
    health.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, port) => resolve(port)),
  );
  t.teardown(() => health.forceShutdown());
  const grpc = { address: '127.0.0.1', port: grpcPort };
  const closed = await closedPort();
  const closedUdp = await closedUdpPort();
  const encrypted = httpCheck({ tls: tlsOptions() });
  const verified = httpCheck({ tls: tlsOptions({ verify: true }) });
  const reply = udpCheck({ requireReply: true });
  const cases: readonly (readonly [Check__Output, Target, number])[] = [
    [tcpCheck(), http, 1000],
    [tcpCheck(), closed, 1000],
    [httpCheck(), http, 1000],
    [httpCheck({ expectedStatus: [{ first: 404, last: 0 }] }), http, 1000],
    [httpCheck(), silent, 100],
    [httpCheck(), closed, 500],
    [encrypted, https, 500],
    [verified, https, 500],
    [encrypted, silent, 100],
    [smtpCheck(), smtp, 500],
    [smtpCheck(), silent, 100],
    [grpcCheck(), grpc, 500],
    [grpcCheck(), silent, 100],
    [reply, echo, 1000],
    [reply, closedUdp, 500],
    [udpCheck(), echo, 100],
    [dnsCheck(), echo, 500],
    [commandCheck(['true']), closed, 40],
    [commandCheck(['sleep', '60']), closed, 5],
    [pingCheck(), closed, 10],
  ];
  const run = async (share: number) => {
    for (const [check, target, count] of cases) await probeMany(check, target, Math.ceil(count * share));
  };
  // What is loaded and cached with the first use is not a leak.
  await run(0.02);
  const before = await belongings();
  await run(1);
  t.deepEqual(await belongings(), before);
});

/** Fifty at a time; all of a kind with one time limit, so that some are aborted by it. */
async function probeMany(check: Check__Output, target: Target, count: number): Promise<void> {
  const { prober } = prepareCheck(check, path);
  let left = count;
  const worker = async (): Promise<void> => {
    while (left-- > 0) await prober.probe(target, 150, new AbortController().signal);
  };
  await Promise.all(Array.from({ length: Math.min(50, count) }, worker));
}

/** What was the same for a second: the servers' sides of connections close a little later than ours. */
async function belongings(): Promise<unknown> {
  let last = '';
  for (let same = 0; same < 10; ) {
    const now = JSON.stringify(count());
    same = now === last ? same + 1 : 0;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return JSON.parse(last);
}

function count() {
  const resources: Record<string, number> = {};
  for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
  const children = readFileSync(`/proc/self/task/${process.pid}/children`, 'utf8').trim();
  return { files: readdirSync('/proc/self/fd').length, resources, children };
}
