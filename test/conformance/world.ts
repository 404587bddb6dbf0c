// SPDX-License-Identifier: Apache-2.0
// One director for one scenario: a dataplane host with the real engine on two memory ports, and a manager. Commands go
// through the ipvsadm front end, frames through DataplaneTestService, time is the engine's settable clock.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { systemPortNames, systemResolver } from '../../src/cli/ipvsadm/names.js';
import { ipvsadm } from '../../src/cli/ipvsadm/run.js';
import {
  connectDataplaneTest,
  connectDirector,
  type DataplaneTestClient,
  type DirectorClient,
  openDirector,
} from '../../src/grpc/client.js';
import { type Manager, startManager } from '../../src/manager/manager.js';
import { Child } from '../../src/supervisor/child.js';
import { moduleArguments } from '../support/program.js';
import type { Surroundings } from './environment.js';
import { type Device, type Frame, splitFrame } from './frames.js';
import {
  gatewayMac,
  macOfServer,
  multicastMac,
  type PlanOptions,
  portMacs,
  startConfig,
  virtualAddresses,
} from './world_plan.js';

export interface CommandResult {
  readonly rc: number;
  readonly stdout: string;
  readonly stderr: string;
}

const stopGraceMs = 5_000;
/** A call fails a little before the end of the process is known. */
const endingGraceMs = 300;
const portNames = systemPortNames();
const running = new Set<Child>();

/** Whatever way this process ends, no dataplane host outlives it. */
process.on('exit', () => {
  for (const child of running) child.kill();
});

/** From a TypeScript checkout or from dist/, as this file is run itself. */
function dataplaneCommand(socket: string): [string, ...string[]] {
  return [process.execPath, ...moduleArguments(import.meta.url, '../../src/dataplane/main.js'), '--socket', socket];
}

export class World implements Surroundings {
  readonly #directory: string;
  readonly #child: Child;
  readonly #manager: Manager;
  readonly #frames: DataplaneTestClient;
  readonly #socket: string;
  #ending: string | undefined;

  private constructor(directory: string, child: Child, manager: Manager, socket: string) {
    this.#directory = directory;
    this.#child = child;
    this.#manager = manager;
    this.#socket = socket;
    this.#frames = connectDataplaneTest(join(directory, 'dataplane.sock'));
    void child.ended.then((ending) => {
      this.#ending = ending;
    });
  }

  /** "signal SIGSEGV: its last words", if the dataplane ended, or does so right now; undefined while it lives. */
  async ending(): Promise<string | undefined> {
    const timer = new Promise<void>((done) => setTimeout(done, endingGraceMs).unref());
    await Promise.race([this.#child.ended, timer]);
    return this.#ending === undefined ? undefined : `${this.#ending}: ${this.#child.lastWords}`;
  }

  static async start(options: PlanOptions): Promise<World> {
    const directory = mkdtempSync(join(tmpdir(), 'fulcrum-conformance-'));
    const dataplaneSocket = join(directory, 'dataplane.sock');
    const command = dataplaneCommand(dataplaneSocket);
    const child = new Child({ name: 'dataplane', command, input: JSON.stringify(startConfig(options)) }, () => {});
    running.add(child);
    try {
      if (!(await child.ready)) throw new Error(`the dataplane does not start: ${child.lastWords}`);
      const socket = join(directory, 'manager.sock');
      const stateDirectory = join(directory, 'state');
      const manager = await startManager({ socket, dataplaneSocket, stateDirectory }, pino({ level: 'silent' }));
      const world = new World(directory, child, manager, socket);
      await world.#prepare(options.ipv6);
      return world;
    } catch (error) {
      await child.stop(stopGraceMs);
      running.delete(child);
      rmSync(directory, { recursive: true, force: true });
      throw error;
    }
  }

  /**
   * Virtual addresses are the director's, service or not; nobody announces them; errors have no limit; flows without a
   * connection are refused, as LVS does it; the clock stands.
   */
  async #prepare(ipv6: boolean): Promise<void> {
    const vips = virtualAddresses(ipv6).map((address) => ({ setVip: { address, announce: 'ANNOUNCE_NONE' as const } }));
    const operations = [...vips, { setTunables: { icmpMsgsPerSec: 0, statelessSpread: 0, statelessGrace: 0 } }];
    await this.edit((director) => director.apply({ operations: { operations }, mode: 'APPLY_MODE_ATOMIC' }));
    await this.#frames.setClock({ advanceMs: 0 });
    await this.drain();
  }

  async edit(make: (director: DirectorClient) => Promise<{ readonly inForce: boolean }>): Promise<void> {
    const director = connectDirector(this.#socket);
    try {
      const { inForce } = await make(director);
      if (!inForce) throw new Error('the dataplane has not acknowledged the change');
    } finally {
      director.close();
    }
  }

  async setMtu(dev: Device, mtu: number): Promise<void> {
    await this.#frames.setMtu({ interface: dev, mtu });
  }

  async stop(): Promise<void> {
    this.#frames.close();
    await this.#manager.stop();
    await this.#child.stop(stopGraceMs);
    running.delete(this.#child);
    rmSync(this.#directory, { recursive: true, force: true });
  }

  /** One ipvsadm command line; `words` are those after "ipvsadm". */
  async ipvsadm(words: readonly string[], stdin = ''): Promise<CommandResult> {
    let stdout = '';
    let stderr = '';
    const host = {
      write: async (text: string) => {
        stdout += text;
      },
      complain: (line: string) => {
        stderr += `${line}\n`;
      },
      input: async function* () {
        yield stdin;
      },
      inputIsTerminal: false,
      connect: () => openDirector(this.#socket),
      portNames,
      resolver: systemResolver(portNames),
      reverseLookup: async () => async () => undefined,
    };
    const rc = await ipvsadm(words, host);
    return { rc, stdout, stderr };
  }

  /** Layer-3 packets into a port, at once. */
  async inject(dev: Device, packets: readonly Buffer[], isMulticast = false): Promise<void> {
    const frames = packets.map((packet) => Buffer.concat([etherHeader(dev, packet, isMulticast), packet]));
    const { accepted } = await this.#frames.inject({ port: dev, frames });
    if (accepted !== frames.length) throw new Error(`port ${dev} took ${accepted} of ${frames.length} frames`);
  }

  /** All that left since the last call; what came out of different ports has no order. */
  async drain(): Promise<readonly Frame[]> {
    const taken: Frame[] = [];
    for (const dev of ['cl', 'rs'] as const) {
      const { frames } = await this.#frames.drain({ port: dev });
      taken.push(...frames.map((frame) => splitFrame(dev, frame)));
    }
    return taken;
  }

  /** Virtual time; what falls due meanwhile has happened afterwards. */
  async advance(milliseconds: number): Promise<void> {
    await this.#frames.setClock({ advanceMs: milliseconds });
  }
}

export function etherHeader(dev: Device, packet: Buffer, isMulticast: boolean): Buffer {
  const isIpv6 = (packet[0] ?? 0) >> 4 === 6;
  const last = packet[isIpv6 ? 23 : 15] ?? 0;
  const source = dev === 'cl' ? gatewayMac : macOfServer(last);
  const text = `${isMulticast ? multicastMac : portMacs[dev]}${source}${isIpv6 ? '86dd' : '0800'}`;
  return Buffer.from(text.replaceAll(':', ''), 'hex');
}
