// SPDX-License-Identifier: Apache-2.0
// The lab while it stands: hosts in network namespaces, a director between them, and requests through it.

import { appendFileSync, existsSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { thisMachine } from '../config/machine.js';
import { runPaths } from '../grpc/paths.js';
import { parseEntry } from '../supervisor/child.js';
import type { RequestResult } from './client.js';
import { CommandError, type Task } from './command.js';
import { client, configuration, director, prefixLength, servers, services } from './plan.js';
import { startServer } from './servers.js';
import { World } from './world.js';

export interface LabOptions {
  /** Namespaces are called <prefix>-client, <prefix>-director, … */
  readonly prefix: string;
  readonly workers: number;
  /** What happens, for people. */
  readonly say: (text: string) => void;
  readonly signal: AbortSignal;
}

const startTimeoutMs = 60_000;
const program = (name: string): string => fileURLToPath(new URL(`../${name}.js`, import.meta.url));

export class Lab {
  readonly world: World;
  /** The director's configuration, as text. */
  readonly configuration: string;
  readonly directory: string;
  #director: Task | undefined;

  private constructor(world: World, options: LabOptions) {
    this.world = world;
    this.directory = mkdtempSync(join(tmpdir(), 'fulcrum-lab-'));
    this.configuration = configuration(options.workers, thisMachine().cpus);
    world.addDirectory(this.directory);
  }

  /** Builds everything and returns when the director is ready; whatever fails or is aborted, nothing is left. */
  static async start(options: LabOptions): Promise<Lab> {
    const world = await World.create(options.prefix);
    try {
      const lab = new Lab(world, options);
      await lab.#build(options);
      return lab;
    } catch (error) {
      await world.destroy();
      throw error;
    }
  }

  /** Resolves with the reason when the director ends although nobody stopped it. */
  async directorEnded(): Promise<string> {
    return (await this.#director?.ended) ?? '';
  }

  /** The end of the director's log. */
  get directorLog(): readonly string[] {
    return (this.#director?.tail ?? []).map(readable);
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
    // The supervisor knows the right order.
    await this.#director?.stop(15_000);
    await this.world.destroy();
  }

  async #build({ say, signal }: LabOptions): Promise<void> {
    const { world } = this;
    say(
      `namespaces ${['client', 'director', ...servers.map(({ name }) => name)].map((name) => world.name(name)).join(', ')}`,
    );
    for (const step of [
      () => this.#network(),
      () => this.#hosts(say, signal),
      () => this.#startDirector(say, signal),
    ]) {
      signal.throwIfAborted();
      await step();
    }
    signal.throwIfAborted();
  }

  async #network(): Promise<void> {
    const { world } = this;
    for (const name of ['net', 'client', 'director', ...servers.map((server) => server.name)]) {
      await world.addNamespace(name);
      // Nothing here is IPv6 yet: no neighbour discovery between the packets that people look at.
      if (existsSync('/proc/sys/net/ipv6'))
        await world.sysctl(name, { 'net.ipv6.conf.all.disable_ipv6': 1, 'net.ipv6.conf.default.disable_ipv6': 1 });
    }
    await world.addBridge('net', 'wan');
    await world.addBridge('net', 'lan');
  }

  async #hosts(say: (text: string) => void, signal: AbortSignal): Promise<void> {
    const { world } = this;
    await this.#plug('client', 'wan0', 'wan', client);
    await this.#plug('director', 'wan0', 'wan');
    await this.#plug('director', 'lan0', 'lan');
    say('real servers: nginx, the VIPs on lo, decapsulation');
    for (const server of servers) {
      signal.throwIfAborted();
      await this.#plug(server.name, 'lan', 'lan', server.lan);
      await this.#plug(server.name, 'out', 'wan', server.out);
      await startServer(world, server, this.directory);
    }
  }

  /** A host's device on one of the two bridges. */
  async #plug(namespace: string, device: string, bridge: string, address?: string): Promise<void> {
    const addresses = address === undefined ? [] : [`${address}/${prefixLength}`];
    const other = { namespace: 'net', device: `${bridge}-${namespace}`, bridge };
    await this.world.link({ namespace, device, addresses }, other);
  }

  async #startDirector(say: (text: string) => void, signal: AbortSignal): Promise<void> {
    say(`director ${director.wan} / ${director.lan}`);
    const file = join(this.directory, 'director.yaml');
    writeFileSync(file, this.configuration);
    this.world.addDirectory(runPaths(`/run/fulcrum/${this.world.inode('director')}`).directory);
    const state = join(this.directory, 'state');
    const command = ['up', '--config', file, '--state-dir', state, '--log', 'json'];
    const task = this.world.spawn('director', [process.execPath, program('cli/main'), ...command]);
    this.#director = task;
    task.onLine((line) => appendFileSync(join(this.directory, 'director.log'), `${line}\n`));
    const stop = (): void => task.signal('SIGTERM');
    signal.addEventListener('abort', stop, { once: true });
    try {
      await task.line(isReady, startTimeoutMs);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof CommandError)) throw error;
      throw new Error(`the director did not start:\n${this.directorLog.join('\n')}`, { cause: error });
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  #client(count: number, intervalMs: number, take: (result: RequestResult) => void): Task {
    const targets = services.map(({ method, vip }) => `${method}=${vip}`);
    const task = this.world.spawn('client', [
      process.execPath,
      program('lab/client'),
      String(count),
      String(intervalMs),
      ...targets,
    ]);
    task.onLine((line) => {
      if (line.startsWith('{')) take(JSON.parse(line) as RequestResult);
    });
    return task;
  }
}

function isReady(line: string): boolean {
  const entry = parseEntry(line);
  return entry?.name === 'up' && entry.msg === 'ready';
}

function readable(line: string): string {
  const entry = parseEntry(line);
  return entry === undefined ? line : `${entry.name}: ${entry.msg}`;
}
