// SPDX-License-Identifier: Apache-2.0
// Certificates that are renewed while clients are connected: by a watched file, by SIGHUP, and one that is not good.
import { X509Certificate } from 'node:crypto';
import { copyFileSync, mkdirSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import test from 'ava';
import { pino } from 'pino';
import type { DirectorServiceDefinition } from '../../src/generated/fulcrum/v1/DirectorService.js';
import { type DirectorStreams, promiseClient } from '../../src/grpc/client.js';
import { loadDirectorService, projectRoot } from '../../src/grpc/loader.js';
import { startManager } from '../../src/manager/manager.js';
import { failure, temporaryDirectory, webService } from './support/director.js';
import { run, startProcess } from './support/processes.js';
import { Authority, startTlsRig, type TlsRig } from './support/tls.js';

type Watching = AsyncIterator<{ happened?: { kind: string; message: string } | null }>;

async function event(watching: Watching, kind: string): Promise<string> {
  for (;;) {
    const { value, done } = await watching.next();
    if (done) throw new Error('the stream has ended');
    if (value.happened?.kind === kind) return value.happened.message;
  }
}

function serialOf(file: string): string {
  return new X509Certificate(readFileSync(file)).serialNumber;
}

/** What openssl's own client is shown. */
async function servedSerial({ port, authority }: TlsRig, client: string): Promise<string> {
  const files = ['-cert', authority.path(`${client}.crt`), '-key', authority.path(`${client}.key`)];
  const script = 'openssl s_client "$@" </dev/null 2>/dev/null | openssl x509 -noout -serial';
  const { stdout } = await run('sh', [
    '-c',
    script,
    's_client',
    '-connect',
    `127.0.0.1:${port}`,
    '-alpn',
    'h2',
    ...files,
  ]);
  return stdout.trim().replace('serial=', '');
}

/** As certbot does: each file is there as a whole, one after the other. */
function install(authority: Authority, from: string, to: string): void {
  for (const kind of ['key', 'crt']) {
    copyFileSync(authority.path(`${from}.${kind}`), authority.path('renewed'));
    renameSync(authority.path('renewed'), authority.path(`${to}.${kind}`));
  }
}

test('a certificate is renewed: streams live on, new connections see the new one; a key of another one is refused', async (t) => {
  const rig = await startTlsRig(t, { clients: ['root'] });
  const { authority } = rig;
  await authority.sign('next', '/CN=localhost', ['DNS:localhost', 'IP:127.0.0.1']);
  await authority.sign('other', '/CN=localhost');
  const client = rig.connect('root');
  const watching = client.watch({})[Symbol.asyncIterator]();
  t.is(await servedSerial(rig, 'root'), serialOf(authority.path('server.crt')));
  install(authority, 'next', 'server');
  const serial = serialOf(authority.path('next.crt'));
  t.true((await event(watching, 'certificates_reloaded')).startsWith(`serial ${serial}, valid until `));
  t.is(await servedSerial(rig, 'root'), serial);
  copyFileSync(authority.path('other.key'), authority.path('server.key'));
  t.regex(
    await event(watching, 'certificates_refused'),
    /--tls-key .*server\.key is not that of the certificate; what /,
  );
  t.is(await servedSerial(rig, 'root'), serial);
  // The stream has lived through all of it.
  await client.createVirtualService({ service: webService('192.0.2.1') });
  for (;;) if ((await watching.next()).value?.service?.key.address === '192.0.2.1') break;
  await watching.return?.();
  t.true(rig.logged.some(({ kind }) => kind === 'certificates_refused'));
});

test('an authority is exchanged: its clients are not let in any more, those of the new one are', async (t) => {
  const rig = await startTlsRig(t, { clients: ['root'] });
  const old = rig.connect('root');
  const watching = old.watch({})[Symbol.asyncIterator]();
  await watching.next();
  const second = await Authority.make(rig.directory, 'ca2');
  await second.sign('successor');
  t.regex(await failure(rig.connect('successor').getStatus({}, { timeoutMs: 5_000 })), /^UNAVAILABLE/);
  copyFileSync(second.path('ca2.crt'), second.path('clients.new'));
  renameSync(second.path('clients.new'), second.path('clients.crt'));
  await event(watching, 'certificates_reloaded');
  t.is(await failure(rig.connect('successor').getStatus({})), 'no failure');
  t.regex(await failure(rig.connect('root').getStatus({}, { timeoutMs: 5_000 })), /^UNAVAILABLE/);
  await watching.return?.();
});

test('SIGHUP: files behind links in other directories are read at once; the manager goes on', async (t) => {
  const directory = temporaryDirectory(t);
  const authority = await Authority.make(directory);
  const at = (name: string): string => join(directory, name);
  for (const name of ['server', 'next']) await authority.sign(name, '/CN=localhost', ['DNS:localhost']);
  mkdirSync(at('live'));
  for (const kind of ['key', 'crt']) {
    renameSync(at(`server.${kind}`), at(`live/server.${kind}`));
    symlinkSync(at(`live/server.${kind}`), at(`server.${kind}`));
  }
  const tls = ['--tls-cert', at('server.crt'), '--tls-key', at('server.key'), '--tls-client-ca', at('ca.crt')];
  const sockets = ['--socket', at('manager.sock'), '--dataplane', at('none.sock'), '--state-dir', at('state')];
  const listen = ['--listen', '127.0.0.1:0', ...tls];
  const manager = startProcess(t, 'src/manager/main.js', [...sockets, ...listen]);
  await manager.logged('ready');
  for (const kind of ['key', 'crt']) renameSync(at(`next.${kind}`), at(`live/server.${kind}`));
  manager.process.kill('SIGHUP');
  const certificate = new X509Certificate(readFileSync(at('live/server.crt')));
  await manager.logged(`serial ${certificate.serialNumber}, valid until ${certificate.validTo}`);
  manager.process.kill('SIGTERM');
  t.is((await manager.exited).code, 0);
});

test('at the start a file that is not good ends the manager, by name', async (t) => {
  const directory = temporaryDirectory(t);
  const authority = await Authority.make(directory);
  for (const name of ['server', 'other']) await authority.sign(name, '/CN=localhost');
  const at = (name: string): string => join(directory, name);
  const sockets = ['--socket', at('manager.sock'), '--dataplane', at('none.sock'), '--state-dir', at('state')];
  const tls = ['--tls-cert', at('server.crt'), '--tls-key', at('other.key'), '--tls-client-ca', at('ca.crt')];
  const { code, stderr } = await startProcess(t, 'src/manager/main.js', [
    ...sockets,
    ...['--listen', '127.0.0.1:0', ...tls],
  ]).exited;
  t.is(code, 1);
  t.true(stderr.startsWith(`manager: --tls-key ${at('other.key')} is not that of the certificate`), stderr);
});

/** Blocks of docs/security.md in a language. */
function documented(language: string): readonly string[] {
  const text = readFileSync(join(projectRoot, 'docs', 'security.md'), 'utf8');
  return [...text.matchAll(/^```(\w+)\n(.*?)^```/gms)].flatMap(([, of, block]) =>
    of === language ? [block ?? ''] : [],
  );
}

test('the commands of the documentation make what its manager takes, and its roles file says who may do what', async (t) => {
  const directory = temporaryDirectory(t);
  await run('sh', ['-euc', documented('sh')[0] ?? ''], { cwd: directory });
  const at = (name: string): string => join(directory, name);
  writeFileSync(at('roles.yaml'), documented('yaml')[0] ?? '');
  const manager = await startManager(
    {
      socket: at('manager.sock'),
      dataplaneSocket: at('none.sock'),
      stateDirectory: at('state'),
      listen: {
        address: '127.0.0.1:0',
        tls: { certificate: at('server.crt'), key: at('server.key'), clientAuthority: at('ca.crt') },
        rolesFile: at('roles.yaml'),
      },
    },
    pino({ level: 'silent' }),
  );
  t.teardown(manager.stop);
  const files = [at('ca.crt'), at('ops.key'), at('ops.crt')].map((file) => readFileSync(file));
  const client = promiseClient<DirectorServiceDefinition, DirectorStreams>(
    `127.0.0.1:${manager.port}`,
    loadDirectorService(),
    { 'grpc.ssl_target_name_override': 'director.example.net' },
    credentials.createSsl(files[0] as Buffer, files[1] as Buffer, files[2] as Buffer),
  );
  t.teardown(client.close);
  t.truthy((await client.setTunables({ tunables: {}, validateOnly: true })).revision);
});
