// SPDX-License-Identifier: Apache-2.0
// The ways that checks take to a VIP: gives each real server ports of the host by which the dataplane knows its checks,
// and tells the dataplane of them, anew whenever there is another one. All that is asked for at once is told at once.
import { networkInterfaces } from 'node:os';
import type { CheckPathAnswer__Output } from '../../generated/fulcrum/dataplane/v1/CheckPathAnswer.js';
import type { SetCheckPathsRequest } from '../../generated/fulcrum/dataplane/v1/SetCheckPathsRequest.js';
import type { Event } from '../../generated/fulcrum/v1/Event.js';
import type { Operation } from '../../generated/fulcrum/v1/Operation.js';
import type { Port__Output } from '../../generated/fulcrum/v1/Port.js';
import { FulcrumError } from '../../grpc/errors.js';
import type { Logger } from '../../grpc/log.js';
import { familyOf, parseAddress } from '../address.js';
import { type ServerKey, type ServerSpec, type ServiceKey, serverId, serviceId } from '../nouns.js';
import type { ClientWay } from './prober.js';

/** Behind those that the kernel hands out by itself (net.ipv4.ip_local_port_range). */
const firstPort = 61_000;
const lastPort = 65_535;
/** One may still be in use by a try that goes on. */
export const portsEach = 4;
export const portRuns = Math.floor((lastPort - firstPort + 1) / portsEach);

/** To one server of a service, by one port of the VIP. */
export interface WantedWay {
  readonly service: ServiceKey;
  readonly port: number;
  readonly key: ServerKey;
  readonly spec: ServerSpec;
}

/** As much of the dataplane as is needed here. */
export interface WayMaker {
  readonly setCheckPaths: (
    request: SetCheckPathsRequest,
  ) => Promise<{ readonly answers: readonly CheckPathAnswer__Output[] }>;
  readonly listPorts: (request: object) => Promise<{ readonly ports: readonly Port__Output[] }>;
}

export interface ClientWaysOptions {
  /** Throws while there is none. */
  readonly dataplane: () => WayMaker;
  readonly onEvent: (event: Event) => void;
  readonly log: Logger;
  /** Addresses of this host, as they are now or were lately. */
  readonly ownAddresses?: (now: boolean) => ReadonlySet<string>;
}

interface Entry {
  readonly wanted: WantedWay;
  /** Where its ports begin; undefined: there are none left. */
  readonly run: number | undefined;
}

const notTold: CheckPathAnswer__Output = { source: '', problem: 'the dataplane is not connected' };
const retryMs = 1_000;
const ownAddressesMs = 1_000;

export class ClientWays {
  readonly #options: ClientWaysOptions;
  readonly #ownAddresses: (now: boolean) => ReadonlySet<string>;
  readonly #ports = new PortRuns();
  /** By target. */
  readonly #entries = new Map<string, readonly Entry[]>();
  /** What the dataplane has said of them. */
  #answers = new Map<Entry, CheckPathAnswer__Output>();
  #reported: ReadonlyMap<string, string> = new Map();
  #isDirty = false;
  #telling: Promise<void> | undefined;
  #retry: NodeJS.Timeout | undefined;
  #isStopped = false;
  /** Counts dataplanes. */
  #epoch = 0;
  /** Families of the addresses that kernel ports have; unknown until a dataplane has said so. */
  #families: ReadonlySet<number> | undefined;

  constructor(options: ClientWaysOptions) {
    this.#options = options;
    this.#ownAddresses = options.ownAddresses ?? cachedAddresses();
  }

