// SPDX-License-Identifier: Apache-2.0
// What is configured of a service, in words for its page. What checks are given to show (headers, passwords) stays here.
import { flagNames } from '../../config/scheduler_flags.js';
import { trafficWords } from '../../config/traffic.js';
import type { Check__Output } from '../../generated/fulcrum/v1/Check.js';
import type { ServiceDetail } from '../../web/view.js';
import type { Service } from '../nouns.js';

export function settingsOf({ spec, health, traffic }: Service): ServiceDetail['settings'] {
  const settings: (readonly [string, string])[] = [['scheduler', schedulerWords(spec)]];
  if (spec.persistenceTimeoutS > 0) settings.push(['persistence', persistenceWords(spec)]);
  if (spec.onePacket) settings.push(['one-packet', 'yes']);
  settings.push(['checks', checksWords(health)]);
  if (health !== null && health.quorum > 1) settings.push(['quorum', String(health.quorum)]);
  if (health?.passive) settings.push(['passive health', 'on']);
  if (health?.load?.kind) settings.push(['weights from load', health.load.kind]);
  const words = trafficWords(traffic);
  if (words.length > 0) settings.push(['traffic', words.join(', ')]);
  return settings;
}

function schedulerWords({ scheduler, schedulerFlags }: Service['spec']): string {
  const flags = flagNames(schedulerFlags, scheduler);
  return flags.length === 0 ? scheduler : `${scheduler} (${flags.join(', ')})`;
}

function persistenceWords({ persistenceTimeoutS, persistencePrefix }: Service['spec']): string {
  return `${persistenceTimeoutS} s${persistencePrefix === 0 ? '' : `, by /${persistencePrefix}`}`;
}

function checksWords(health: Service['health']): string {
  if (health === null) return 'none';
  return health.checks.length === 0 ? 'of single servers only' : health.checks.map(checkWords).join(', ');
}

/** "http every 2 s" */
function checkWords({ kind, intervalMs }: Check__Output): string {
  return intervalMs === 0 ? String(kind) : `${kind} every ${intervalMs / 1000} s`;
}
