// SPDX-License-Identifier: Apache-2.0
// Health of a service and of its servers as operators write it: JSON Schema, the way to the API's messages and back.
// Times are seconds here, milliseconds there.
import type { HealthPolicy__Output } from '../generated/fulcrum/v1/HealthPolicy.js';
import type { ServerHealth__Output } from '../generated/fulcrum/v1/ServerHealth.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import type { SorryServer__Output } from '../generated/fulcrum/v1/SorryServer.js';
import type { Attempt, Path } from './document.js';
import {
  type CheckEntry,
  checkEntry,
  checkProgram,
  checkSchema,
  programSchema,
  toCheck,
  toMilliseconds,
} from './health_check.js';
import { KeyError } from './keys.js';
import { type LoadEntry, loadEntry, loadSchema, toLoad } from './load.js';
import { type PassiveEntry, passiveEntry, passiveSchema, toPassive } from './passive.js';
import { largestWeight, type ServerSpecEntry, serverSpecEntry, sorryServerProperties, toServer } from './servers.js';

export type HealthEntry = {
  readonly checks?: readonly CheckEntry[];
  readonly alpha?: boolean;
  readonly inhibit_on_failure?: boolean;
  readonly quorum?: number;
  readonly hysteresis?: number;
  readonly quorum_up?: readonly string[];
  readonly quorum_down?: readonly string[];
  readonly sorry_server?: ServerSpecEntry;
  readonly sorry_server_inhibit?: boolean;
  readonly slow_start?: number;
  /** Percent. */
  readonly most_out?: number;
  readonly notify_up?: readonly string[];
  readonly notify_down?: readonly string[];
  readonly omega?: boolean;
  readonly load?: LoadEntry;
  readonly passive?: PassiveEntry;
};

/** What is left out is the service's. */
export type ServerHealthEntry = {
  readonly checks?: readonly CheckEntry[];
  readonly alpha?: boolean;
  readonly inhibit_on_failure?: boolean;
  readonly notify_up?: readonly string[];
  readonly notify_down?: readonly string[];
  readonly load?: LoadEntry;
};

const longestSlowStart = 86_400;

const flag = (description: string) => ({ type: 'boolean', description });

const sharedProperties = {
  checks: { type: 'array', items: checkSchema, description: 'all must pass' },
  alpha: flag('servers begin as down, and come in when their checks have passed'),
  inhibit_on_failure: flag('a server that is down stays with weight 0 instead of being removed'),
  notify_up: programSchema('run for a server that comes up'),
  notify_down: programSchema('run for a server that goes down'),
  load: loadSchema,
};

export const serverHealthSchema = {
  type: 'object',
  additionalProperties: false,
  description: "what the server has of its own; what is left out is the service's",
  properties: sharedProperties,
};

export const healthSchema = {
  type: 'object',
  additionalProperties: false,
  description: 'checks of the servers, and what becomes of the pool when they fail; left out: no checks',
  properties: {
    ...sharedProperties,
    quorum: {
      type: 'integer',
      minimum: 1,
      maximum: largestWeight,
      default: 1,
      description: 'sum of the weights of live servers at which the service counts as up',
    },
    hysteresis: {
      type: 'integer',
      minimum: 0,
      maximum: largestWeight,
      default: 0,
      description: 'lost below quorum - hysteresis, gained at quorum + hysteresis',
    },
    quorum_up: programSchema('run when the quorum is gained'),
    quorum_down: programSchema('run when the quorum is lost'),
    sorry_server: {
      type: 'object',
      additionalProperties: false,
      required: ['address'],
      description: 'takes the place of all servers while the quorum is lost',
      properties: sorryServerProperties,
    },
    sorry_server_inhibit: flag('the sorry server stays with weight 0 while it is not needed'),
    slow_start: {
      type: 'number',
      minimum: 0,
      maximum: longestSlowStart,
      default: 0,
      description: 'seconds over which a server that comes back gets its weight',
    },
    most_out: {
      type: 'integer',
      minimum: 0,
      maximum: 100,
      default: 0,
      description: 'at most this percentage of the servers is taken out by checks; 0: all may be',
    },
    omega: flag('when the service goes, notify_down and quorum_down are run'),
    passive: passiveSchema,
  },
};