  /** The ways that a target's checks take, instead of those before. */
  set(targetId: string, wanted: readonly WantedWay[]): void {
    const before = this.#entries.get(targetId) ?? [];
    const kept = before.filter((entry) => wanted.some((way) => isSame(entry.wanted, way)));
    for (const entry of before) if (!kept.includes(entry)) this.#drop(entry);
    const made = wanted
      .filter((way) => !kept.some((entry) => isSame(entry.wanted, way)))
      .map((way) => ({ wanted: way, run: this.#ports.take(way) }));
    if (kept.length + made.length > 0) this.#entries.set(targetId, [...kept, ...made]);
    else this.#entries.delete(targetId);
    if (kept.length < before.length || made.length > 0) this.#changed();
  }

  /** Where a check of the target goes. Throws a FulcrumError that says why it cannot. */
  async way(targetId: string, port: number): Promise<ClientWay> {
    const entry = this.#entries.get(targetId)?.find(({ wanted }) => wanted.port === port);
    if (entry === undefined) throw impossible('there is no way to the VIP any more');
    const { service, port: virtualPort, spec } = entry.wanted;
    while (this.#telling !== undefined) await this.#telling;
    const problem = this.#problemOf(entry);
    const { run } = entry;
    if (problem !== '' || run === undefined) throw impossible(problem);
    const { source } = this.#answers.get(entry) ?? notTold;
    const epoch = this.#epoch;
    return {
      address: service.address,
      port: virtualPort,
      source,
      sourcePorts: { first: run, count: portsEach },
      method: spec.method,
      isOpen: () => epoch === this.#epoch && this.#isPossible(service.address, source),
    };
  }

  /** Another dataplane is there, and knows of nothing. */
  connected(): void {
    this.lost();
    this.#families = undefined;
    this.#isDirty = true;
    this.#tellSoon();
  }

  lost(): void {
    this.#epoch++;
    this.#answers = new Map();
  }

  stop(): void {
    this.#isStopped = true;
    clearTimeout(this.#retry);
  }

  /** Throws for the first check of an edit that would need a kernel port which is not there. */
  checkEdit(operations: readonly Operation[]): void {
    const families = this.#families;
    if (families === undefined) return;
    for (const { setHealth, setServerHealth } of operations) {
      const change = setHealth ?? setServerHealth;
      const service = change?.service as ServiceKey | undefined;
      const index = change?.health?.checks?.findIndex((check) => check.via === 'CHECK_VIA_VIP') ?? -1;
      if (index === -1 || service === undefined || families.has(familyOf(service.address))) continue;
      throw new FulcrumError({
        reason: 'REASON_INVALID',
        field: `health.checks[${index}].via`,
        message: `${serviceId(service)}: no kernel port has an IPv${familyOf(service.address)} address: the port of an interface that has one needs "kernel"`,
      });
    }
  }

  #drop(entry: Entry): void {
    this.#answers.delete(entry);
    if (entry.run !== undefined) this.#ports.giveBack(entry.wanted, entry.run);
  }

  #changed(): void {
    this.#isDirty = true;
    this.#tellSoon();
  }

  /** Nothing is told twice at a time, and whoever asks for a way meanwhile waits. */
  #tellSoon(): void {
    if (this.#telling !== undefined || this.#isStopped) return;
    this.#telling = this.#tellAll().finally(() => {
      this.#telling = undefined;
      if (this.#isDirty) this.#tellSoon();
    });
  }

  async #tellAll(): Promise<void> {
    // What belongs to the same edit comes now.
    await new Promise(setImmediate);
    while (this.#isDirty && !this.#isStopped) {
      this.#isDirty = false;
      const epoch = this.#epoch;
      try {
        await this.#tell();
      } catch (error) {
        if (epoch !== this.#epoch) continue;
        this.#answers = new Map();
        this.#again(error);
        return;
      }
    }
  }

  async #tell(): Promise<void> {
    const epoch = this.#epoch;
    const dataplane = this.#options.dataplane();
    const told = [...this.#entries.values()].flat().flatMap((entry) => {
      const { run: firstPort, wanted } = entry;
      return firstPort === undefined ? [] : [{ entry, path: { ...wanted, firstPort, ports: portsEach } }];
    });
    const paths = told.map(({ path }) => path);
    const { answers } = await dataplane.setCheckPaths({ paths });
    const { ports } = this.#families === undefined ? await dataplane.listPorts({}) : { ports: undefined };
    if (epoch !== this.#epoch) {
      this.#isDirty = true;
      return;
    }
    if (ports !== undefined) this.#families = familiesOf(ports);
    this.#answers = new Map(told.map(({ entry }, index) => [entry, answers[index] ?? notTold]));
    this.#report();
  }

