// SPDX-License-Identifier: Apache-2.0
// Is what is declared what workers use? Twice a second each worker digests its configuration from its own memory; here is
// worked out what must come of it. Where it differs, the first difference is read back and named. Nothing is mended:
// memory that changed by itself is a machine to look at.
import { setTimeout as sleep } from 'node:timers/promises';
import type { DigestResponse__Output } from '../../generated/fulcrum/dataplane/v1/DigestResponse.js';
import type { Event } from '../../generated/fulcrum/v1/Event.js';
import type { VirtualService__Output } from '../../generated/fulcrum/v1/VirtualService.js';
import type { Logger } from '../../grpc/log.js';
import type { DataplaneClient } from '../dataplane_client.js';
import type { Director } from '../director.js';
import type { Model } from '../model.js';
import { serviceId } from '../nouns.js';
import type { Reconciler } from '../reconciler.js';
import { type ConfigurationDigests, configurationDigests, serviceDigests } from './configuration_digest.js';
import { serviceDifference, settingsDifference } from './difference.js';

export interface Disagreement {
  readonly worker: number;
  readonly difference: string;
  /** RFC 3339, UTC. */
  readonly since: string;
}

export interface VerifierOptions {
  readonly director: Pick<Director, 'state'>;
  readonly reconciler: Pick<Reconciler, 'status' | 'dataplane'>;
  readonly onEvent: (event: Event) => void;
  readonly log: Logger;
}

const intervalMs = 500;
const callTimeoutMs = 5_000;
const parts = ['services', 'vips', 'timeouts', 'tunables', 'markRules', 'prefixLists'] as const;

type WorkerDigest = DigestResponse__Output['workers'][number];

export class Verifier {
  readonly #options: VerifierOptions;
  readonly #stopped = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #disagreements: readonly Disagreement[] = [];
  #comparedAt = '';
  /** Known for as long as the model is this one. */
  #expected: { readonly model: Model; readonly digests: ConfigurationDigests } | undefined;

  constructor(options: VerifierOptions) {
    this.#options = options;
  }

  /** Of the dataplane that is connected; empty when all is well. */
  get disagreements(): readonly Disagreement[] {
    return this.#options.reconciler.status().connected ? this.#disagreements : [];
  }

  /** RFC 3339, UTC: the last comparison; empty: there was none. */
  get comparedAt(): string {
    return this.#comparedAt;
  }

  start(): void {
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#stopped.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    while (!signal.aborted) {
      try {
        await this.#compare();
      } catch (error) {
        // The reconciler tells of a dataplane that is not there.
        this.#options.log.debug({ err: error }, 'the configuration in use was not compared');
      }
      await sleep(intervalMs, undefined, { signal }).catch(() => {});
    }
  }

  async #compare(): Promise<void> {
    const { director, reconciler } = this.#options;
    if (reconciler.status().generationApplied !== director.state.generation) return;
    const client = reconciler.dataplane();
    const answer = await client.digest({}, this.#settings());
    // Whatever was edited meanwhile is compared the next time.
    const { generation, model } = director.state;
    if (Number(answer.generation) !== generation) return;
    const expected = this.#expect(model);
    const differing = answer.workers.filter((worker) => parts.some((part) => worker[part] !== expected[part]));
    const named = differing.length === 0 ? [] : await this.#name(client, { differing, expected, model, generation });
    if (named === undefined) return;
    this.#comparedAt = new Date().toISOString();
    this.#note(named);
  }

  #settings() {
    return { timeoutMs: callTimeoutMs, signal: this.#stopped.signal };
  }

  #expect(model: Model): ConfigurationDigests {
    if (this.#expected?.model !== model) this.#expected = { model, digests: configurationDigests(model) };
    return this.#expected.digests;
  }

  /** Undefined: the configuration changed meanwhile. */
  async #name(
    client: DataplaneClient,
    found: {
      readonly differing: readonly WorkerDigest[];
      readonly expected: ConfigurationDigests;
      readonly model: Model;
      readonly generation: number;
    },
  ): Promise<readonly Disagreement[] | undefined> {
    const { differing, expected, model, generation } = found;
    const full = await client.digest({ withServices: true }, this.#settings());
    const declared = serviceDigests(model);
    const named: Disagreement[] = [];
    for (const { worker } of differing) {
      const digest = full.workers.find((one) => one.worker === worker);
      const difference =
        digest === undefined
          ? 'it does not answer'
          : await this.#difference(client, digest, { expected, declared, model });
      named.push({ worker, difference, since: this.#since(worker) });
    }
    const isSame = Number(full.generation) === generation && this.#options.director.state.generation === generation;
    return isSame ? named : undefined;
  }

  #since(worker: number): string {
    return this.#disagreements.find((one) => one.worker === worker)?.since ?? new Date().toISOString();
  }

  async #difference(
    client: DataplaneClient,
    used: WorkerDigest,
    wanted: {
      readonly expected: ConfigurationDigests;
      readonly declared: readonly string[];
      readonly model: Model;
    },
  ): Promise<string> {
    const { expected, declared, model } = wanted;
    if (used.services !== expected.services) {
      const index = declared.findIndex((digest, at) => used.eachService[at] !== digest);
      const service = [...model.services.values()][index];
      if (service === undefined) return `${used.eachService.length} services, declared ${declared.length}`;
      const { configuration, contradictions } = await client.readBack({ service: index }, this.#settings());
      const [back] = configuration?.services ?? ([] as readonly VirtualService__Output[]);
      const found = serviceDifference(back, service);
      return (
        found ??
        (contradictions[0] === undefined ? unnamed('services') : `${serviceId(service.key)}: ${contradictions[0]}`)
      );
    }
    const { configuration } = await client.readBack({}, this.#settings());
    const found = configuration === null ? undefined : settingsDifference(configuration, model);
    return found ?? unnamed(parts.find((part) => used[part] !== expected[part]) ?? 'services');
  }

  #note(named: readonly Disagreement[]): void {
    for (const { worker, difference } of named) {
      const before = this.#disagreements.find((one) => one.worker === worker);
      if (before?.difference !== difference) this.#tell('configuration_differs', `worker ${worker}: ${difference}`);
    }
    if (named.length === 0 && this.#disagreements.length > 0)
      this.#tell('configuration_agrees', 'every worker uses what is declared again');
    this.#disagreements = named;
  }

  #tell(kind: string, message: string): void {
    this.#options.log[kind === 'configuration_differs' ? 'error' : 'info']({ kind }, message);
    this.#options.onEvent({ time: new Date().toISOString(), kind, message });
  }
}

const unnamed = (part: string): string => `its ${part} have another digest than what is declared`;
