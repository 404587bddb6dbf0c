// SPDX-License-Identifier: Apache-2.0
// The manager's values as messages of fulcrum.v1.
import type { Configuration } from '../generated/fulcrum/v1/Configuration.js';
import type { MarkRules } from '../generated/fulcrum/v1/MarkRules.js';
import type { RealServer } from '../generated/fulcrum/v1/RealServer.js';
import type { ServerCondition } from '../generated/fulcrum/v1/ServerCondition.js';
import type { VirtualService } from '../generated/fulcrum/v1/VirtualService.js';
import type { Model } from './model.js';
import { type Server, type Service, serverId } from './nouns.js';

/** A revision or etag as clients see it. Those of two stores are never equal. */
export function revisionText(lineage: string, number: number): string {
  return `${lineage.slice(0, 8)}-${number}`;
}

/** Of the check of a server that was made last, in microseconds; 0: none was. */
export type Latency = (service: Service, server: Server) => number;

const unknownLatency: Latency = () => 0;

export function realServerMessage(
  server: Server,
  lineage: string,
  service: Service,
  latency: Latency = unknownLatency,
): RealServer {
  const { key, spec, version, health } = server;
  const condition = conditionMessage(server, service);
  return {
    key,
    spec,
    etag: revisionText(lineage, version),
    health,
    condition: condition && { ...condition, latencyUs: latency(service, server) },
  };
}

/** Null if the service is not checked. */
function conditionMessage({ key, condition }: Server, { pool }: Service): ServerCondition | null {
  if (condition === null || pool === null) return null;
  const pooled = pool.servers.get(serverId(key));
  return {
    state: !condition.checked ? 'SERVER_STATE_UNKNOWN' : condition.up ? 'SERVER_STATE_UP' : 'SERVER_STATE_DOWN',
    reason: condition.reason,
    since: condition.since,
    inPool: pooled !== undefined,
    effectiveWeight: pooled?.spec.weight ?? 0,
  };
}

/** What the dataplane has of its servers, in LVS list order. */
function poolMessage({ pool }: Service): RealServer[] {
  return pool === null ? [] : [...pool.servers.values()].reverse();
}

/** In LVS list order: the server added last comes first. */
export function listOrder(service: Service): Server[] {
  return [...service.servers.values()].reverse();
}

export function virtualServiceMessage(service: Service, lineage: string, latency?: Latency): VirtualService {
  return {
    key: service.key,
    spec: service.spec,
    etag: revisionText(lineage, service.version),
    servers: listOrder(service).map((server) => realServerMessage(server, lineage, service, latency)),
    health: service.health,
    pool: poolMessage(service),
    traffic: service.traffic,
  };
}

/** Everything configured. Servers in the order of addition, so that applying it again gives the same lists. */
export function configurationMessage(model: Model): Configuration {
  return {
    services: [...model.services.values()].map(({ key, spec, servers, health, traffic }) => ({
      key,
      spec,
      health,
      traffic,
      servers: [...servers.values()].map((server) => ({ key: server.key, spec: server.spec, health: server.health })),
    })),
    vips: [...model.vips.values()],
    timeouts: model.timeouts,
    tunables: model.tunables,
    markRules: markRulesMessage(model),
    prefixLists: [...model.prefixLists.values()],
  };
}

/** What the dataplane is to have: of services that are checked, what their pools are. */
export function inForceMessage(model: Model): Configuration {
  return {
    ...configurationMessage(model),
    services: [...model.services.values()].map(({ key, spec, servers, pool, traffic }) => ({
      key,
      spec,
      traffic,
      servers: [...(pool?.servers ?? servers).values()].map((server) => ({ key: server.key, spec: server.spec })),
    })),
  };
}

/** Null if there are none. */
export function markRulesMessage({ markRules }: Model): MarkRules | null {
  return markRules.length === 0 ? null : { rules: [...markRules] };
}
