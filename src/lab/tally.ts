// SPDX-License-Identifier: Apache-2.0
// What became of the requests: counted by method and server, shown as a table or as JSON.

import type { RequestResult } from './client.js';
import { type Method, servers, services } from './plan.js';

interface MethodTally {
  readonly requests: number;
  readonly failed: number;
  readonly servers: Readonly<Record<string, number>>;
}

export type TallyJson = Readonly<Record<Method, MethodTally>>;

export class Tally {
  readonly #counts = new Map<string, Map<string, number>>();
  readonly #failures = new Map<string, string[]>();

  add({ method, server, error }: RequestResult): void {
    if (server === undefined || !servers.some(({ name }) => name === server)) {
      const reasons = this.#failures.get(method) ?? [];
      this.#failures.set(method, [...reasons, error ?? `answered by "${server}"`]);
      return;
    }
    const counts = this.#counts.get(method) ?? new Map<string, number>();
    this.#counts.set(method, counts.set(server, (counts.get(server) ?? 0) + 1));
  }

  get failed(): number {
    return services.reduce((sum, { method }) => sum + this.#failed(method).length, 0);
  }

  /** One line for every method that had failures: how many, and what the last one was. */
  failures(): readonly string[] {
    return services.flatMap(({ method }) => {
      const reasons = this.#failed(method);
      return reasons.length === 0 ? [] : [`${method}: ${reasons.length} failed, the last one: ${reasons.at(-1)}`];
    });
  }

  json(): TallyJson {
    return Object.fromEntries(services.map(({ method }) => [method, this.#of(method)])) as unknown as TallyJson;
  }

  table(): readonly string[] {
    const rows = services.map(({ method, vip, scheduler, weights }) => {
      const { requests, failed, servers: counts } = this.#of(method);
      const weighted = new Set(weights).size > 1 ? `${scheduler} ${weights.join(',')}` : scheduler;
      return [method, vip, weighted, requests, failed, ...servers.map(({ name }) => counts[name] ?? 0)].map(String);
    });
    return columns([['METHOD', 'VIP', 'SCHEDULER', 'REQUESTS', 'FAILED', ...servers.map(({ name }) => name)], ...rows]);
  }

  #failed(method: string): readonly string[] {
    return this.#failures.get(method) ?? [];
  }

  #of(method: Method): MethodTally {
    const counts = servers.map(({ name }) => [name, this.#counts.get(method)?.get(name) ?? 0] as const);
    const failed = this.#failed(method).length;
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
