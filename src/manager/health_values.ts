// SPDX-License-Identifier: Apache-2.0
// Health policies as they come in requests, checked and in normal form.
import type { HealthPolicy__Output } from '../generated/fulcrum/v1/HealthPolicy.js';
import type { ServerHealth__Output } from '../generated/fulcrum/v1/ServerHealth.js';
import type { Capabilities } from './capabilities.js';
import { checkVias } from './health/via_vip.js';
import type { ServiceKey } from './nouns.js';
import { readPassiveHealth } from './passive/policy.js';
import { invalid, readServer } from './validate.js';

/** Field names are those of the request below `path`. */
export function readHealthPolicy(
  given: HealthPolicy__Output,
  service: ServiceKey,
  path: string,
  capabilities: Capabilities,
): HealthPolicy__Output {
  capabilities.checkHealth(given.checks, path);
  if (given.load) capabilities.checkLoad(given.load, `${path}.load`);
  checkVias(given.checks, service, path);
  const quorum = Math.max(1, given.quorum);
  if (given.hysteresis >= quorum && given.hysteresis !== 0)
    throw invalid(`${path}.hysteresis`, `${given.hysteresis} is not less than the quorum of ${quorum}`);
  if (given.mostOutPercent > 100) throw invalid(`${path}.most_out_percent`, `${given.mostOutPercent} is more than 100`);
  for (const field of ['quorumUp', 'quorumDown', 'notifyUp', 'notifyDown'] as const)
    readCommand(given[field], path, field);
  const passive = given.passive && readPassiveHealth(given.passive, service, `${path}.passive`);
  return { ...given, quorum, sorryServer: readSorryServer(given, service, path), passive };
}

function readSorryServer(
  { sorryServer: given, sorryServerInhibit }: HealthPolicy__Output,
  service: ServiceKey,
  path: string,
): HealthPolicy__Output['sorryServer'] {
  if (given === null) {
    if (sorryServerInhibit) throw invalid(`${path}.sorry_server_inhibit`, 'there is no sorry server');
    return null;
  }
  const { key, spec } = readServer(service, given.key, given.spec, `${path}.sorry_server`);
  if (spec.weight === 0)
    throw invalid(`${path}.sorry_server.spec.weight`, 'a sorry server with weight 0 serves nobody');
  return { key, spec };
}

/** Field names are those of the request below `path`. */
export function readServerHealth(
  given: ServerHealth__Output,
  service: ServiceKey,
  path: string,
  capabilities: Capabilities,
): ServerHealth__Output {
  capabilities.checkHealth(given.checks, path);
  if (given.load) capabilities.checkLoad(given.load, `${path}.load`);
  checkVias(given.checks, service, path);
  for (const field of ['notifyUp', 'notifyDown'] as const) readCommand(given[field], path, field);
  return given;
}

function readCommand(command: readonly string[], path: string, field: string): void {
  const name = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  if (command.length > 0 && command[0] === '') throw invalid(`${path}.${name}[0]`, 'names no program');
}
