// SPDX-License-Identifier: Apache-2.0
// What the dataplane counted, put together with what is configured.
import type { ServerStatistics } from '../generated/fulcrum/v1/ServerStatistics.js';
import type { ServiceStatistics, ServiceStatistics__Output } from '../generated/fulcrum/v1/ServiceStatistics.js';
import type { VerdictCount, VerdictCount__Output } from '../generated/fulcrum/v1/VerdictCount.js';
import type { WorkerStatistics__Output } from '../generated/fulcrum/v1/WorkerStatistics.js';
import { listOrder } from './messages.js';
import { type Service, type ServiceKey, serverId, serviceId } from './nouns.js';
import { readServerKey, readServiceKey } from './validate.js';

/**
 * Every configured service and server in its order, with the dataplane's counters; zero where it has none yet. What the
 * dataplane still counts of objects that are gone is left out.
 */
export function mergeServices(
  configured: Iterable<Service>,
  counted: readonly ServiceStatistics__Output[],
): ServiceStatistics[] {
  const byService = new Map(counted.map((service) => [serviceId(keyOf(service)), service]));
  return [...configured].map((service) => {
    const known = byService.get(serviceId(service.key));
    return {
      key: service.key,
      counters: known?.counters ?? {},
      servers: mergeServers(service, known),
      rates: known?.rates ?? {},
      openConnections: known?.openConnections ?? 0,
      refusals: known?.refusals ?? {},
      activeConnections: known?.activeConnections ?? 0,
      inactiveConnections: known?.inactiveConnections ?? 0,
    };
  });
}

function keyOf(service: ServiceStatistics__Output): ServiceKey {
  return readServiceKey(service.key, 'key');
}

function mergeServers(service: Service, counted: ServiceStatistics__Output | undefined): ServerStatistics[] {
  const byServer = new Map(counted?.servers.map((server) => [serverId(readServerKey(server.key, 'key')), server]));
  return listOrder(service).map(({ key }) => byServer.get(serverId(key)) ?? { key, counters: {}, rates: {} });
}

/** Sums over the workers, by name, in the order of their first appearance. */
export function sumVerdicts(workers: readonly WorkerStatistics__Output[]): VerdictCount[] {
  const sums = new Map<string, { packets: bigint; drop: boolean }>();
  const add = ({ verdict, packets, drop }: VerdictCount__Output) => {
    const sum = sums.get(verdict) ?? { packets: 0n, drop };
    sum.packets += BigInt(packets);
    sums.set(verdict, sum);
  };
  for (const worker of workers) worker.verdicts.forEach(add);
  return [...sums].map(([verdict, { packets, drop }]) => ({ verdict, packets: packets.toString(), drop }));
}
