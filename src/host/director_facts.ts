// SPDX-License-Identifier: Apache-2.0
// What a running director tells of itself by its public API, twice with a second between where a rate is asked for.
import type { GetStatusResponse__Output } from '../generated/fulcrum/v1/GetStatusResponse.js';
import type { Neighbor__Output } from '../generated/fulcrum/v1/Neighbor.js';
import type { Port__Output } from '../generated/fulcrum/v1/Port.js';
import type { Route__Output } from '../generated/fulcrum/v1/Route.js';
import type { ServiceStatistics__Output } from '../generated/fulcrum/v1/ServiceStatistics.js';
import type { VerdictCount__Output } from '../generated/fulcrum/v1/VerdictCount.js';
import type { VirtualService__Output } from '../generated/fulcrum/v1/VirtualService.js';
import type { WorkerStatistics__Output } from '../generated/fulcrum/v1/WorkerStatistics.js';
import type { DirectorClient } from '../grpc/client.js';

export interface DirectorFacts {
  readonly status: GetStatusResponse__Output;
  readonly services: readonly VirtualService__Output[];
  readonly statistics: readonly ServiceStatistics__Output[];
  readonly verdicts: readonly VerdictCount__Output[];
  /** Packets of each verdict within `sampleMs`. */
  readonly recent: ReadonlyMap<string, number>;
  readonly sampleMs: number;
  readonly workers: readonly WorkerStatistics__Output[];
  readonly neighbors: readonly Neighbor__Output[];
  readonly ports: readonly Port__Output[];
  readonly routes: readonly Route__Output[];
  /** "address_conflict: …" of the same second. */
  readonly events: readonly string[];
}

const largestPage = 10_000;

export async function gatherDirector(director: DirectorClient, sampleMs: number): Promise<DirectorFacts> {
  const status = await director.getStatus({});
  const services = await allServices(director);
  if (!status.dataplane?.connected) return { ...nothing, status, services, sampleMs };
  const before = await director.getStatistics({});
  const events = await eventsWithin(director, sampleMs);
  const [after, { neighbors }, { ports }, { routes }] = await Promise.all([
    director.getStatistics({}),
    director.listNeighbors({}),
    director.listPorts({}),
    director.listRoutes({}),
  ]);
  const counted = new Map(before.verdicts.map(({ verdict, packets }) => [verdict, Number(packets)]));
  const recent = new Map(
    after.verdicts.map(({ verdict, packets }) => [verdict, Number(packets) - (counted.get(verdict) ?? 0)]),
  );
  const { services: statistics, verdicts, workers } = after;
  return { status, services, statistics, verdicts, recent, sampleMs, workers, neighbors, ports, routes, events };
}

const nothing = {
  statistics: [],
  verdicts: [],
  recent: new Map<string, number>(),
  workers: [],
  neighbors: [],
  ports: [],
  routes: [],
  events: [],
};

async function allServices(director: DirectorClient): Promise<readonly VirtualService__Output[]> {
  const all: VirtualService__Output[] = [];
  let pageToken = '';
  do {
    const page = await director.listVirtualServices({ pageSize: largestPage, pageToken });
    all.push(...page.services);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return all;
}

/** What happens from now on for so long. */
async function eventsWithin(director: DirectorClient, ms: number): Promise<readonly string[]> {
  const signal = AbortSignal.timeout(ms);
  const seen: string[] = [];
  try {
    for await (const { happened } of director.watch({}, { signal }))
      if (happened) seen.push(`${happened.kind}: ${happened.message}`);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  return seen;
}
