// SPDX-License-Identifier: Apache-2.0
// What stories are told with: hosts in namespaces, a director, shell commands on them. A scene ends with its test,
// whatever happened in it; when the test failed, the director's log is shown.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { connectDirector, type DirectorClient } from '../../src/grpc/client.js';
import { projectRoot } from '../../src/grpc/loader.js';
import type { RunOptions, Task } from '../../src/lab/command.js';
import { LabDirector } from '../../src/lab/director.js';
import { addHost, Lab, temporaryDirectory } from '../../src/lab/lab.js';
import { startNginx } from '../../src/lab/servers.js';
import { World } from '../../src/lab/world.js';
import { parseEntry } from '../../src/supervisor/child.js';

let scenes = 0;

/** Prefix of the namespaces: one for each scene, so that test runs can go on side by side. */
const nextPrefix = (): string => `ft${process.pid}-${++scenes}`;

export interface Leg {
  readonly device: string;
  /** Name of the segment (a bridge) that it is plugged into. */
  readonly segment: string;
  readonly addresses?: readonly string[];
  readonly mac?: string;
  readonly mtu?: number;
}

export class Scene {
  readonly world: World;
  readonly directory: string;
  readonly #test: ExecutionContext;
  readonly #segments = new Set<string>();
  #director: LabDirector | undefined;

  private constructor(test: ExecutionContext, world: World, directory: string, director?: LabDirector) {
    this.#test = test;
    this.world = world;
    this.directory = directory;
    this.#director = director;
    test.teardown(() => this.#end());
  }

  /** A scene without hosts. */
  static async empty(test: ExecutionContext): Promise<Scene> {
    const world = await World.create(nextPrefix());
    const scene = new Scene(test, world, temporaryDirectory(world));
    await addHost(world, 'net');
    return scene;
  }

  /** The scene of `npm start`: client, director with its three VIPs, rs1, rs2, rs3. */
  static async lab(
    test: ExecutionContext,
    workers = 1,
    kernelPorts = false,
    upArguments: readonly string[] = [],
  ): Promise<Scene> {
    const signal = new AbortController().signal;
    const say = (text: string): void => test.log(text);
    const lab = await Lab.start({ prefix: nextPrefix(), workers, kernelPorts, upArguments, say, signal });
    return new Scene(test, lab.world, lab.directory, lab.director);
  }

  get director(): LabDirector {
    if (this.#director === undefined) throw new Error('this scene has no director yet');
    return this.#director;
  }

  /** A host with legs in segments, which are made as they are named. Its kernel has IPv6 if one of its addresses is. */
  async host(name: string, ...legs: readonly Leg[]): Promise<void> {
    const ipv6 = legs.some(({ addresses = [] }) => addresses.some((address) => address.includes(':')));
    await addHost(this.world, name, { ipv6 });
    for (const { segment, ...leg } of legs) {
      if (!this.#segments.has(segment)) await this.world.addBridge('net', segment);
      this.#segments.add(segment);
      const other = { namespace: 'net', device: `${segment}-${name}`.slice(0, 15), bridge: segment };
      await this.world.link({ namespace: name, ...leg }, leg.mtu === undefined ? other : { ...other, mtu: leg.mtu });
    }
  }

  /** Runs shell text on a host; resolves with what it printed, fails when it fails. */
  async sh(host: string, text: string, options: RunOptions = { timeoutMs: 60_000 }): Promise<string> {
    return (await this.world.run(host, ['sh', '-euc', text], options)).trimEnd();
  }

  /** Starts shell text on a host, in the background. */
  start(host: string, text: string): Task {
    return this.world.spawn(host, ['sh', '-euc', `exec ${text}`]);
  }

  /** nginx that answers with the host's name. */
  async nginx(host: string): Promise<void> {
    await startNginx(this.world, { name: host }, this.directory);
  }

  /** Starts a director on a host and returns when it is ready. */
  async startDirector(host: string, configuration: string): Promise<LabDirector> {
    const directory = join(this.directory, `${host}-director`);
    mkdirSync(directory, { recursive: true });
    this.#director = await LabDirector.start({ world: this.world, namespace: host, directory }, configuration);
    return this.#director;
  }

  /** `fulcrum …` on the director's host. */
  async fulcrum(command: string, host = 'director'): Promise<string> {
    return this.sh(host, `exec ${projectRoot}/bin/fulcrum ${command}`);
  }

  /** `ipvsadm …` on the director's host. */
  async ipvsadm(command: string, host = 'director'): Promise<string> {
    return this.sh(host, `exec ${projectRoot}/bin/ipvsadm ${command}`);
  }

  /** The API of this scene's director; closed with the scene. */
  api(): DirectorClient {
    const client = connectDirector(join(this.director.runDirectory, 'manager.sock'));
    this.#test.teardown(() => client.close());
    return client;
  }

  /** Kills one of the director's processes with -9 and returns when it runs again and both have found each other. */
  async kill(name: 'dataplane' | 'manager'): Promise<void> {
    const connected = (line: string): boolean => parseEntry(line)?.kind === 'dataplane_connected';
    const back = this.director.task.line(connected, 30_000);
    process.kill(await this.pidOf(name), 'SIGKILL');
    await back;
  }

  /** Process number of one of the director's processes. */
  async pidOf(name: 'dataplane' | 'manager'): Promise<number> {
    const status = await this.api().getStatus({});
    const pid = name === 'manager' ? status.pid : status.dataplane?.pid;
    if (!pid) throw new Error(`the ${name} does not run`);
    return pid;
  }

  async #end(): Promise<void> {
    if (!this.#test.passed) {
      this.#showLog();
      await this.#showVerdicts();
    }
    await this.#director?.stop();
    await this.world.destroy();
  }

  /** What became of the packets, if the director still answers. */
  async #showVerdicts(): Promise<void> {
    if (this.#director === undefined) return;
    const client = connectDirector(join(this.#director.runDirectory, 'manager.sock'));
    try {
      const { verdicts } = await client.getStatistics({});
      const seen = verdicts.filter(({ packets }) => packets !== '0');
      this.#test.log(`verdicts: ${seen.map(({ verdict, packets }) => `${verdict} ${packets}`).join(', ')}`);
    } catch (error) {
      this.#test.log(`no verdicts: ${(error as Error).message}`);
    } finally {
      client.close();
    }
  }

  #showLog(): void {
    const lines = (this.#director?.task.tail ?? []).map((line) => {
      const entry = parseEntry(line);
      return entry === undefined
        ? line
        : `${String(entry.time).slice(11, 23)} ${entry.name} ${entry.level}: ${entry.msg}`;
    });
    this.#test.log(["the end of the director's log:", ...lines].join('\n'));
  }
}
