// SPDX-License-Identifier: Apache-2.0
// An authority of a test, what it signs, and a manager that is reached over TCP by clients with such certificates.
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { copyFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import { Client, credentials, type ServiceError, status } from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import { pino } from 'pino';
import type { DirectorServiceDefinition } from '../../../src/generated/fulcrum/v1/DirectorService.js';
import { type DirectorClient, type DirectorStreams, promiseClient } from '../../../src/grpc/client.js';
import { loadDirectorService } from '../../../src/grpc/loader.js';
import type { Limits } from '../../../src/grpc/tcp/limits.js';
import { type Manager, type ManagerOptions, startManager } from '../../../src/manager/manager.js';
import { temporaryDirectory } from './director.js';
import { FakeDataplane } from './fake_dataplane.js';

const openssl = (...parameters: readonly string[]) => promisify(execFile)('openssl', parameters);
const newKey = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-batch'];

export class Authority {
  readonly #directory: string;
  readonly name: string;

  private constructor(directory: string, name: string) {
    this.#directory = directory;
    this.name = name;
  }

  static async make(directory: string, name = 'ca'): Promise<Authority> {
    const authority = new Authority(directory, name);
    const files = ['-keyout', authority.path(`${name}.key`), '-out', authority.path(`${name}.crt`)];
    await openssl(...newKey, '-x509', '-days', '2', '-subj', `/CN=${name}`, ...files);
    return authority;
  }

  path(file: string): string {
    return join(this.#directory, file);
  }

  /** FILE.crt and FILE.key; "DNS:…" names are put beside the subject. */
  async sign(file: string, subject = `/CN=${file}`, names: readonly string[] = []): Promise<void> {
    const extension = names.length === 0 ? [] : ['-addext', `subjectAltName=${names.join(',')}`];
    const out = ['-keyout', this.path(`${file}.key`), '-out', this.path(`${file}.csr`)];
    await openssl(...newKey, '-subj', subject, ...extension, ...out);
    await openssl(
      ...['x509', '-req', '-in', this.path(`${file}.csr`), '-days', '2', '-copy_extensions', 'copy'],
      ...['-set_serial', `0x${randomBytes(8).toString('hex')}`],
      ...['-CA', this.path(`${this.name}.crt`), '-CAkey', this.path(`${this.name}.key`)],
      ...['-out', this.path(`${file}.crt`)],
    );
  }
}

export interface TlsRig {
  readonly authority: Authority;
  readonly manager: Manager;
  readonly directory: string;
  readonly dataplane: FakeDataplane;
  /** Log lines of the manager. */
  readonly logged: Record<string, unknown>[];
  readonly port: number;
  readonly connect: (file?: string) => DirectorClient;
  /** For calls by path, with bytes. */
  readonly rawClient: (file?: string) => Client;
  /** A TLS connection that has made its handshake. */
  readonly socket: (file: string) => Promise<TLSSocket>;
}

export interface TlsRigOptions extends Partial<ManagerOptions> {
  /** File names of clients' certificates; each is its common name, too. */
  readonly clients: readonly string[];
  /** Text of the roles file. */
  readonly roles?: string;
  readonly limits?: Partial<Limits>;
}

export async function startTlsRig(
  t: ExecutionContext,
  { clients, roles, limits, ...options }: TlsRigOptions,
): Promise<TlsRig> {
  const directory = temporaryDirectory(t);
  const authority = await Authority.make(directory);
  await authority.sign('server', '/CN=localhost', ['DNS:localhost', 'IP:127.0.0.1']);
  await Promise.all(clients.map((client) => authority.sign(client)));
  const path = (file: string): string => join(directory, file);
  if (roles !== undefined) await writeFile(path('roles.yaml'), roles);
  await copyFile(path('ca.crt'), path('clients.crt'));
  const dataplane = new FakeDataplane(path('dataplane.sock'));
  await dataplane.start();
  const logged: Record<string, unknown>[] = [];
  const manager = await startManager(
    {
      socket: path('manager.sock'),
      dataplaneSocket: path('dataplane.sock'),
      stateDirectory: path('state'),
      listen: {
        address: '127.0.0.1:0',
        tls: { certificate: path('server.crt'), key: path('server.key'), clientAuthority: path('clients.crt') },
        rolesFile: roles === undefined ? undefined : path('roles.yaml'),
        limits,
      },
      ...options,
    },
    pino({ level: 'info' }, { write: (line: string) => logged.push(JSON.parse(line)) }),
  );
  t.teardown(async () => {
    await manager.stop();
    dataplane.stop();
  });
  await dataplane.until(() => dataplane.applied.length > 0);
  const { port } = manager;
  const credentialsOf = (file: string | undefined) => {
    const authorityFile = readFileSync(path('ca.crt'));
    if (file === undefined) return credentials.createSsl(authorityFile);
    return credentials.createSsl(authorityFile, readFileSync(path(`${file}.key`)), readFileSync(path(`${file}.crt`)));
  };
  // Channels to the same place with the same credentials would share a connection.
  const own = { 'grpc.use_local_subchannel_pool': 1 };
  return {
    authority,
    manager,
    directory,
    dataplane,
    logged,
    port,
    connect: (file) => {
      const client = promiseClient<DirectorServiceDefinition, DirectorStreams>(
        `localhost:${port}`,
        loadDirectorService(),
        own,
        credentialsOf(file),
      );
      t.teardown(client.close);
      return client;
    },
    rawClient: (file) => {
      const client = new Client(`localhost:${port}`, credentialsOf(file), own);
      t.teardown(() => client.close());
      return client;
    },
    socket: async (file) => {
      const socket = connectTls({
        port,
        host: '127.0.0.1',
        servername: 'localhost',
        ALPNProtocols: ['h2'],
        ca: readFileSync(path('ca.crt')),
        key: readFileSync(path(`${file}.key`)),
        cert: readFileSync(path(`${file}.crt`)),
      });
      t.teardown(() => void socket.destroy());
      await once(socket, 'secureConnect');
      return socket;
    },
  };
}

/** The status that a call with an empty request ends with, "OK" when it is answered; and what is said. */
export function outcomeOf(client: Client, path: string): Promise<{ readonly code: string; readonly details: string }> {
  const same = (bytes: Buffer): Buffer => bytes;
  const call = client.makeBidiStreamRequest(path, same, same, { deadline: Date.now() + 10_000 });
  call.write(Buffer.alloc(0));
  // One that goes on reading would wait for the end of a stream of requests.
  if (!path.includes('reflection')) call.end();
  return new Promise((resolve) => {
    call.on('data', () => {
      resolve({ code: 'OK', details: '' });
      call.cancel();
    });
    call.on('end', () => resolve({ code: 'OK', details: '' }));
    call.on('error', (error: ServiceError) => resolve({ code: status[error.code] ?? '', details: error.details }));
  });
}
