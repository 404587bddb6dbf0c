// SPDX-License-Identifier: Apache-2.0
// What a director tells those who watch it, as lines that a story waits for: each change of a server's weight in force
// ("weight TCP 203.0.113.10:80 10.0.0.11:80 3"), each event ("server_down: …").

import type { VirtualService__Output } from '../../src/generated/fulcrum/v1/VirtualService.js';
import type { DirectorClient } from '../../src/grpc/client.js';
import { type Server, type Service, serverId, serviceId } from '../../src/manager/nouns.js';

const longestWaitMs = 30_000;

export class Happenings {
  readonly #lines: AsyncGenerator<string>;

  private constructor(lines: AsyncGenerator<string>) {
    this.#lines = lines;
  }

  /** From what is now on; returns when that has been told. */
  static async watch(api: DirectorClient): Promise<Happenings> {
    const happenings = new Happenings(linesOf(api));
    await happenings.all(['watching']);
    return happenings;
  }

  /** Reads on until there was a line for each of these, in whatever order. */
  async all(wanted: readonly (string | RegExp)[]): Promise<void> {
    const missing = new Set(wanted);
    const read: string[] = [];
    while (missing.size > 0) {
      const line = await this.#next(() => `${[...missing].join('\n')}\ndid not come after\n${read.join('\n')}`);
      for (const one of missing) if (typeof one === 'string' ? one === line : one.test(line)) missing.delete(one);
      read.push(line);
    }
  }

  async #next(complaint: () => string): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(complaint())), longestWaitMs);
    });
    try {
      const { value, done } = await Promise.race([this.#lines.next(), late]);
      if (done) throw new Error(`the stream ended: ${complaint()}`);
      return value;
    } finally {
      clearTimeout(timer);
    }
  }
}

async function* linesOf(api: DirectorClient): AsyncGenerator<string> {
  const weights = new Map<string, number>();
  for await (const { service, endOfSnapshot, happened } of api.watch({})) {
    if (service) yield* weightLines(service, weights);
    if (endOfSnapshot) yield 'watching';
    if (happened) yield `${happened.kind}: ${happened.message}`;
  }
}

function* weightLines(service: VirtualService__Output, weights: Map<string, number>): Generator<string> {
  for (const { key, condition } of service.servers) {
    const name = `${serviceId(service.key as Service['key'])} ${serverId(key as Server['key'])}`;
    const weight = condition?.effectiveWeight;
    if (weight === undefined || weights.get(name) === weight) continue;
    weights.set(name, weight);
    yield `weight ${name} ${weight}`;
  }
}

/** Returns when the dataplane has all that was found. */
export async function inForce(api: DirectorClient): Promise<void> {
  for (;;) {
    const { dataplane } = await api.getStatus({});
    if (dataplane?.generationApplied === dataplane?.generationWanted) return;
  }
}
