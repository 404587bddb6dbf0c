// SPDX-License-Identifier: Apache-2.0
// The first difference between what is declared and what a worker uses, in words: both as messages of fulcrum.v1.
import { timeouts } from '../../config/timeouts.js';
import { tunables } from '../../config/tunables.js';
import type { Configuration__Output } from '../../generated/fulcrum/v1/Configuration.js';
import type { RealServer__Output } from '../../generated/fulcrum/v1/RealServer.js';
import type { ServerKey__Output } from '../../generated/fulcrum/v1/ServerKey.js';
import type { ServiceKey__Output } from '../../generated/fulcrum/v1/ServiceKey.js';
import type { VirtualService__Output } from '../../generated/fulcrum/v1/VirtualService.js';
import { inForceServers } from '../messages.js';
import type { Model } from '../model.js';
import { type MarkRule, type Service, serverId, serviceId } from '../nouns.js';
import type { PoolServer } from '../pool.js';
import { announcedVips } from '../vips.js';

/** "weight is 3, declared 2"; fields that only one side has are passed over. */
function fieldDifference(used: object, declared: object): string | undefined {
  const values = used as Readonly<Record<string, unknown>>;
  for (const [name, value] of Object.entries(declared)) {
    const other = values[name];
    if (other === undefined || JSON.stringify(other) === JSON.stringify(value)) continue;
    return `${words(name)} is ${text(other)}, declared ${text(value)}`;
  }
  return undefined;
}

/** "persistenceTimeoutS" → "persistence_timeout_s". */
const words = (field: string): string => field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

const text = (value: unknown): string => (typeof value === 'string' && value !== '' ? value : JSON.stringify(value));

/** Of one service; undefined if it is what is declared. */
export function serviceDifference(used: VirtualService__Output | undefined, declared: Service): string | undefined {
  const name = serviceId(declared.key);
  if (used === undefined) return `${name} is missing`;
  const known = used.key === null ? '?' : serviceId(withDefaults(used.key));
  if (known !== name) return `${known} is where ${name} is declared`;
  const found =
    (used.spec &&
      fieldDifference({ ...used.spec, persistenceEngine: declared.spec.persistenceEngine }, declared.spec)) ??
    trafficDifference(used, declared) ??
    serversDifference(used.servers, inForceServers(declared));
  return found === undefined ? undefined : `${name}: ${found}`;
}

const withDefaults = (key: ServiceKey__Output): Service['key'] => key as Service['key'];

function trafficDifference(used: VirtualService__Output, declared: Service): string | undefined {
  if (used.traffic === null && declared.traffic === null) return undefined;
  if (used.traffic === null) return 'its traffic policy is missing';
  if (declared.traffic === null) return 'it has a traffic policy, declared none';
  const byKind = (entries: readonly string[]): string[] =>
    [...entries].sort((a, b) => Number(/[.:/]/.test(a)) - Number(/[.:/]/.test(b)));
  const { allow, deny } = declared.traffic;
  return fieldDifference(used.traffic, { ...declared.traffic, allow: byKind(allow), deny: byKind(deny) });
}

function serversDifference(used: readonly RealServer__Output[], declared: readonly PoolServer[]): string | undefined {
  for (const [index, server] of declared.entries()) {
    const other = used[index];
    const name = `real server ${serverId(server.key)}`;
    if (other?.key == null) return `${name} is missing`;
    if (serverId(other.key as ServerKey__Output) !== serverId(server.key))
      return `real server ${serverId(other.key)} is where ${serverId(server.key)} is declared`;
    const isTunnel = server.spec.method === 'FORWARDING_METHOD_TUN';
    const { tunnelType, tunnelPort, tunnelChecksum, ...plain } = server.spec;
    const difference = fieldDifference(other.spec ?? {}, isTunnel ? server.spec : plain);
    if (difference !== undefined) return `${name}: ${difference}`;
  }
  const more = used[declared.length];
  return more?.key ? `real server ${serverId(more.key)} is not declared` : undefined;
}

/** Of what belongs to no service. */
export function settingsDifference(used: Configuration__Output, model: Model): string | undefined {
  return (
    vipsDifference(used, model) ??
    timeoutsDifference(used, model) ??
    tunablesDifference(used, model) ??
    markRulesDifference(used, model) ??
    prefixListsDifference(used, model)
  );
}

function vipsDifference({ vips }: Configuration__Output, model: Model): string | undefined {
  const rest = new Map(vips.map((vip) => [vip.address, vip]));
  for (const vip of announcedVips(model)) {
    const other = rest.get(vip.address);
    if (other === undefined) return `VIP ${vip.address} is missing`;
    rest.delete(vip.address);
    const difference = fieldDifference(other, vip);
    if (difference !== undefined) return `VIP ${vip.address}: ${difference}`;
  }
  const [more] = rest.keys();
  return more === undefined ? undefined : `VIP ${more} is not declared`;
}

function timeoutsDifference({ timeouts: used }: Configuration__Output, model: Model): string | undefined {
  for (const { name, field } of timeouts)
    if (used?.[field] !== model.timeouts[field])
      return `timeout ${name} is ${used?.[field]}, declared ${model.timeouts[field]}`;
  return undefined;
}

function tunablesDifference({ tunables: used }: Configuration__Output, model: Model): string | undefined {
  for (const { name, field, initial } of tunables) {
    const declared = model.tunables[field] ?? initial;
    if (used?.[field] !== declared) return `tunable ${name} is ${used?.[field]}, declared ${declared}`;
  }
  return undefined;
}

function markRulesDifference({ markRules }: Configuration__Output, model: Model): string | undefined {
  const used = markRules?.rules ?? [];
  for (const [index, rule] of model.markRules.entries()) {
    const other = used[index];
    const difference = other === undefined ? 'is missing' : fieldDifference(other, rule satisfies MarkRule);
    if (difference !== undefined) return `mark rule ${index + 1}: ${difference}`;
  }
  return used.length > model.markRules.length ? `mark rule ${model.markRules.length + 1} is not declared` : undefined;
}

function prefixListsDifference({ prefixLists }: Configuration__Output, model: Model): string | undefined {
  const rest = new Map(prefixLists.map(({ name, prefixes }) => [name, new Set(prefixes)]));
  for (const { name, prefixes } of model.prefixLists.values()) {
    const other = rest.get(name);
    if (other === undefined) return `prefix list ${name} is missing`;
    rest.delete(name);
    const missing = prefixes.find((prefix) => !other.has(prefix));
    if (missing !== undefined) return `prefix list ${name}: ${missing} is missing`;
    if (other.size !== prefixes.length)
      return `prefix list ${name} has ${other.size} prefixes, declared ${prefixes.length}`;
  }
  const [more] = rest.keys();
  return more === undefined ? undefined : `prefix list ${more} is not declared`;
}
