// SPDX-License-Identifier: Apache-2.0
// Asks the dataplane what it has counted, one question at a time: every second while somebody looks, every five
// otherwise, which is enough for the plots that a page begins with (their values are means) and costs a fifth. With many
// real servers their services are asked for sums only, and for servers where one's page is open, at a pace of its own.
import { setTimeout as sleep } from 'node:timers/promises';
import type { GetStatisticsResponse__Output } from '../../generated/fulcrum/dataplane/v1/GetStatisticsResponse.js';
import type { DataplaneClient } from '../dataplane_client.js';
import { countServers, type Model } from '../model.js';
import { type Service, serviceId } from '../nouns.js';
import { readServiceKey } from '../validate.js';
import type { PlotStore } from './plots.js';
import { type Sample, type ServersSample, sampleOf, serversSample } from './sample.js';

export interface SamplerOptions {
  /** Throws while there is none. */
  readonly dataplane: () => DataplaneClient;
  readonly model: () => Model;
  readonly plots: PlotStore;
  /** Services whose pages are open, by serviceId(); undefined: nobody looks at all. */
  readonly watched: () => ReadonlySet<string> | undefined;
  readonly onSample: () => void;
}

const watchedMs = 1_000;
const unwatchedMs = 5_000;
const timeoutMs = 5_000;
/** Of more real servers than these, all services together, sums only are asked for. */
const mostWholeServers = 1_000;
/** Of one service so many are read in a second; of more, less often. */
const serversPerSecond = 2_000;
/** Answers may take this part of the time at most. */
const mostShare = 0.25;

export class Sampler {
  readonly #options: SamplerOptions;
  readonly #stopped = new AbortController();
  #running: Promise<void> | undefined;
  #sample: Sample | undefined;
  #servers = new Map<string, ServersSample>();
  #wake: () => void = () => {};

  constructor(options: SamplerOptions) {
    this.#options = options;
  }

  /** Undefined while the dataplane does not answer. */
  get sample(): Sample | undefined {
    return this.#sample;
  }

  /** By serviceId(). */
  get servers(): ReadonlyMap<string, ServersSample> {
    return this.#servers;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    this.#wake();
    await this.#running;
  }

  /** Somebody has begun to look: the next sample is due now, if the last one is not from just now. */
  hurry(): void {
    this.#wake();
  }

  /** Seconds between two readings of a service's servers. */
  everyS(service: Service): number {
    return Math.max(1, Math.ceil(service.servers.size / serversPerSecond));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      const begun = performance.now();
      await this.#once();
      if (signal.aborted) return;
      this.#options.onSample();
      await this.#pause((performance.now() - begun) / mostShare);
    }
  }

  /** Until the next full second, or five; but longer if the last answer was a long time coming. */
  async #pause(leastMs: number): Promise<void> {
    const period = this.#options.watched() === undefined ? unwatchedMs : watchedMs;
    const ms = Math.max(leastMs, period - (Date.now() % period));
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const begun = performance.now();
    await sleep(ms, undefined, { signal: woken.signal }).catch(() => {});
    this.#wake = () => {};
    // Who comes just after a sample waits for the next second, too: rates need some time between two.
    const left = Math.min(ms, watchedMs / 2) - (performance.now() - begun);
    if (left > 0 && !this.#stopped.signal.aborted)
      await sleep(left, undefined, { signal: this.#stopped.signal }).catch(() => {});
  }

  async #once(): Promise<void> {
    const { dataplane, model: modelNow, plots } = this.#options;
    try {
      const client = dataplane();
      const isWhole = countServers(modelNow()) <= mostWholeServers;
      const settings = { timeoutMs, signal: this.#stopped.signal };
      const [state, statistics, { ports }] = await Promise.all([
        client.getState({}, settings),
        client.getStatistics({ withoutServers: !isWhole }, settings),
        client.listPorts({}, settings),
      ]);
      const at = Date.now();
      if (this.#sample?.state.instanceId !== state.instanceId) this.#servers.clear();
      const model = modelNow();
      this.#sample = sampleOf(at, { state, statistics, ports }, this.#sample);
      plots.record(this.#sample, model);
      if (isWhole) this.#takeServers(at, statistics);
      else await this.#askWatched(client, at);
      for (const id of this.#servers.keys()) if (!model.services.has(id)) this.#servers.delete(id);
    } catch {
      // The page says that the dataplane is lost.
      this.#sample = undefined;
      this.#servers.clear();
    }
  }

  #takeServers(at: number, { services }: GetStatisticsResponse__Output): void {
    for (const of of services) {
      const id = serviceId(readServiceKey(of.key, 'key'));
      const servers = serversSample(at, of, this.#servers.get(id));
      this.#servers.set(id, servers);
      this.#options.plots.recordServers(id, servers);
    }
  }

  /** One service after the other; those that nobody looks at any more are forgotten. */
  async #askWatched(client: DataplaneClient, at: number): Promise<void> {
    const { watched, model, plots } = this.#options;
    const wanted = watched() ?? new Set();
    for (const id of this.#servers.keys()) if (!wanted.has(id)) this.#servers.delete(id);
    for (const id of wanted) {
      const service = model().services.get(id);
      const before = this.#servers.get(id);
      if (service === undefined) continue;
      // A quarter of a second early is better than a whole one late.
      if (before !== undefined && at - before.at < this.everyS(service) * 1000 - 250) continue;
      const settings = { timeoutMs, signal: this.#stopped.signal };
      const { services } = await client.getStatistics({ service: service.key }, settings);
      const [of] = services;
      if (of === undefined) continue;
      const servers = serversSample(Date.now(), of, before);
      this.#servers.set(id, servers);
      plots.recordServers(id, servers);
    }
  }
}
