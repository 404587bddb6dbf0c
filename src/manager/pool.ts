// SPDX-License-Identifier: Apache-2.0
// What the dataplane is to have of a service whose servers are checked: which servers, with which weights. One rule, a
// pure function of what is wanted and what is known, with keepalived's outcomes:
//   weight in force = 0 if there is a drain, the wanted weight is 0, an agent drains it, it is ejected, or it is kept in
//     with inhibit_on_failure; else (a check's weight, or the wanted one) × the share of its load × that of its slow start,
//     rounded down, at least 1.
import type { HealthPolicy__Output } from '../generated/fulcrum/v1/HealthPolicy.js';
import type { Load } from './load/load.js';
import { type Server, type ServerKey, type ServerSpec, serverId } from './nouns.js';
import type { Ejection } from './passive/ejection.js';

/** What checks have said of a server, and its load source. */
export interface Condition {
  readonly up: boolean;
  /** False until the first result: `up` is an assumption then. */
  readonly checked: boolean;
  /** Why it is down; empty while it is up. */
  readonly reason: string;
  /** When `up` became what it is; RFC 3339. */
  readonly since: string;
  /** What a check with dynamic weights says; null: nothing. */
  readonly weight: number | null;
  /** Per cent of its weight that it has got so far after it came back. */
  readonly share: number;
  /** Left out: nothing was read yet, or it has no load source. */
  readonly load?: Load;
  /** Left out: it is not ejected. */
  readonly ejection?: Ejection;
}

/** LVS's bound. */
const largestWeight = 2_147_483_647;

export interface Pool {
  /** By serverId(), in the order of addition, with the weights in force. The sorry server is one of them. */
  readonly servers: ReadonlyMap<string, PoolServer>;
  readonly quorumUp: boolean;
}

export interface PoolServer {
  readonly key: ServerKey;
  readonly spec: ServerSpec;
}

/** Of a service as a pool sees it. */
export interface Pooled {
  readonly servers: ReadonlyMap<string, Server>;
  readonly health: HealthPolicy__Output;
}

/** A drain is as if its operator wanted weight 0, until it is called off. */
function wantedWeight({ spec, drain }: Server): number {
  return drain === null ? spec.weight : 0;
}

/** Whether it may serve: neither a check nor an agent speaks against it. */
export function isLive({ up, load }: Condition): boolean {
  return up && (load === undefined || (load.down === null && load.admin !== 'maint'));
}

/** Why it does not serve, or gets nothing new; empty while all is well. */
export function reasonOf({ reason, load, ejection }: Condition): string {
  const admin = load === undefined || load.admin === 'ready' ? '' : `agent: ${load.admin}`;
  return [reason, load?.down ?? '', admin, ejection?.reason ?? ''].filter((text) => text !== '').join('; ');
}

/** Since when it has been as it is. */
export function sinceOf({ since, load, ejection }: Condition): string {
  return [since, load?.since ?? '', ejection?.since ?? ''].reduce((last, time) => (time > last ? time : last));
}

/** An agent wants no new connections to it. */
export function isDrained({ load }: Condition): boolean {
  return load !== undefined && (load.admin === 'drain' || load.percent === 0);
}

export function weightInForce(server: Server): number {
  if (server.condition?.ejection !== undefined) return 0;
  return weightWith(server, server.condition?.load?.percent ?? 100);
}

/** What it counts for the quorum. Who is busy or ejected is no less live, or the pool would lose its quorum and with it all servers. */
function quorumWeight(server: Server): number {
  return weightWith(server, 100);
}

function weightWith(server: Server, percent: number): number {
  const { spec, condition } = server;
  const base = condition?.weight ?? spec.weight;
  if (wantedWeight(server) === 0 || base === 0 || (condition !== null && isDrained(condition))) return 0;
  const weight = Math.floor((base * percent * (condition?.share ?? 100)) / 10_000);
  return Math.min(largestWeight, Math.max(1, weight));
}

/** What the dataplane gets of a server that serves, or with weight 0 of one that is kept in. */
function specWith({ spec, condition }: Server, weight: number): ServerSpec {
  const most = condition?.load?.maxConnections ?? spec.upperThreshold;
  if (most === spec.upperThreshold) return withWeight(spec, weight);
  // Above the upper threshold, the lower one is left to follow from it.
  return {
    ...spec,
    weight,
    upperThreshold: most,
    lowerThreshold: spec.lowerThreshold > most ? 0 : spec.lowerThreshold,
  };
}

/** What a server begins with. */
export function firstCondition(alpha: boolean, now: string, load?: Load): Condition {
  return {
    up: !alpha,
    checked: false,
    reason: alpha ? 'not checked yet' : '',
    since: now,
    weight: null,
    share: 100,
    ...(load && { load }),
  };
}

export function isAlpha(server: Server, policy: HealthPolicy__Output): boolean {
  return own(server.health?.alpha, policy.alpha);
}

/** What nobody checks is up: nothing could ever bring it back. */
export function isChecked(server: Server, policy: HealthPolicy__Output): boolean {
  return policy.checks.length > 0 || (server.health?.checks.length ?? 0) > 0;
}

