// SPDX-License-Identifier: Apache-2.0
// A manager on a unix socket in a directory of its own, with a fake dataplane. Everything goes when the test ends.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { pino } from 'pino';
import type { VirtualService } from '../../../src/generated/fulcrum/v1/VirtualService.js';
import { connectDirector, type DirectorClient } from '../../../src/grpc/client.js';
import { FulcrumError } from '../../../src/grpc/errors.js';
import { type Manager, type ManagerOptions, startManager } from '../../../src/manager/manager.js';
import { FakeDataplane } from './fake_dataplane.js';

export interface Rig {
  readonly client: DirectorClient;
  readonly dataplane: FakeDataplane;
  readonly socket: string;
  readonly directory: string;
  /** Of HTTP; 0 without it. */
  readonly httpPort: () => number;
  /** Stops the manager and starts another one on the same state. */
  readonly restartManager: () => Promise<void>;
  readonly stopManager: () => Promise<void>;
}

export interface RigOptions extends Partial<ManagerOptions> {
  /** Start the fake dataplane too; default true. */
  readonly withDataplane?: boolean;
}

export function temporaryDirectory(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-grpc-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

export async function startRig(
  t: ExecutionContext,
  { withDataplane = true, ...options }: RigOptions = {},
): Promise<Rig> {
  const directory = temporaryDirectory(t);
  const socket = join(directory, 'manager.sock');
  const dataplaneSocket = join(directory, 'dataplane.sock');
  const dataplane = new FakeDataplane(dataplaneSocket);
  if (withDataplane) await dataplane.start();
  const start = () =>
    startManager(
      { socket, dataplaneSocket, stateDirectory: join(directory, 'state'), ...options },
      pino({ level: 'silent' }),
    );
  let manager: Manager = await start();
  if (withDataplane) await dataplane.until(() => dataplane.applied.length > 0);
  const client = connectDirector(socket);
  t.teardown(async () => {
    client.close();
    await manager.stop();
    dataplane.stop();
  });
  return {
    client,
    dataplane,
    socket,
    directory,
    httpPort: () => manager.httpPort(),
    stopManager: () => manager.stop(),
    restartManager: async () => {
      await manager.stop();
      manager = await start();
    },
  };
}

/** Key of a TCP service. */
export function tcp(address: string, port = 80) {
  return { protocol: 'PROTOCOL_TCP', address, port } as const;
}

/** A TCP service with servers by NAT, to be added in that order. */
export function webService(address: string, ...servers: string[]): VirtualService {
  return {
    key: tcp(address),
    spec: { scheduler: 'rr' },
    servers: servers.map((server) => ({
      key: { address: server, port: 8080 },
      spec: { method: 'FORWARDING_METHOD_NAT' },
    })),
  };
}

/** "NOT_FOUND REASON_SERVICE_NOT_FOUND key" of the error that a call fails with. */
export async function failure(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (error instanceof FulcrumError) return `${error.code} ${error.reason} ${error.field}`.trimEnd();
    throw error;
  }
  return 'no failure';
}
