// SPDX-License-Identifier: Apache-2.0
// An operation in words: for what config apply did, and for what config diff and --dry-run would do.

import type { View } from '../cli/output.js';
import type { Drain__Output } from '../generated/fulcrum/v1/Drain.js';
import type { Operation__Output } from '../generated/fulcrum/v1/Operation.js';
import type { ServerChange__Output } from '../generated/fulcrum/v1/ServerChange.js';
import type { ServiceChange__Output } from '../generated/fulcrum/v1/ServiceChange.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import { healthEntry, serverHealthEntry } from './health.js';
import { formatServerKey, formatServiceKey } from './keys.js';
import { markRuleEntry } from './mark_rules.js';
import { serverEntry, serviceEntry, vipEntry } from './services.js';
import { timeoutsEntry } from './timeouts.js';
import { trafficEntry } from './traffic.js';
import { tunablesEntry } from './tunables.js';

type Fields = { readonly [key: string]: View };

/** What happens, to what, with which settings. */
export interface Described {
  /** "+" made, "-" deleted, "~" changed. */
  readonly sign: '+' | '-' | '~';
  readonly action: string;
  readonly settings: Fields;
}

export function describe(operation: Operation__Output): Described {
  switch (operation.action) {
    case 'addService':
      return { sign: '+', action: 'add_service', settings: serviceSettings(operation.addService) };
    case 'editService':
      return { sign: '~', action: 'edit_service', settings: serviceSettings(operation.editService) };
    case 'deleteService':
      return { sign: '-', action: 'delete_service', settings: { service: keyText(operation.deleteService) } };
    case 'addServer':
      return { sign: '+', action: 'add_server', settings: serverSettings(operation.addServer) };
    case 'editServer':
      return { sign: '~', action: 'edit_server', settings: serverSettings(operation.editServer) };
    case 'deleteServer': {
      const { service, key } = operation.deleteServer ?? {};
      const settings = { service: keyText(service), server: key ? formatServerKey(key) : '' };
      return { sign: '-', action: 'delete_server', settings };
    }
    case 'flush':
      return { sign: '-', action: 'flush', settings: {} };
    case 'zero':
      return {
        sign: '~',
        action: 'zero',
        settings: operation.zero?.service ? { service: keyText(operation.zero.service) } : {},
      };
    case 'setTimeouts':
      return {
        sign: '~',
        action: 'set_timeouts',
        settings: operation.setTimeouts ? { ...timeoutsEntry(operation.setTimeouts) } : {},
      };
    case 'setVip':
      return { sign: '~', action: 'set_vip', settings: operation.setVip ? { ...vipEntry(operation.setVip) } : {} };
    case 'deleteVip':
      return { sign: '-', action: 'delete_vip', settings: { address: operation.deleteVip ?? '' } };
    case 'setTunables':
      return {
        sign: '~',
        action: 'set_tunables',
        settings: operation.setTunables ? tunablesEntry(operation.setTunables) : {},
      };
    case 'setMarkRules': {
      const rules = (operation.setMarkRules?.rules ?? []).map((rule): View => ({ ...markRuleEntry(rule) }));
      return { sign: '~', action: 'set_mark_rules', settings: { rules } };
    }
    case 'setTraffic': {
      const { service, traffic } = operation.setTraffic ?? {};
      const settings = {
        service: keyText(service),
        ...(traffic ? viewOf(trafficEntry(traffic)) : { traffic: 'none' }),
      };
      return { sign: '~', action: 'set_traffic', settings };
    }
    case 'setPrefixList': {
      const { name = '', prefixes = [] } = operation.setPrefixList ?? {};
      return { sign: '~', action: 'set_prefix_list', settings: { name, prefixes: prefixes.length } };
    }
    case 'deletePrefixList':
      return { sign: '-', action: 'delete_prefix_list', settings: { name: operation.deletePrefixList ?? '' } };
    case 'setHealth': {
      const { service, health } = operation.setHealth ?? {};
      const settings = { service: keyText(service), health: health ? viewOf(healthEntry(health)) : 'none' };
      return { sign: '~', action: 'set_health', settings };
    }
    case 'setServerHealth': {
      const { service, key, health } = operation.setServerHealth ?? {};
      const server = key ? formatServerKey(key) : '';
      const settings = {
        service: keyText(service),
        server,
        health: health ? viewOf(serverHealthEntry(health)) : 'none',
      };
      return { sign: '~', action: 'set_server_health', settings };
    }
    case 'setDrain': {
      const { service, key, drain } = operation.setDrain ?? {};
      const settings = {
        service: keyText(service),
        server: key ? formatServerKey(key) : '',
        drain: drainSetting(drain),
      };
      return { sign: '~', action: 'set_drain', settings };
    }
    default:
      throw new Error('the director sent an operation without an action');
  }
}

export function operationView(operation: Operation__Output): View {
  const { action, settings } = describe(operation);
  return { action, ...settings };
}

/** "+ add_server service=tcp:203.0.113.10:80 server=10.0.0.11:80 method=nat weight=2" */
export function operationText(operation: Operation__Output): string {
  const { sign, action, settings } = describe(operation);
  const words = Object.entries(settings).map(
    ([name, value]) => `${name}=${Array.isArray(value) ? listText(value) : settingText(value)}`,
  );
  return [sign, action, ...words].join(' ');
}

function drainSetting(drain: Drain__Output | null | undefined): View {
  if (drain == null) return 'none';
  const atEnd = drain.atEnd.replace('DRAIN_END_', '').toLowerCase();
  return { at_end: atEnd, ...(drain.deadline !== '' && { deadline: drain.deadline }) };
}

/** Entries of a file are plain data. */
function viewOf(entry: object): Fields {
  return entry as Fields;
}

/** What is no single word in one, as JSON. */
function settingText(value: View): string {
  return typeof value === 'object' && value !== null ? JSON.stringify(value) : String(value);
}

/** "sh-port,flag-3"; of rules only how many there are. */
function listText(values: readonly View[]): string {
  return values.some((value) => typeof value === 'object') ? String(values.length) : values.join(',');
}

function keyText(key: ServiceKey__Output | null | undefined): string {
  return key ? formatServiceKey(key) : '';
}

function serviceSettings(change: ServiceChange__Output | null | undefined): Fields {
  if (!change) return {};
  const { key, spec } = change;
  const { address, servers, ...settings } = serviceEntry({
    key,
    spec,
    servers: [],
    etag: '',
    health: null,
    pool: [],
    traffic: null,
  });
  return { service: address, ...settings };
}

function serverSettings(change: ServerChange__Output | null | undefined): Fields {
  if (!change) return {};
  const { key, spec } = change;
  const { address, ...settings } = serverEntry({ key, spec, etag: '', health: null, condition: null, drain: null });
  return { service: keyText(change.service), server: address, ...settings };
}
