// SPDX-License-Identifier: Apache-2.0
// Other people's clients: buf curl (Go) by reflection, Python's grpcio for health, and TLS with and without certificate.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import test from 'ava';
import { pino } from 'pino';
import type { DirectorServiceDefinition } from '../../src/generated/fulcrum/v1/DirectorService.js';
import { promiseClient } from '../../src/grpc/client.js';
import { loadDirectorService } from '../../src/grpc/loader.js';
import { startManager } from '../../src/manager/manager.js';
import { failure, startRig, temporaryDirectory, webService } from './support/director.js';
import { bufCurl, run, startBufCurl } from './support/processes.js';

const director = 'fulcrum.v1.DirectorService';
const key = { protocol: 'PROTOCOL_TCP', address: '192.0.2.1', port: 80 };

test('buf curl lists services and methods by reflection', async (t) => {
  const { socket } = await startRig(t);
  t.deepEqual((await bufCurl(socket, '--list-services')).trim().split('\n'), [
    director,
    'grpc.health.v1.Health',
    'grpc.reflection.v1.ServerReflection',
    'grpc.reflection.v1alpha.ServerReflection',
  ]);
  const methods = (await bufCurl(socket, '--list-methods')).trim().split('\n');
  for (const method of Object.keys(loadDirectorService())) t.true(methods.includes(`${director}/${method}`), method);
});

test('buf curl creates, lists, updates, is refused with a stale etag, and deletes', async (t) => {
  const { socket } = await startRig(t);
  const call = async (method: string, request: object) =>
    JSON.parse((await bufCurl(socket, `${director}/${method}`, request)) || '{}');
  const created = await call('CreateVirtualService', { service: { key, spec: { scheduler: 'rr' } } });
  t.true(created.inForce);
  const listed = await call('ListVirtualServices', {});
  t.is(listed.services[0].key.address, '192.0.2.1');
  const { etag } = created.service;
  const update = { service: { key, spec: { scheduler: 'lc' }, etag }, updateMask: 'spec.scheduler' };
  t.is((await call('UpdateVirtualService', update)).service.spec.scheduler, 'lc');
  const stale = await t.throwsAsync<Error & { stderr: string }>(call('UpdateVirtualService', update));
  t.is(JSON.parse(stale?.stderr ?? '{}').code, 'aborted');
  await call('DeleteVirtualService', { key });
  t.deepEqual(await call('ListVirtualServices', {}).then(({ services }) => services ?? []), []);
});

test('buf curl reads health', async (t) => {
  const { socket } = await startRig(t);
  const answer = await bufCurl(socket, 'grpc.health.v1.Health/Check', { service: director });
  t.deepEqual(JSON.parse(answer), { status: 'SERVING' });
});

test('buf curl watches, until the manager stops', async (t) => {
  const { client, socket, stopManager } = await startRig(t);
  await client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1') });
  const watching = startBufCurl(socket, `${director}/Watch`, {});
  const ended = once(watching, 'close');
  let text = '';
  for await (const data of watching.stdout) {
    text += data;
    if (text.includes('endOfSnapshot')) break;
  }
  t.regex(text, /"address": "10\.0\.0\.1"/);
  await stopManager();
  await ended;
});

const pythonHealth = `
import sys, grpc
channel = grpc.insecure_channel("unix:" + sys.argv[1])
check = channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=None, response_deserializer=None)
name = sys.argv[2].encode()
try:
    print(check(b"" if not name else b"\\x0a" + bytes([len(name)]) + name, timeout=10).hex())
except grpc.RpcError as error:
    print(error.code().name, error.details())
`;

async function health(socket: string, service: string): Promise<string> {
  const { stdout } = await run('/usr/bin/python3', ['-c', pythonHealth, socket, service]);
  return stdout.trim();
}

test('grpcio of Python reads health', async (t) => {
  const { socket } = await startRig(t);
  // HealthCheckResponse.status = SERVING: field 1, varint 1.
  t.is(await health(socket, ''), '0801');
  t.is(await health(socket, director), '0801');
  t.regex(await health(socket, 'nobody'), /^NOT_FOUND /);
});

/** An authority, a server certificate for localhost, and a client certificate, all by openssl. */
async function makeCertificates(directory: string): Promise<(name: string) => string> {
  const path = (name: string) => join(directory, name);
  const openssl = (...args: string[]) => run('openssl', args);
  const newKey = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-batch'];
  for (const authority of ['ca', 'stranger-ca']) {
    await openssl(
      ...newKey,
      '-x509',
      '-days',
      '2',
      '-subj',
      `/CN=${authority}`,
      '-keyout',
      path(`${authority}.key`),
      '-out',
      path(`${authority}.crt`),
    );
  }
  for (const [name, authority] of [
    ['server', 'ca'],
    ['alice', 'ca'],
    ['mallory', 'stranger-ca'],
  ] as const) {
    const subject =
      name === 'server'
        ? ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
        : ['-subj', `/CN=${name}`];
    await openssl(...newKey, ...subject, '-keyout', path(`${name}.key`), '-out', path(`${name}.csr`));
    await openssl(
      'x509',
      '-req',
      '-in',
      path(`${name}.csr`),
      '-days',
      '2',
      '-copy_extensions',
      'copy',
      '-CA',
      path(`${authority}.crt`),
      '-CAkey',
      path(`${authority}.key`),
      '-CAcreateserial',
      '-out',
      path(`${name}.crt`),
    );
  }
  return path;
}

test('TCP: only clients with a certificate of the authority; the audit line names them', async (t) => {
  const directory = temporaryDirectory(t);
  const path = await makeCertificates(directory);
  const tls = { certificate: path('server.crt'), key: path('server.key'), clientAuthority: path('ca.crt') };
  const audited: { identity?: string }[] = [];
  const log = pino({ level: 'info' }, { write: (line: string) => audited.push(JSON.parse(line).audit ?? {}) });
  const manager = await startManager(
    {
      socket: path('manager.sock'),
      dataplaneSocket: path('none.sock'),
      stateDirectory: path('state'),
      listen: { address: 'localhost:0', tls },
      inForceTimeoutMs: 0,
    },
    log,
  );
  t.teardown(manager.stop);
  const connect = (channelCredentials = credentials.createInsecure()) => {
    const client = promiseClient<DirectorServiceDefinition, 'Watch'>(
      `localhost:${manager.port}`,
      loadDirectorService(),
      {},
      channelCredentials,
    );
    t.teardown(client.close);
    return client;
  };
  const authority = readFileSync(path('ca.crt'));
  const as = (name: string) =>
    credentials.createSsl(authority, readFileSync(path(`${name}.key`)), readFileSync(path(`${name}.crt`)));
  const service = webService('192.0.2.1');
  await connect(as('alice')).createVirtualService({ service });
  t.true(audited.some(({ identity }) => identity === 'cn:alice'));
  for (const stranger of [undefined, credentials.createSsl(authority), as('mallory')]) {
    t.regex(await failure(connect(stranger).getStatus({}, { timeoutMs: 5_000 })), /^UNAVAILABLE/);
  }
});
