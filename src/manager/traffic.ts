// SPDX-License-Identifier: Apache-2.0
// Traffic policies and prefix lists as they come in requests: read into one normal form (prefixes with their length), or
// refused by the field that is wrong.
import { isListName, leastMss, listName, mostMss, mostPerSecond } from '../config/traffic.js';
import type { PrefixList__Output } from '../generated/fulcrum/v1/PrefixList.js';
import type { TrafficPolicy__Output } from '../generated/fulcrum/v1/TrafficPolicy.js';
import { FulcrumError, joinPath, quote } from '../grpc/errors.js';
import { type ServiceKey, serviceFamily } from './nouns.js';
import { readPrefix } from './prefixes.js';
import { invalid, outOfRange } from './validate.js';

/** By name; read-only sets and maps have this of each other. */
export interface PrefixListNames {
  has(name: string): boolean;
}

const listNamePattern = new RegExp(listName);
const mostPrefixes = 1_000_000;
const mostEntries = 1_000;

/** Null if the policy says nothing. `lists`: those that it may refer to. */
export function readTrafficPolicy(
  given: TrafficPolicy__Output,
  service: ServiceKey,
  lists: PrefixListNames,
  path: string,
): TrafficPolicy__Output | null {
  const allow = readClients(given.allow, service, lists, joinPath(path, 'allow'));
  const deny = readClients(given.deny, service, lists, joinPath(path, 'deny'));
  const { maxConnections, connectionsPerSecond, connectionsBurst, mss, mssAuto } = given;
  if (connectionsPerSecond > mostPerSecond) {
    const message = `${connectionsPerSecond} is more than ${mostPerSecond}`;
    throw outOfRange(joinPath(path, 'connections_per_second'), message);
  }
  if (connectionsBurst !== 0 && connectionsPerSecond === 0) {
    throw invalid(joinPath(path, 'connections_burst'), 'needs connections_per_second');
  }
  if (mss !== 0) checkMss(given, service, joinPath(path, 'mss'));
  if (mssAuto) checkTcp(service, joinPath(path, 'mss_auto'));
  const policy = { allow, deny, maxConnections, connectionsPerSecond, connectionsBurst, mss, mssAuto };
  return saysNothing(policy) ? null : policy;
}

function saysNothing({ allow, deny, ...rest }: TrafficPolicy__Output): boolean {
  return allow.length + deny.length === 0 && Object.values(rest).every((value) => !value);
}

function checkMss({ mss, mssAuto }: TrafficPolicy__Output, service: ServiceKey, field: string): void {
  if (mssAuto) throw invalid(field, 'is a number, or worked out, not both');
  if (mss < leastMss || mss > mostMss) {
    throw outOfRange(field, `${mss} is not a maximum segment size (${leastMss} … ${mostMss})`);
  }
  checkTcp(service, field);
}

/** What a fwmark service takes may be TCP. */
function checkTcp({ protocol, fwmark }: ServiceKey, field: string): void {
  if (fwmark === 0 && protocol !== 'PROTOCOL_TCP') throw invalid(field, 'only TCP has a maximum segment size');
}

function readClients(
  given: readonly string[],
  service: ServiceKey,
  lists: PrefixListNames,
  field: string,
): TrafficPolicy__Output['allow'] {
  if (given.length > mostEntries) {
    const message = `${given.length} entries are too many (at most ${mostEntries}): make a prefix list of them`;
    throw new FulcrumError({ reason: 'REASON_NO_ROOM', field, message });
  }
  return [...new Set(given.map((entry, index) => readClient(entry, service, lists, `${field}[${index}]`)))];
}

function readClient(entry: string, service: ServiceKey, lists: PrefixListNames, field: string): string {
  if (!isListName(entry)) {
    const prefix = readPrefix(entry, field);
    if (prefix.family === serviceFamily(service)) return prefix.text;
    throw invalid(field, `${prefix.text} is not of the service's address family`);
  }
  if (lists.has(entry)) return entry;
  const what = listNamePattern.test(entry)
    ? 'there is no prefix list'
    : 'this is neither a prefix nor the name of a list:';
  throw new FulcrumError({ reason: 'REASON_PREFIX_LIST_NOT_FOUND', field, message: `${what} ${quote(entry)}` });
}

export function readPrefixList(given: PrefixList__Output | null | undefined, path: string): PrefixList__Output {
  if (given === null || given === undefined) throw invalid(path, 'must be given');
  if (!listNamePattern.test(given.name)) {
    const message = `${quote(given.name)} is no name of a list: a letter, then letters, digits, "_" and "-", at most 64`;
    throw invalid(joinPath(path, 'name'), message);
  }
  if (given.prefixes.length > mostPrefixes) {
    const message = `${given.prefixes.length} prefixes are too many (at most ${mostPrefixes})`;
    throw new FulcrumError({ reason: 'REASON_NO_ROOM', field: joinPath(path, 'prefixes'), message });
  }
  const field = joinPath(path, 'prefixes');
  const prefixes = new Set(
    given.prefixes.map((text, index) => (isPlainIpv4(text) ? text : readPrefix(text, `${field}[${index}]`).text)),
  );
  return { name: given.name, prefixes: [...prefixes] };
}

const ipv4Prefix = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\/(\d{1,2})$/;

/** An IPv4 prefix in normal form: of the many that there may be nearly all are, and big integers take their time. */
function isPlainIpv4(text: string): boolean {
  const found = ipv4Prefix.exec(text);
  if (found === null) return false;
  const [a = 256, b = 256, c = 256, d = 256, length = 33] = found.slice(1).map(Number);
  if (a > 255 || b > 255 || c > 255 || d > 255 || length > 32) return false;
  const value = a * 0x1000000 + b * 0x10000 + c * 0x100 + d;
  return value % 2 ** (32 - length) === 0 && text === `${a}.${b}.${c}.${d}/${length}`;
}

/** Whether a policy refers to a list. */
export function refersTo(policy: TrafficPolicy__Output | null, name: string): boolean {
  return policy !== null && (policy.allow.includes(name) || policy.deny.includes(name));
}