  /** The interface of a dataplane that has died is gone before anybody says so. */
  #isPossible(vip: string, source: string): boolean {
    const own = this.#ownAddresses(true);
    return own.has(source) && !own.has(vip);
  }

  /** Empty: none. */
  #problemOf(entry: Entry): string {
    const { service } = entry.wanted;
    if (entry.run === undefined)
      return `more than ${portRuns} real servers of a service cannot be checked by way of its VIP`;
    if (this.#ownAddresses(false).has(service.address))
      return `${service.address} is an address of this host: what it sends there does not leave it`;
    return (this.#answers.get(entry) ?? notTold).problem;
  }

  /** What is the matter with each service, once. */
  #report(): void {
    const problems = new Map<string, string>();
    for (const entry of [...this.#entries.values()].flat()) {
      const problem = this.#problemOf(entry);
      if (problem !== '') problems.set(serviceId(entry.wanted.service), problem);
    }
    for (const [service, problem] of problems) {
      if (this.#reported.get(service) === problem) continue;
      const message = `${service}: checks cannot be sent to the VIP: ${problem}`;
      this.#options.log.warn(message);
      this.#options.onEvent({ time: new Date().toISOString(), kind: 'checks_not_made', message });
    }
    this.#reported = problems;
  }

  /** A dataplane that is not there says when it is; one that refuses is asked again. */
  #again(error: unknown): void {
    if (error instanceof FulcrumError && error.code === 'UNAVAILABLE') return;
    this.#options.log.error({ err: error }, 'the dataplane does not take the ways of checks');
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => this.#changed(), retryMs);
  }
}

/**
 * Runs of ports for ways. Servers of a service have different ones; so have the ways to a NAT server, since its answers
 * show nothing of the service. Otherwise those that are used least.
 */
class PortRuns {
  readonly #used = new Uint32Array(portRuns);
  readonly #taken = new Map<string, Set<number>>();

  /** The first port; undefined if there is none left. */
  take(way: WantedWay): number | undefined {
    const groups = groupsOf(way).map((name) => this.#group(name));
    let best: number | undefined;
    for (let run = 0; run < portRuns; run++) {
      if (groups.some((group) => group.has(run))) continue;
      if (best === undefined || this.#count(run) < this.#count(best)) best = run;
      if (this.#count(best) === 0) break;
    }
    if (best === undefined) return undefined;
    for (const group of groups) group.add(best);
    this.#used[best] = this.#count(best) + 1;
    return firstPort + best * portsEach;
  }

  giveBack(way: WantedWay, port: number): void {
    const run = (port - firstPort) / portsEach;
    this.#used[run] = this.#count(run) - 1;
    for (const name of groupsOf(way)) {
      const group = this.#group(name);
      group.delete(run);
      if (group.size === 0) this.#taken.delete(name);
    }
  }

  #count(run: number): number {
    return this.#used[run] ?? 0;
  }

  #group(name: string): Set<number> {
    const known = this.#taken.get(name);
    if (known !== undefined) return known;
    const group = new Set<number>();
    this.#taken.set(name, group);
    return group;
  }
}

function groupsOf({ service, port, key, spec }: WantedWay): readonly string[] {
  const virtual = `${serviceId({ ...service, port })}`;
  if (spec.method !== 'FORWARDING_METHOD_NAT') return [virtual];
  return [virtual, `${service.protocol} ${serverId({ ...key, port: key.port || port })}`];
}

function isSame(one: WantedWay, other: WantedWay): boolean {
  const isSameServer = serviceId(one.service) === serviceId(other.service) && serverId(one.key) === serverId(other.key);
  return isSameServer && one.port === other.port && isSameWay(one.spec, other.spec);
}

/** Whether packets take the same way to a server. */
export function isSameWay(one: ServerSpec, other: ServerSpec): boolean {
  return (
    one.method === other.method &&
    one.tunnelType === other.tunnelType &&
    one.tunnelPort === other.tunnelPort &&
    one.tunnelChecksum === other.tunnelChecksum
  );
}

function familiesOf(ports: readonly Port__Output[]): ReadonlySet<number> {
  const withKernel = ports.filter(({ kernel }) => kernel.length > 0);
  const addresses = withKernel.flatMap(({ interfaces }) => interfaces.flatMap(({ addresses: own }) => own));
  return new Set(addresses.flatMap((address) => parseAddress(address.split('/')[0] ?? '')?.family ?? []));
}

/** Asking the kernel at every check would be more work than the check. */
function cachedAddresses(): (now: boolean) => ReadonlySet<string> {
  let known: ReadonlySet<string> = new Set();
  let askedAt = Number.NEGATIVE_INFINITY;
  return (now) => {
    if (!now && performance.now() - askedAt < ownAddressesMs) return known;
    const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
    known = new Set(all.map(({ address }) => parseAddress(address)?.text ?? address));
    askedAt = performance.now();
    return known;
  };
}

function impossible(message: string): FulcrumError {
  return new FulcrumError({ code: 'FAILED_PRECONDITION', message });
}
