// SPDX-License-Identifier: Apache-2.0
// gRPC checks against a real gRPC server, and against what is none.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import { createServer as createTlsServer } from 'node:https';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { addHealth } from '../../../../src/grpc/health.js';
import { type Certificates, makeCertificates } from './support/certificates.js';
import { grpcCheck, outcome, refusal, tlsOptions } from './support/checks.js';
import { closedPort, listen, tcpServer } from './support/servers.js';

let certificates: Certificates;
test.before(async () => {
  certificates = await makeCertificates();
});
test.after.always(() => certificates.remove());

async function grpcServer(t: ExecutionContext, credentials: ServerCredentials, healthy: boolean | 'none') {
  const server = new Server();
  if (healthy !== 'none') addHealth(server, ['fulcrum.v1.DirectorService']).setServing(healthy);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error))),
  );
  t.teardown(() => server.forceShutdown());
  return { address: '127.0.0.1', port };
}

test('a server says that it serves, as a whole and by name', async (t) => {
  const target = await grpcServer(t, ServerCredentials.createInsecure(), true);
  t.is(await outcome(grpcCheck(), target), 'passed');
  t.is(await outcome(grpcCheck('fulcrum.v1.DirectorService'), target), 'passed');
  t.is(await outcome(grpcCheck('some.Other'), target), 'it does not know the service "some.Other"');
});

test('a server says that it does not', async (t) => {
  const target = await grpcServer(t, ServerCredentials.createInsecure(), false);
  t.is(await outcome(grpcCheck(), target), 'it says NOT_SERVING');
});

test('a server without a health service', async (t) => {
  const target = await grpcServer(t, ServerCredentials.createInsecure(), 'none');
  t.is(await outcome(grpcCheck(), target), 'it has no health service (UNIMPLEMENTED)');
});

test('over TLS', async (t) => {
  const [key, certificate, authority] = ['server.key', 'server.crt', 'ca.crt'].map((name) =>
    readFileSync(certificates.path(name)),
  );
  const pair = { private_key: key as Buffer, cert_chain: certificate as Buffer };
  const target = await grpcServer(t, ServerCredentials.createSsl(authority as Buffer, [pair]), true);
  const caFile = certificates.path('ca.crt');
  t.is(await outcome(grpcCheck('', tlsOptions()), target), 'passed');
  t.is(await outcome(grpcCheck('', tlsOptions({ verify: true, caFile, serverName: 'localhost' })), target), 'passed');
  t.is(
    await outcome(grpcCheck('', tlsOptions({ verify: true, caFile, serverName: 'other.example' })), target),
    'certificate is not valid for other.example, only for DNS:localhost, IP Address:127.0.0.1',
  );
  t.regex(await outcome(grpcCheck(), target, 2000), /^(connection (reset|closed without an answer)|HTTP\/2: .*)$/);
});

test('servers that are none', async (t) => {
  t.is(await outcome(grpcCheck(), await closedPort()), 'connection refused');
  const silent = await tcpServer(t, (socket) => void socket.resume());
  t.is(await outcome(grpcCheck(), silent, 150), 'connected, but no answer in 150 ms');
  const http1 = await listen(
    t,
    createServer((_, response) => void response.end()),
  );
  t.regex(
    await outcome(grpcCheck(), http1, 2000),
    /^(connection closed without an answer|connection reset|HTTP\/2: .*)$/,
  );
  const http2 = await listen(
    t,
    createHttp2Server((_, response) => {
      response.statusCode = 404;
      response.end();
    }),
  );
  t.is(await outcome(grpcCheck(), http2), 'HTTP status 404: this is not gRPC');
  const web = await listen(
    t,
    createHttp2Server((_, response) => void response.end('hello')),
  );
  t.is(await outcome(grpcCheck(), web), 'answer has no grpc-status: this is not gRPC');
  const garbage = await listen(
    t,
    createHttp2Server((_, response) => {
      response.setHeader('grpc-status', '0');
      response.end('hello');
    }),
  );
  t.is(await outcome(grpcCheck(), garbage), 'answer is not a HealthCheckResponse');
  const broken = await listen(
    t,
    createHttp2Server((_, response) => {
      response.setHeader('grpc-status', '14');
      response.setHeader('grpc-message', 'database%20is%20away');
      response.end();
    }),
  );
  t.is(await outcome(grpcCheck(), broken), 'UNAVAILABLE: database is away');
  const files = {
    cert: readFileSync(certificates.path('server.crt')),
    key: readFileSync(certificates.path('server.key')),
  };
  const https = await listen(
    t,
    createTlsServer(files, (_, response) => void response.end()),
  );
  t.regex(
    await outcome(grpcCheck('', tlsOptions()), https),
    /^(it does not offer HTTP\/2 \(ALPN h2\)|TLS: .*no application protocol)$/,
  );
});

test('what cannot be asked', (t) => {
  t.is(refusal(grpcCheck('a\0')), 'health.checks[0].grpc.service: "a\\u0000" has a control character');
  t.is(
    refusal(grpcCheck('', tlsOptions({ caFile: '/nonexistent' }))),
    'health.checks[0].grpc.tls.ca_file: "/nonexistent" cannot be read: no such file or directory',
  );
});
