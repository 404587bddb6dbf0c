// SPDX-License-Identifier: Apache-2.0
// The last ten minutes of what the page plots: of the director, of workers and verdicts, of services and real servers up
// to a bound each. What comes beyond it has no plot, and gets one when another goes: 2.4 kB a number, 20 MB at most.
import type { Plots, Point, Series } from '../../web/view.js';
import type { Model } from '../model.js';
import { Ring, ringSeconds } from './ring.js';
import type { Sample, ServersSample } from './sample.js';

export interface PlotBounds {
  readonly services: number;
  readonly servers: number;
}

export const defaultBounds: PlotBounds = { services: 2_000, servers: 2_000 };
/** Of small plots, in seconds: they have 120 values, and not many less while nothing is known of the time before. */
export const sparkStep = 5;
const leastSpark = 24;

interface Traffic {
  readonly connections: Ring;
  readonly inBits: Ring;
  readonly outBits: Ring;
}

export const secondOf = (at: number): number => Math.floor(at / 1000);

const traffic = (): Traffic => ({ connections: new Ring(), inBits: new Ring(), outBits: new Ring() });

export class PlotStore {
  readonly #bounds: PlotBounds;
  readonly #director = { ...traffic(), dropped: new Ring() };
  readonly #workers = new Map<string, Ring>();
  readonly #verdicts = new Map<string, Ring>();
  /** By serviceId(). */
  readonly #services = new Map<string, Traffic>();
  /** By serviceId() and serverId(). */
  readonly #servers = new Map<string, Map<string, Ring>>();
  #serverCount = 0;
  #begun = 0;

  constructor(bounds: PlotBounds = defaultBounds) {
    this.#bounds = bounds;
  }

  record({ at, rates, dropped, workers, verdicts, services }: Sample, model: Model): void {
    const second = secondOf(at);
    this.#forget(model);
    this.#begun ||= second;
    add(this.#director, second, rates);
    this.#director.dropped.add(second, dropped);
    for (const { worker, busy } of workers) ringOf(this.#workers, String(worker)).add(second, busy);
    for (const [verdict, { packets, rate }] of verdicts)
      if (packets > 0) ringOf(this.#verdicts, verdict).add(second, rate);
    for (const id of model.services.keys()) {
      const of = this.#services.get(id) ?? this.#roomForService(id);
      if (of !== undefined) add(of, second, services.get(id)?.rates ?? null);
    }
  }

  recordServers(serviceId: string, { at, servers }: ServersSample): void {
    const rings = this.#servers.get(serviceId) ?? new Map<string, Ring>();
    for (const [id, { rates }] of servers) {
      const ring = rings.get(id) ?? this.#roomForServer();
      if (ring === undefined) continue;
      rings.set(id, ring);
      ring.add(secondOf(at), rates?.connections ?? null);
    }
    for (const id of rings.keys()) {
      if (servers.has(id)) continue;
      rings.delete(id);
      this.#serverCount--;
    }
    if (rings.size > 0) this.#servers.set(serviceId, rings);
    else this.#servers.delete(serviceId);
  }

  /** The director's, or those of a service; undefined if none are kept of it. */
  plots(second: number, serviceId?: string): Plots | undefined {
    const of = serviceId === undefined ? this.#director : this.#services.get(serviceId);
    if (of === undefined) return undefined;
    return {
      end: second,
      connections: of.connections.values(second),
      inBits: of.inBits.values(second),
      outBits: of.outBits.values(second),
      dropped: serviceId === undefined ? this.#director.dropped.values(second) : [],
    };
  }

  serviceSpark(id: string, second: number): Series | undefined {
    return this.#spark(this.#services.get(id)?.connections, second);
  }

  serverSpark(serviceId: string, id: string, second: number): Series | undefined {
    return this.#spark(this.#servers.get(serviceId)?.get(id), second);
  }

  workerSparks(second: number): Readonly<Record<string, Series>> {
    return this.#sparks(this.#workers, second);
  }

  verdictSparks(second: number): Readonly<Record<string, Series>> {
    return this.#sparks(this.#verdicts, second);
  }

  /** Values that are kept. */
  get rings(): number {
    return 4 + this.#workers.size + this.#verdicts.size + 3 * this.#services.size + this.#serverCount;
  }

  #spark(ring: Ring | undefined, second: number): Series | undefined {
    const known = Math.ceil((second - this.#begun) / sparkStep);
    return ring?.values(second, sparkStep, Math.min(ringSeconds / sparkStep, Math.max(leastSpark, known)));
  }

  #sparks(rings: ReadonlyMap<string, Ring>, second: number): Readonly<Record<string, Series>> {
    return Object.fromEntries([...rings].map(([name, ring]) => [name, this.#spark(ring, second) ?? []]));
  }

  #roomForService(id: string): Traffic | undefined {
    if (this.#services.size >= this.#bounds.services) return undefined;
    const made = traffic();
    this.#services.set(id, made);
    return made;
  }

  #roomForServer(): Ring | undefined {
    if (this.#serverCount >= this.#bounds.servers) return undefined;
    this.#serverCount++;
    return new Ring();
  }

  #forget({ services }: Model): void {
    for (const id of this.#services.keys()) if (!services.has(id)) this.#services.delete(id);
    for (const [id, rings] of this.#servers) {
      if (services.has(id)) continue;
      this.#serverCount -= rings.size;
      this.#servers.delete(id);
    }
  }
}

function ringOf(rings: Map<string, Ring>, name: string): Ring {
  const ring = rings.get(name) ?? new Ring();
  rings.set(name, ring);
  return ring;
}

function add({ connections, inBits, outBits }: Traffic, second: number, rates: Sample['rates']): void {
  connections.add(second, rates?.connections ?? null);
  inBits.add(second, rates?.inBits ?? null);
  outBits.add(second, rates?.outBits ?? null);
}

/** What is put behind the plots with a sample; undefined if the service was not in it. */
export function pointOf(sample: Sample, serviceId?: string): Point | undefined {
  const second = secondOf(sample.at);
  const of = serviceId === undefined ? sample : sample.services.get(serviceId);
  if (of === undefined) return undefined;
  const { connections = null, inBits = null, outBits = null } = of.rates ?? {};
  return { second, connections, inBits, outBits, dropped: serviceId === undefined ? sample.dropped : null };
}
