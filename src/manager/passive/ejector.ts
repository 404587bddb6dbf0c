// SPDX-License-Identifier: Apache-2.0
// Ejects servers for what clients meet there, and lets them come back: keeps the looks to what is configured, and brings
// what follows from them into the model.
import type { PassiveHealth__Output } from '../../generated/fulcrum/v1/PassiveHealth.js';
import type { DataplaneClient } from '../dataplane_client.js';
import { withShare } from '../health/slow_start.js';
import type { ConditionChange, Model } from '../model.js';
import { type Server, type Service, type ServiceKey, serverId, serviceId } from '../nouns.js';
import type { Signals } from './answers.js';
import { type Ejection, ejectionChanges, type Past } from './ejection.js';
import { PassiveMonitor } from './monitor.js';

export interface EjectorOptions {
  /** Throws while there is none. */
  readonly dataplane: () => DataplaneClient;
  readonly model: () => Model;
  /** Makes changes, which are worked out when their turn comes, part of the model. */
  readonly enter: (changesIn: (model: Model) => readonly ConditionChange[]) => void;
  readonly report: (kind: string, message: string) => void;
}

const timeoutMs = 5_000;

export class Ejector {
  readonly #options: EjectorOptions;
  readonly #monitor: PassiveMonitor;
  /** Who was ejected before, by nameOf(). */
  readonly #past = new Map<string, Past>();

  constructor(options: EjectorOptions) {
    this.#options = options;
    this.#monitor = new PassiveMonitor({
      statistics: async (service) => (await options.dataplane().getStatistics({ service }, { timeoutMs })).services,
      onLook: (service, signals) => this.#take(service, signals),
    });
  }

  /** Null: the service is not, or no longer, looked at. */
  watch({ key }: Service, policy: PassiveHealth__Output | null): void {
    this.#monitor.set(serviceId(key), key, policy);
  }

  signals(service: Service, { key }: Server): Signals | undefined {
    return this.#monitor.signals(serviceId(service.key), serverId(key));
  }

  /** A server is gone, by the name of its service and its own. */
  forget(name: string): void {
    this.#past.delete(name);
  }

  stop(): void {
    this.#monitor.stop();
  }

  /** Tells of what has become part of the model. */
  follow({ key: service }: Service, { key, condition }: Server, before: Ejection | undefined): void {
    const ejection = condition?.ejection;
    if (before === ejection) return;
    const name = nameOf(service, key);
    if (ejection !== undefined) {
      this.#options.report('server_ejected', `${name}: ${ejection.reason}; until ${ejection.until}`);
    } else if (before !== undefined) {
      this.#past.set(name, { times: before.times, returnedAt: Date.now() });
      this.#monitor.forget(serviceId(service), serverId(key));
      this.#options.report('server_returned', name);
    }
  }

  #take(key: ServiceKey, signals: ReadonlyMap<string, Signals>): void {
    const changesIn = (model: Model): ConditionChange[] => this.#changes(model, key, signals);
    // Mostly nothing comes of it.
    if (changesIn(this.#options.model()).length > 0) this.#options.enter(changesIn);
  }

  #changes(model: Model, key: ServiceKey, signals: ReadonlyMap<string, Signals>): ConditionChange[] {
    const service = model.services.get(serviceId(key));
    if (!service?.health?.passive) return [];
    const { servers, health } = service;
    const past = new Map<string, Past>();
    for (const [id, server] of servers) {
      const known = this.#past.get(nameOf(key, server.key));
      if (known !== undefined) past.set(id, known);
    }
    const changes = ejectionChanges(servers, service.health.passive, { signals, past, now: Date.now() });
    return changes.flatMap(({ server, ejection }) => {
      if (server.condition === null) return [];
      const { ejection: _before, ...rest } = server.condition;
      const condition = withShare(server.condition, { ...rest, ...(ejection && { ejection }) }, health);
      return [{ service: key, key: server.key, condition }];
    });
  }
}

/** As events name it. */
function nameOf(service: ServiceKey, key: Server['key']): string {
  return `${serviceId(service)} ${serverId(key)}`;
}
