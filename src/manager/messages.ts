// SPDX-License-Identifier: Apache-2.0
// The manager's values as messages of fulcrum.v1.
import type { Configuration } from '../generated/fulcrum/v1/Configuration.js';
import type { MarkRules } from '../generated/fulcrum/v1/MarkRules.js';
import type { RealServer } from '../generated/fulcrum/v1/RealServer.js';
import type { ServerCondition } from '../generated/fulcrum/v1/ServerCondition.js';
import type { ServerLoad } from '../generated/fulcrum/v1/ServerLoad.js';
import type { ServerState__Output } from '../generated/fulcrum/v1/ServerState.js';
import type { VirtualService } from '../generated/fulcrum/v1/VirtualService.js';
import { drainMessage, drainText, isDraining } from './drain.js';
import { firstLoad, loadSource } from './load/load.js';
import type { LoadStatus } from './load/monitor.js';
import type { Model } from './model.js';
import { type Server, type Service, serverId } from './nouns.js';
import type { Signals } from './passive/answers.js';
import { type Condition, isDrained, isLive, type PoolServer, reasonOf, sinceOf, unchecked } from './pool.js';

/** A revision or etag as clients see it. Those of two stores are never equal. */
export function revisionText(lineage: string, number: number): string {
  return `${lineage.slice(0, 8)}-${number}`;
}

/** What is known of a server just now, and is not part of the model. */
export interface Live {
  /** Of the check that was made last, in microseconds; 0: none was. */
  readonly latencyUs: number;
  /** Of its load source, if it has one. */
  readonly load: LoadStatus | undefined;
  /** What is seen of its answers, if somebody looks. */
  readonly signals: Signals | undefined;
}

export type LiveOf = (service: Service, server: Server) => Live;

const nothingLive: LiveOf = () => ({ latencyUs: 0, load: undefined, signals: undefined });

export function realServerMessage(
  server: Server,
  lineage: string,
  service: Service,
  liveOf: LiveOf = nothingLive,
): RealServer {
  const { key, spec, version, health, drain } = server;
  const { latencyUs, load, signals } = liveOf(service, server);
  const passive = spec.method === 'FORWARDING_METHOD_NAT' ? (signals ?? null) : null;
  const condition = conditionMessage(server, service);
  return {
    key,
    spec,
    etag: revisionText(lineage, version),
    health,
    condition: condition && { ...condition, latencyUs, load: loadMessage(server, service, load), passive },
    drain: drain && drainMessage(drain),
  };
}

/** Null if the service is not checked and the server not drained. */
function conditionMessage(server: Server, service: Service): ServerCondition | null {
  return server.drain === null ? healthMessage(server, service) : drainedMessage(server, service);
}

/** What checks have found is told behind it. */
function drainedMessage({ key, condition, drain }: Server, { pool }: Service): ServerCondition | null {
  if (drain === null) return null;
  const down = condition !== null && !isLive(condition) ? `; down: ${reasonOf(condition)}` : '';
  return {
    state: isDraining(drain) ? 'SERVER_STATE_DRAINING' : 'SERVER_STATE_DRAINED',
    reason: drainText(drain) + down,
    since: drain.ended || drain.since,
    inPool: pool === null || pool.servers.has(serverId(key)),
    effectiveWeight: 0,
  };
}

function healthMessage({ key, condition }: Server, { pool }: Service): ServerCondition | null {
  if (condition === null || pool === null) return null;
  const pooled = pool.servers.get(serverId(key));
  return {
    state: stateOf(condition),
    reason: reasonOf(condition),
    since: sinceOf(condition),
    inPool: pooled !== undefined,
    effectiveWeight: pooled?.spec.weight ?? 0,
    ...(condition.weight !== null && { checkWeight: condition.weight }),
    ...(condition.ejection && { ejectedUntil: condition.ejection.until }),
  };
}

/** What an agent says is known without any check. */
function stateOf(condition: Condition): ServerState__Output {
  if (isLive(condition) && condition.ejection !== undefined) return 'SERVER_STATE_EJECTED';
  if (!condition.checked && condition.up === isLive(condition))
    return isDrained(condition) ? 'SERVER_STATE_DRAINING' : 'SERVER_STATE_UNKNOWN';
  if (!isLive(condition)) return 'SERVER_STATE_DOWN';
  return isDrained(condition) ? 'SERVER_STATE_DRAINING' : 'SERVER_STATE_UP';
}

/** "up", as fulcrum server list has it; empty where nobody checks the server. */
export function stateWord(server: Server, service: Service): string {
  const state = conditionMessage(server, service)?.state;
  return state === undefined ? '' : String(state).replace('SERVER_STATE_', '').toLowerCase();
}

const adminMessages = { ready: 'AGENT_ADMIN_READY', drain: 'AGENT_ADMIN_DRAIN', maint: 'AGENT_ADMIN_MAINT' } as const;

/** Null without a load source. */
function loadMessage(server: Server, { health }: Service, live: LoadStatus | undefined): ServerLoad | null {
  const source = loadSource(server, health);
  if (!source?.kind) return null;
  const { percent, reading, readAt, admin, down, maxConnections } = server.condition?.load ?? firstLoad(source.kind);
  return {
    percent,
    reading,
    readAt,
    lastReading: live?.lastReading ?? '',
    problem: live?.problem ?? '',
    ...(source.kind === 'agent' && { admin: adminMessages[admin], agentDown: down !== null }),
    ...(maxConnections !== null && { maxConnections }),
  };
}

/** What the dataplane has of its servers, in LVS list order. */
function poolMessage({ pool, servers }: Service): RealServer[] {
  if (pool !== null) return [...pool.servers.values()].reverse();
  const all = [...servers.values()];
  if (all.every(({ drain }) => drain === null)) return [];
  return all.map((server) => ({ key: server.key, spec: unchecked(server).spec })).reverse();
}

/** In LVS list order: the server added last comes first. */
export function listOrder(service: Service): Server[] {
  return [...service.servers.values()].reverse();
}

export function virtualServiceMessage(service: Service, lineage: string, liveOf?: LiveOf): VirtualService {
  return {
    key: service.key,
    spec: service.spec,
    etag: revisionText(lineage, service.version),
    servers: listOrder(service).map((server) => realServerMessage(server, lineage, service, liveOf)),
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
    services: [...model.services.values()].map(inForceService),
  };
}

export function inForceService(service: Service): VirtualService {
  const { key, spec, traffic } = service;
  return {
    key,
    spec,
    traffic,
    servers: inForceServers(service).map((server) => ({ key: server.key, spec: server.spec })),
  };
}

/** In order of addition. */
export function inForceServers({ servers, pool }: Service): PoolServer[] {
  return pool === null ? [...servers.values()].map(unchecked) : [...pool.servers.values()];
}

/** Null if there are none. */
export function markRulesMessage({ markRules }: Model): MarkRules | null {
  return markRules.length === 0 ? null : { rules: [...markRules] };
}