export function toHealth(
  entry: HealthEntry,
  service: ServiceKey__Output,
  path: Path,
  attempt: Attempt,
): HealthPolicy__Output {
  attempt([...path, 'hysteresis'], () => checkHysteresis(entry));
  const sorryServer = entry.sorry_server && toSorryServer(entry.sorry_server, service, path, attempt);
  return {
    ...toShared(entry, path, attempt),
    alpha: entry.alpha ?? false,
    inhibitOnFailure: entry.inhibit_on_failure ?? false,
    quorum: entry.quorum ?? 0,
    hysteresis: entry.hysteresis ?? 0,
    quorumUp: toProgram(entry, 'quorum_up', path, attempt),
    quorumDown: toProgram(entry, 'quorum_down', path, attempt),
    sorryServer: sorryServer ?? null,
    sorryServerInhibit: entry.sorry_server_inhibit ?? false,
    slowStartMs: attempt([...path, 'slow_start'], () => toMilliseconds(entry.slow_start)) ?? 0,
    mostOutPercent: entry.most_out ?? 0,
    omega: entry.omega ?? false,
    passive: entry.passive ? toPassive(entry.passive, service, [...path, 'passive'], attempt) : null,
  };
}

export function toServerHealth(entry: ServerHealthEntry, path: Path, attempt: Attempt): ServerHealth__Output {
  return {
    ...toShared(entry, path, attempt),
    ...(entry.alpha !== undefined && { alpha: entry.alpha }),
    ...(entry.inhibit_on_failure !== undefined && { inhibitOnFailure: entry.inhibit_on_failure }),
  };
}

function toShared(
  entry: ServerHealthEntry,
  path: Path,
  attempt: Attempt,
): Pick<ServerHealth__Output, 'checks' | 'notifyUp' | 'notifyDown' | 'load'> {
  return {
    load: entry.load === undefined ? null : toLoad(entry.load, [...path, 'load'], attempt),
    checks: (entry.checks ?? []).map((check, index) => toCheck(check, [...path, 'checks', index], attempt)),
    notifyUp: toProgram(entry, 'notify_up', path, attempt),
    notifyDown: toProgram(entry, 'notify_down', path, attempt),
  };
}

type ProgramOption = 'quorum_up' | 'quorum_down' | 'notify_up' | 'notify_down';

function toProgram(entry: HealthEntry, option: ProgramOption, path: Path, attempt: Attempt): string[] {
  const program = entry[option];
  return (program && attempt([...path, option], () => checkProgram(program))) ?? [];
}

function checkHysteresis({ quorum = 1, hysteresis = 0 }: HealthEntry): void {
  if (hysteresis >= quorum) throw new KeyError(`${hysteresis} is not less than the quorum, which is ${quorum}`);
}

function toSorryServer(
  entry: ServerSpecEntry,
  service: ServiceKey__Output,
  path: Path,
  attempt: Attempt,
): SorryServer__Output | undefined {
  return toServer(entry, service, [...path, 'sorry_server'], attempt);
}

/** The entry that toHealth would read back to the same; defaults are left out. */
export function healthEntry(health: HealthPolicy__Output): HealthEntry {
  return {
    ...sharedEntry(health),
    ...(health.alpha && { alpha: true }),
    ...(health.inhibitOnFailure && { inhibit_on_failure: true }),
    ...(health.quorum !== 0 && { quorum: health.quorum }),
    ...(health.hysteresis !== 0 && { hysteresis: health.hysteresis }),
    ...(health.quorumUp.length > 0 && { quorum_up: health.quorumUp }),
    ...(health.quorumDown.length > 0 && { quorum_down: health.quorumDown }),
    ...(health.sorryServer && { sorry_server: serverSpecEntry(health.sorryServer) }),
    ...(health.sorryServerInhibit && { sorry_server_inhibit: true }),
    ...(health.slowStartMs !== 0 && { slow_start: health.slowStartMs / 1000 }),
    ...(health.mostOutPercent !== 0 && { most_out: health.mostOutPercent }),
    ...(health.omega && { omega: true }),
    ...(health.passive && { passive: passiveEntry(health.passive) }),
  };
}

export function serverHealthEntry(health: ServerHealth__Output): ServerHealthEntry {
  return {
    ...sharedEntry(health),
    ...(health.alpha !== undefined && { alpha: health.alpha }),
    ...(health.inhibitOnFailure !== undefined && { inhibit_on_failure: health.inhibitOnFailure }),
  };
}

function sharedEntry(
  health: Pick<ServerHealth__Output, 'checks' | 'notifyUp' | 'notifyDown' | 'load'>,
): ServerHealthEntry {
  return {
    ...(health.load && { load: loadEntry(health.load) }),
    ...(health.checks.length > 0 && { checks: health.checks.map(checkEntry) }),
    ...(health.notifyUp.length > 0 && { notify_up: health.notifyUp }),
    ...(health.notifyDown.length > 0 && { notify_down: health.notifyDown }),
  };
}
