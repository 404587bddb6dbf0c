// SPDX-License-Identifier: Apache-2.0
// What became of the requests: counted by service and server, shown as a table or as JSON.

import type { RequestResult } from './client.js';
import { type ServiceName, servers, services } from './plan.js';

interface ServiceTally {
  readonly requests: number;
  readonly failed: number;
  readonly servers: Readonly<Record<string, number>>;
}

export type TallyJson = Readonly<Partial<Record<ServiceName, ServiceTally>>>;

export class Tally {
  readonly #counts = new Map<string, Map<string, number>>();
  readonly #failures = new Map<string, string[]>();

  add({ service, server, error }: RequestResult): void {
    if (server === undefined || !servers.some(({ name }) => name === server)) {
      const reasons = this.#failures.get(service) ?? [];
      this.#failures.set(service, [...reasons, error ?? `answered by "${server}"`]);
      return;
    }
    const counts = this.#counts.get(service) ?? new Map<string, number>();
    this.#counts.set(service, counts.set(server, (counts.get(server) ?? 0) + 1));
  }

  get failed(): number {
    return services.reduce((sum, { name }) => sum + this.#failed(name).length, 0);
  }

  /** One line for every service that had failures: how many, and what the last one was. */
  failures(): readonly string[] {
    return services.flatMap(({ name }) => {
      const reasons = this.#failed(name);
      return reasons.length === 0 ? [] : [`${name}: ${reasons.length} failed, the last one: ${reasons.at(-1)}`];
    });
  }

  json(): TallyJson {
    return Object.fromEntries(services.map(({ name }) => [name, this.#of(name)]));
  }

  table(): readonly string[] {
    const rows = services.map(({ name: service, vip, scheduler, weights }) => {
      const { requests, failed, servers: counts } = this.#of(service);
      const weighted = new Set(weights).size > 1 ? `${scheduler} ${weights.join(',')}` : scheduler;
      return [service, vip, weighted, requests, failed, ...servers.map(({ name }) => counts[name] ?? 0)].map(String);
    });
    return columns([
      ['SERVICE', 'VIP', 'SCHEDULER', 'REQUESTS', 'FAILED', ...servers.map(({ name }) => name)],
      ...rows,
    ]);
  }

  #failed(service: ServiceName): readonly string[] {
    return this.#failures.get(service) ?? [];
  }

  #of(service: ServiceName): ServiceTally {
    const counts = servers.map(({ name }) => [name, this.#counts.get(service)?.get(name) ?? 0] as const);
    const failed = this.#failed(service).length;
    const requests = counts.reduce((sum, [, count]) => sum + count, failed);
    return { requests, failed, servers: Object.fromEntries(counts) };
  }
}

/** Words to the left, numbers to the right. */
function columns(rows: readonly (readonly string[])[]): readonly string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => (row[column] ?? '').length)));
  return rows.map((row) =>
    row
      .map((cell, column) => (column < 3 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  '),
  );
}
