// SPDX-License-Identifier: Apache-2.0
// One scrape: asks the dataplane what it has counted and puts it together with what the manager knows. Those who ask at
// the same time share an answer.

import type { DataplaneClient } from '../dataplane_client.js';
import type { Answer } from '../http/server.js';
import { type DataplaneReadings, Metrics, type Readings } from './metrics.js';

export interface ScrapeOptions {
  readonly perServer: boolean;
  /** Throws while there is none. */
  readonly dataplane: () => DataplaneClient;
  readonly readings: () => Omit<Readings, 'dataplane' | 'gatheredInMs'>;
}

/** Prometheus waits ten seconds. */
const timeoutMs = 5_000;

export class Scraper {
  readonly #options: ScrapeOptions;
  readonly #metrics: Metrics;
  #underWay: Promise<Answer> | undefined;

  constructor(options: ScrapeOptions) {
    this.#options = options;
    this.#metrics = new Metrics(options);
  }

  scrape(): Promise<Answer> {
    this.#underWay ??= this.#scrape().finally(() => {
      this.#underWay = undefined;
    });
    return this.#underWay;
  }

  async #scrape(): Promise<Answer> {
    const begun = performance.now();
    const dataplane = await this.#ask();
    const gatheredInMs = performance.now() - begun;
    const body = await this.#metrics.text({ ...this.#options.readings(), dataplane, gatheredInMs });
    return { status: 200, type: this.#metrics.contentType, body };
  }

  async #ask(): Promise<DataplaneReadings | undefined> {
    try {
      const dataplane = this.#options.dataplane();
      const [state, statistics, { ports }, { neighbors }] = await Promise.all([
        dataplane.getState({}, { timeoutMs }),
        dataplane.getStatistics({}, { timeoutMs }),
        dataplane.listPorts({}, { timeoutMs }),
        dataplane.listNeighbors({}, { timeoutMs }),
      ]);
      return { state, statistics, ports, neighbors };
    } catch {
      // It says so by dataplane_connected.
      return undefined;
    }
  }
}
