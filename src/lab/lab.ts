// SPDX-License-Identifier: Apache-2.0
// The lab while it stands: hosts in network namespaces, a director between them, and requests through it.

import { chmodSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { thisMachine } from '../config/machine.js';
import type { RequestResult } from './client.js';
import type { Task } from './command.js';
import { builtProgram, LabDirector } from './director.js';
import { client, client6, configuration, director, families, legs, servers, services } from './plan.js';
import { startServer } from './servers.js';
import { World } from './world.js';

export interface LabOptions {
  /** Namespaces are called <prefix>-client, <prefix>-director, … */
  readonly prefix: string;
  readonly workers: number;
  /** Each port has an interface of the kernel, so that the manager can check the servers. */
  readonly kernelPorts?: boolean;
  /** What happens, for people. */
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
  /** Further ones of `fulcrum up`. */
  readonly upArguments?: readonly string[] | undefined;
}

export class Lab {
  readonly world: World;
  /** Of the director, and of each server's nginx by its name. */
  readonly directory: string;
  /** The director's configuration, as text. */
  readonly configuration: string;
  readonly director: LabDirector;

  private constructor(world: World, directory: string, configuration: string, director: LabDirector) {
    this.world = world;
    this.directory = directory;
    this.configuration = configuration;
    this.director = director;
  }

  /** Builds everything and returns when the director is ready; whatever fails or is aborted, nothing is left. */
  static async start(options: LabOptions): Promise<Lab> {
    const world = await World.create(options.prefix);
    try {
      const directory = temporaryDirectory(world);
      await buildNetwork(world, options);
      await buildServers(world, directory, options);
      options.say(
        `director ${director.wan} / ${director.lan}${families.includes(6) ? `, ${director.wan6} / ${director.lan6}` : ''}`,
      );
      if (!families.includes(6)) options.say('this kernel has no IPv6: IPv4 only');
      options.signal.throwIfAborted();
      const text = configuration(options.workers, thisMachine().cpus, options.kernelPorts);
      const { signal, upArguments } = options;
      const place = { world, namespace: 'director', directory, signal, upArguments };
      return new Lab(world, directory, text, await LabDirector.start(place, text));
    } catch (error) {
      await world.destroy();
      throw error;
    }
  }

  /** Sends `count` requests to each VIP, one VIP after the other. Resolves when all have been answered or failed. */
  async requestInTurn(count: number, take: (result: RequestResult) => void, signal: AbortSignal): Promise<void> {
    const task = this.#client(count, 0, take);
    const stop = (): void => task.signal('SIGTERM');
    signal.addEventListener('abort', stop, { once: true });
    const ending = await task.ended;
    signal.removeEventListener('abort', stop);
    signal.throwIfAborted();
    if (ending !== 'exit code 0') throw new Error(`the lab's client ended early (${ending}): ${task.tail.join('\n')}`);
  }

  /** Sends requests to all VIPs at this pace until the lab is destroyed. */
  requestForever(intervalMs: number, take: (result: RequestResult) => void): Task {
    return this.#client(0, intervalMs, take);
  }

  async destroy(): Promise<void> {
    await this.director.stop();
    await this.world.destroy();
  }

  #client(count: number, intervalMs: number, take: (result: RequestResult) => void): Task {
    const targets = services.map(({ name, vip }) => `${name}=${vip}`);
    const program = [builtProgram('lab/client'), String(count), String(intervalMs), ...targets];
    const task = this.world.spawn('client', [process.execPath, ...program]);
    task.onLine((line) => {
      if (line.startsWith('{')) take(JSON.parse(line) as RequestResult);
    });
    return task;
  }
}

/** A directory that goes with the world; nginx's workers, which are not root, may pass through it. */
export function temporaryDirectory(world: World): string {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-lab-'));
  world.addDirectory(directory);
  chmodSync(directory, 0o755);
  return directory;
}

export interface HostOptions {
  /** Its kernel has IPv6, with the addresses that it is given at once and no routers but those it is told of. */
  readonly ipv6?: boolean;
}

/** A namespace; without IPv6 there is no neighbour discovery between the packets that people look at. */
export async function addHost(world: World, name: string, { ipv6 = false }: HostOptions = {}): Promise<void> {
  await world.addNamespace(name);
  if (!families.includes(6)) return;
  const settings = ipv6
    ? { accept_dad: 0, dad_transmits: 0, accept_ra: 0, router_solicitations: 0 }
    : { disable_ipv6: 1 };
  const named = ['all', 'default'].flatMap((scope) =>
    Object.entries(settings).map(([setting, value]) => [`net.ipv6.conf.${scope}.${setting}`, value] as const),
  );
  await world.sysctl(name, Object.fromEntries(named));
}

async function buildNetwork(world: World, { say, signal }: LabOptions): Promise<void> {
  const hosts = ['client', 'director', ...servers.map(({ name }) => name)];
  say(`namespaces ${hosts.map((name) => world.name(name)).join(', ')}`);
  for (const name of ['net', ...hosts]) {
    signal.throwIfAborted();
    await addHost(world, name, { ipv6: name !== 'net' && name !== 'director' });
  }
  await world.addBridge('net', 'wan');
  await world.addBridge('net', 'lan');
  await plug(world, 'client', 'wan0', 'wan', legs(client, client6));
  await plug(world, 'director', 'wan0', 'wan');
  await plug(world, 'director', 'lan0', 'lan');
}

async function buildServers(world: World, directory: string, { say, signal }: LabOptions): Promise<void> {
  say('real servers: nginx, the VIPs on lo, decapsulation');
  for (const server of servers) {
    signal.throwIfAborted();
    await plug(world, server.name, 'lan', 'lan', legs(server.lan, server.lan6));
    await plug(world, server.name, 'out', 'wan', legs(server.out, server.out6));
    await startServer(world, server, directory);
  }
}

/** A host's device on one of the two bridges. */
async function plug(
  world: World,
  namespace: string,
  device: string,
  bridge: string,
  addresses: readonly string[] = [],
): Promise<void> {
  const other = { namespace: 'net', device: `${bridge}-${namespace}`, bridge };
  await world.link({ namespace, device, addresses }, other);
}
