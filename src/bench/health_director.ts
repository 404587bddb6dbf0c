// SPDX-License-Identifier: Apache-2.0
// A whole director that checks its servers: what that costs the manager, and in how many changes of the dataplane a
// failure of many servers at once gets there.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pass } from 'node:timers/promises';
import type { VirtualService } from '../generated/fulcrum/v1/VirtualService.js';
import { connectDirector, type DirectorClient } from '../grpc/client.js';
import { LabDirector } from '../lab/director.js';
import { temporaryDirectory } from '../lab/lab.js';
import { World } from '../lab/world.js';
import type { HealthOptions } from './health.js';
import { loopback, type Ports, withServers } from './health_rig.js';
import { memoryOf } from './memory.js';

export interface DirectorHealth {
  /** Of one CPU, by the manager. */
  readonly cpuPercent: number;
  readonly residentMb: number;
  readonly failing: number;
  /** Changes that the dataplane was sent. */
  readonly applies: number;
  /** From the failure until the dataplane had the last of them. Checks are spread over the interval. */
  readonly lastMs: number;
}

const serversPerService = 100;
const patience = { timeoutMs: 60_000 };
const warmUpIntervals = 2;
/** Of /proc/PID/stat: USER_HZ is 100 on every architecture that Linux has. */
const tickMs = 10;

/** A director in a namespace of its own, whose packets come from nowhere and go nowhere. */
export async function withDirector<T>(
  name: string,
  { workerCpu, housekeepingCpu, signal }: Pick<HealthOptions, 'workerCpu' | 'housekeepingCpu' | 'signal'>,
  use: (client: DirectorClient, enter: readonly string[]) => Promise<T>,
): Promise<T> {
  const world = await World.create(`bench-${name}-${process.pid}`);
  const end = (): void => void world.destroy();
  signal.addEventListener('abort', end, { once: true });
  try {
    await world.addNamespace('director');
    const place = { world, namespace: 'director', directory: temporaryDirectory(world), signal };
    const director = await LabDirector.start(
      place,
      `cpus: { housekeeping: [${housekeepingCpu}], workers: [${workerCpu}] }
memory: { hugepages: off, connections: 65536 }
idle: sleep
ports: { nowhere: { device: "net_null0,no-rx=1", interfaces: [{ addresses: [10.0.0.1/8] }] } }
`,
    );
    const client = connectDirector(join(director.runDirectory, 'manager.sock'));
    try {
      return await use(client, ['ip', 'netns', 'exec', world.name('director')]);
    } finally {
      client.close();
      await director.stop();
    }
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', end);
    await world.destroy();
  }
}

export function measureDirector(options: HealthOptions): Promise<DirectorHealth> {
  const { targets, intervalMs, seconds, failing, say, signal } = options;
  return withDirector('health', options, (client, enter) =>
    withServers(enter, async ({ ports, fail }) => {
      say(`a director with ${targets} real servers, each checked every ${intervalMs} ms, for ${seconds} s`);
      await client.apply({ configuration: { services: serviceList(options, ports) } }, patience);
      await pass(warmUpIntervals * intervalMs, undefined, { signal });
      const { pid } = await client.getStatus({}, patience);
      const before = { cpuMs: cpuMsOf(pid), at: performance.now() };
      await pass(seconds * 1000, undefined, { signal });
      const cpuPercent = (100 * (cpuMsOf(pid) - before.cpuMs)) / (performance.now() - before.at);
      const { residentMb } = memoryOf(pid);
      await requireInPool(client, targets);

      say(`${failing} of them fail at once`);
      const { generation } = await caughtUp(client);
      const told = downs(client, signal);
      await told.next();
      await fail();
      const failedAt = performance.now();
      for (let left = failing; left > 0; left--) await told.next();
      await told.return();
      const { generation: last, at } = await caughtUp(client);
      await requireInPool(client, targets - failing);
      return {
        cpuPercent: Math.round(10 * cpuPercent) / 10,
        residentMb,
        failing,
        applies: last - generation,
        lastMs: Math.round(at - failedAt),
      };
    }),
  );
}

/** Real servers behind the port; what is asked instead of each is a loopback address of its own. */
function serviceList({ targets, intervalMs, failing }: HealthOptions, ports: Ports): VirtualService[] {
  return Array.from({ length: Math.ceil(targets / serversPerService) }, (_, service) => ({
    key: { protocol: 'PROTOCOL_TCP', address: '203.0.113.1', port: 1024 + service },
    health: { checks: [{ tcp: {}, intervalMs }] },
    servers: Array.from({ length: Math.min(serversPerService, targets - service * serversPerService) }, (_, index) => {
      const number = service * serversPerService + index;
      const port = number < failing ? ports.failing : ports.tcp;
      return {
        key: { address: loopback(number).replace(/^127/, '10'), port: 1024 + service },
        spec: { weight: 1 },
        health: { checks: [{ tcp: {}, intervalMs, address: loopback(number), port }] },
      };
    }),
  }));
}

/** Yields once when it listens, then for each server that goes down. */
async function* downs(client: DirectorClient, signal: AbortSignal): AsyncGenerator<void, void> {
  for await (const { endOfSnapshot, happened } of client.watch({}, { signal }))
    if (endOfSnapshot || happened?.kind === 'server_down') yield;
}

/** When the dataplane has what is wanted. */
async function caughtUp(client: DirectorClient): Promise<{ readonly generation: number; readonly at: number }> {
  for (;;) {
    const { dataplane } = await client.getStatus({}, patience);
    if (dataplane !== null && dataplane.generationApplied === dataplane.generationWanted)
      return { generation: Number(dataplane.generationApplied), at: performance.now() };
  }
}

/** Throws if others than so many servers have been found good and serve. */
async function requireInPool(client: DirectorClient, count: number): Promise<void> {
  let serving = 0;
  let pageToken = '';
  do {
    const page = await client.listVirtualServices({ pageToken }, patience);
    pageToken = page.nextPageToken;
    for (const { servers } of page.services)
      serving += servers.filter(({ condition }) => condition?.inPool && condition.state === 'SERVER_STATE_UP').length;
  } while (pageToken !== '');
  if (serving !== count) throw new Error(`${serving} servers serve, and ${count} should`);
}

function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
}
