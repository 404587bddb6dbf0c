// SPDX-License-Identifier: Apache-2.0
// ORCA's out-of-band reports from a real gRPC server, and what becomes of a stream that ends.
import { readFileSync } from 'node:fs';
import { createServer as createHttp2Server } from 'node:http2';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import test from 'ava';
import { makeCertificates } from '../health/support/certificates.js';
import { tlsOptions } from '../health/support/checks.js';
import { closedPort, listen, tcpServer } from '../health/support/servers.js';
import { OrcaServer, orcaSource, refusal, Watcher } from './support/sources.js';

/** At once, and whatever it is. */
const direct = { smoothingMs: 0, deadBandPercent: 0, leastPercent: 0 };

test('reports become weights: the application says how busy it is, or else its CPU', async (t) => {
  const server = await OrcaServer.start(t);
  const watcher = new Watcher(t);
  watcher.set(server.target, orcaSource({ ...direct, intervalMs: 1500 }));
  const stream = await server.stream();
  t.deepEqual(stream.request.reportInterval, { seconds: '1', nanos: 500_000_000 });
  stream.write({ cpuUtilization: 0.2 });
  t.is(await watcher.next(), '80%');
  stream.write({ cpuUtilization: 0.2, applicationUtilization: 0.75, namedMetrics: { queue: 3 } });
  t.is(await watcher.next(), '25%');
  t.is(watcher.monitor.status('a')?.lastReading, 'application_utilization 0.75');
  // Utilizations may be above 1.
  stream.write({ applicationUtilization: 1.5 });
  t.is(await watcher.next(), '0%');
  // Many reports in one segment, and one in many, are the same to who reads them.
  for (const busy of [0.1, 0.2, 0.3]) stream.write({ applicationUtilization: busy, requestCost: costs });
  t.is(await watcher.next(), '90%');
  t.is(await watcher.next(), '80%');
  t.is(await watcher.next(), '70%');
  watcher.monitor.remove('a');
  await new Promise((resolve) => stream.once('cancelled', resolve));
});

const costs = Object.fromEntries(Array.from({ length: 5000 }, (_, index) => [`cost-${index}`, index]));

test('a metric by its name', async (t) => {
  const server = await OrcaServer.start(t);
  const watcher = new Watcher(t);
  watcher.set(server.target, orcaSource({ ...direct, idle: 0, busy: 20 }, { metric: 'named_metrics.queue' }));
  const stream = await server.stream();
  stream.write({ applicationUtilization: 1 });
  await watcher.problem(/^report has no named_metrics\.queue$/);
  stream.write({ namedMetrics: { queue: 5 } });
  t.is(await watcher.next(), '75%');
  t.is(watcher.monitor.status('a')?.problem, '');
  watcher.set(server.target, orcaSource(direct, { metric: 'utilization.disk' }));
  const other = await server.stream();
  other.write({ utilization: { disk: 0.5 } });
  t.is(await watcher.next(), '50%');
});

test('the stream is opened again when it ends, and when the server comes back', async (t) => {
  const server = await OrcaServer.start(t);
  const watcher = new Watcher(t);
  watcher.set(server.target, orcaSource(direct));
  const first = await server.stream();
  first.write({ applicationUtilization: 0.5 });
  t.is(await watcher.next(), '50%');
  first.end();
  await watcher.problem(/^it ended the stream$/);
  const second = await server.stream();
  second.write({ applicationUtilization: 0.4 });
  t.is(await watcher.next(), '60%');
  server.stop();
  await watcher.problem(/^connection (refused|closed|reset)/);
  const { port } = server.target;
  const back = await OrcaServer.start(t, undefined, port);
  (await back.stream()).write({ applicationUtilization: 0.3 });
  t.is(await watcher.next(), '70%');
});

test('over TLS', async (t) => {
  const certificates = await makeCertificates();
  t.teardown(certificates.remove);
  const [key, certificate, authority] = ['server.key', 'server.crt', 'ca.crt'].map((name) =>
    readFileSync(certificates.path(name)),
  );
  const pair = { private_key: key as Buffer, cert_chain: certificate as Buffer };
  const server = await OrcaServer.start(t, ServerCredentials.createSsl(authority as Buffer, [pair]));
  const watcher = new Watcher(t);
  const tls = tlsOptions({ verify: true, caFile: certificates.path('ca.crt'), serverName: 'localhost' });
  watcher.set(server.target, orcaSource(direct, { tls }));
  (await server.stream()).write({ applicationUtilization: 0.5 });
  t.is(await watcher.next(), '50%');
  watcher.set(server.target, orcaSource(direct, { tls: { ...tls, serverName: 'other.example' } }));
  await watcher.problem(/^certificate is not valid for other\.example/);
});

test('servers that have no reports', async (t) => {
  const none = new Server();
  const port = await new Promise<number>((resolve) =>
    none.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (_, bound) => resolve(bound)),
  );
  t.teardown(() => none.forceShutdown());
  const problem = async (target: { address: string; port: number }, pattern: RegExp, timeoutMs = 2000) => {
    const watcher = new Watcher(t);
    watcher.set(target, orcaSource({ timeoutMs }));
    t.regex(await watcher.problem(pattern), pattern);
    await watcher.monitor.stop();
    t.deepEqual(watcher.told, []);
  };
  await problem({ address: '127.0.0.1', port }, /^it has no ORCA service \(UNIMPLEMENTED\)$/);
  await problem(await closedPort(), /^connection refused$/);
  await problem({ address: '127.0.0.1', port: 0 }, /^not asked: there is no port to check/);
  const web = await listen(
    t,
    createHttp2Server((_, response) => {
      response.statusCode = 404;
      response.end();
    }),
  );
  await problem(web, /^HTTP status 404: this is not gRPC$/);
  const garbage = await listen(
    t,
    createHttp2Server((_, response) => void response.write('hello, this is no report')),
  );
  await problem(garbage, /^it does not send load reports$/);
  const plain = await tcpServer(t, (socket) => socket.end('hello'));
  await problem(plain, /^(HTTP\/2: |connection (closed|reset))/);
});

test('what cannot be asked is refused, and the field named', (t) => {
  t.is(
    refusal(orcaSource({}, { metric: 'load' })),
    'health.load.orca.metric: "load" is not a metric of ORCA: application_utilization, cpu_utilization, mem_utilization, rps_fractional, eps, utilization.NAME, named_metrics.NAME',
  );
  t.regex(
    refusal(orcaSource({}, { tls: tlsOptions({ caFile: '/nonexistent' }) })),
    /^health\.load\.orca\.tls\.ca_file: /,
  );
});