function isInhibited(server: Server, policy: HealthPolicy__Output): boolean {
  return own(server.health?.inhibitOnFailure, policy.inhibitOnFailure);
}

function own<T>(value: T | null | undefined, inherited: T): T {
  return value ?? inherited;
}

/** Servers that are down, but more than checks and agents may take out: those that failed last stay in. */
function spared({ servers, health: { mostOutPercent } }: Pooled): ReadonlySet<Server> {
  if (mostOutPercent === 0) return new Set();
  const down = [...servers.values()].filter(({ condition }) => condition !== null && hasFailed(condition));
  const most = Math.floor((servers.size * mostOutPercent) / 100);
  const since = ({ condition }: Server): string => (condition === null ? '' : sinceOf(condition));
  const byTime = down.toSorted((left, right) => order(since(left), since(right)));
  return new Set(byTime.slice(most));
}

/** It was found to be down. What an agent takes out for maintenance has not failed: nothing brings it back in. */
function hasFailed({ up, checked, load }: Condition): boolean {
  return load?.admin !== 'maint' && ((checked && !up) || (load !== undefined && load.down !== null));
}

function order(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

/** keepalived lowers a quorum that could never be met. */
function quorumOf({ servers, health }: Pooled): number {
  const all = [...servers.values()].reduce((sum, server) => sum + wantedWeight(server), 0);
  return Math.max(1, Math.min(Math.max(1, health.quorum), all));
}

function isQuorumUp(service: Pooled, wasUp: boolean, live: number): boolean {
  const quorum = quorumOf(service);
  const hysteresis = Math.min(service.health.hysteresis, quorum - 1);
  return wasUp ? live > 0 && live >= quorum - hysteresis : live >= quorum + hysteresis;
}

/** The pool that a service is to have, its servers in the order in which they are to be added. */
export function wantedPool(service: Pooled, wasUp: boolean): Pool {
  const { servers, health } = service;
  const stay = spared(service);
  const isIn = (server: Server): boolean => server.condition === null || isLive(server.condition) || stay.has(server);
  const live = [...servers.values()].filter(isIn).reduce((sum, server) => sum + quorumWeight(server), 0);
  const quorumUp = isQuorumUp(service, wasUp, live);
  const sorry = sorryServer(health);
  const sorryServes = sorry !== undefined && !quorumUp;
  const wanted = new Map<string, PoolServer>();
  for (const [id, server] of servers) {
    const serves = isIn(server) && !sorryServes;
    // What is drained keeps its connections, also when a sorry server takes its place.
    const stays = server.drain !== null && isIn(server);
    if (serves || stays || isInhibited(server, health))
      wanted.set(id, { key: server.key, spec: specWith(server, serves ? weightInForce(server) : 0) });
  }
  const sorryId = sorry && serverId(sorry.key);
  if (sorry !== undefined && sorryId !== undefined) {
    if (sorryServes) wanted.set(sorryId, sorry);
    // One of the service's own servers may be the sorry server, too.
    else if (health.sorryServerInhibit && !wanted.has(sorryId))
      wanted.set(sorryId, { ...sorry, spec: withWeight(sorry.spec, 0) });
  }
  return { servers: wanted, quorumUp };
}

/** What the dataplane is to have of a server that nobody checks. */
export function unchecked(server: Server): PoolServer {
  return server.drain === null ? server : { key: server.key, spec: withWeight(server.spec, 0) };
}

function withWeight(spec: ServerSpec, weight: number): ServerSpec {
  return spec.weight === weight ? spec : { ...spec, weight };
}

function sorryServer({ sorryServer: given }: HealthPolicy__Output): PoolServer | undefined {
  if (!given?.key || !given.spec) return undefined;
  return { key: given.key, spec: given.spec as ServerSpec };
}

export type PoolEdit =
  | { readonly kind: 'add' | 'edit'; readonly id: string; readonly server: PoolServer }
  | { readonly kind: 'delete'; readonly id: string; readonly server: PoolServer };

/** From what a pool has to what it is to have: what goes first, then what changes, then what comes. */
export function poolEdits(current: Pool['servers'], wanted: Pool['servers']): readonly PoolEdit[] {
  const gone = [...current].filter(([id]) => !wanted.has(id));
  const changed = [...wanted].filter(([id, server]) => {
    const before = current.get(id);
    return before !== undefined && !sameSpec(before.spec, server.spec);
  });
  const added = [...wanted].filter(([id]) => !current.has(id));
  return [
    ...gone.map(([id, server]): PoolEdit => ({ kind: 'delete', id, server })),
    ...changed.map(([id, server]): PoolEdit => ({ kind: 'edit', id, server })),
    ...added.map(([id, server]): PoolEdit => ({ kind: 'add', id, server })),
  ];
}

function sameSpec(left: ServerSpec, right: ServerSpec): boolean {
  return (Object.keys(left) as (keyof ServerSpec)[]).every((field) => left[field] === right[field]);
}
