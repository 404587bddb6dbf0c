// SPDX-License-Identifier: Apache-2.0
// Mark rules: read into one normal form (family told, prefixes with length, port ranges with both ends), or refused by
// the field that is wrong.
import type { AddressFamily__Output } from '../generated/fulcrum/v1/AddressFamily.js';
import type { MarkRule__Output } from '../generated/fulcrum/v1/MarkRule.js';
import type { MarkRules__Output } from '../generated/fulcrum/v1/MarkRules.js';
import type { PortRange__Output } from '../generated/fulcrum/v1/PortRange.js';
import { FulcrumError, joinPath } from '../grpc/errors.js';
import type { Family } from './address.js';
import type { MarkRule, PortRange } from './nouns.js';
import { type NamedPrefix, readPrefix } from './prefixes.js';
import { invalid, outOfRange } from './validate.js';

/** A packet may have to be held against all of them. */
const mostRules = 1_000;
const maxPort = 65_535;

/** The whole list, in order. */
export function readMarkRules(given: MarkRules__Output | null | undefined, path: string): readonly MarkRule[] {
  if (given === null || given === undefined) throw invalid(path, 'must be given');
  if (given.rules.length > mostRules) {
    const message = `${given.rules.length} rules are too many: each packet may be held against all of them (at most ${mostRules})`;
    throw new FulcrumError({ reason: 'REASON_NO_ROOM', field: joinPath(path, 'rules'), message });
  }
  return given.rules.map((rule, index) => readMarkRule(rule, joinPath(path, `rules[${index}]`)));
}

function readMarkRule(rule: MarkRule__Output, path: string): MarkRule {
  if (typeof rule.protocol === 'number') {
    throw invalid(joinPath(path, 'protocol'), `${rule.protocol} is not a known value`);
  }
  const source = rule.source === '' ? undefined : readPrefix(rule.source, joinPath(path, 'source'));
  const destination = rule.destination === '' ? undefined : readPrefix(rule.destination, joinPath(path, 'destination'));
  const sourcePorts = readPorts(rule.sourcePorts, rule, joinPath(path, 'source_ports'));
  const destinationPorts = readPorts(rule.destinationPorts, rule, joinPath(path, 'destination_ports'));
  return {
    family: readFamily(rule, [source, destination], path),
    protocol: rule.protocol,
    source: source?.text ?? '',
    destination: destination?.text ?? '',
    sourcePorts,
    destinationPorts,
    mark: rule.mark,
    local: rule.local,
  };
}

const familyNames: Readonly<Record<Family, AddressFamily__Output>> = {
  4: 'ADDRESS_FAMILY_IPV4',
  6: 'ADDRESS_FAMILY_IPV6',
};

function readFamily(
  { family }: MarkRule__Output,
  prefixes: readonly [source: NamedPrefix | undefined, destination: NamedPrefix | undefined],
  path: string,
): AddressFamily__Output {
  if (typeof family === 'number') throw invalid(joinPath(path, 'family'), `${family} is not a known value`);
  const [source, destination] = prefixes;
  if (source !== undefined && destination !== undefined && source.family !== destination.family) {
    throw invalid(joinPath(path, 'destination'), `${destination.text} is not of the source's address family`);
  }
  const told = source ?? destination;
  if (told === undefined) return family;
  if (family !== 'ADDRESS_FAMILY_UNSPECIFIED' && family !== familyNames[told.family]) {
    throw invalid(joinPath(path, 'family'), `is not that of ${told.text}`);
  }
  return familyNames[told.family];
}

/** Null for any port. */
function readPorts(range: PortRange__Output | null, rule: MarkRule__Output, path: string): PortRange | null {
  if (range === null || (range.first === 0 && range.last === 0)) return null;
  const last = range.last === 0 ? range.first : range.last;
  for (const [name, port] of [['first', range.first] as const, ['last', last] as const]) {
    if (port > maxPort) throw outOfRange(joinPath(path, name), `${port} is not a port (0 … ${maxPort})`);
  }
  if (last < range.first) throw outOfRange(joinPath(path, 'last'), `${last} is before the first port, ${range.first}`);
  if (rule.protocol === 'PROTOCOL_UNSPECIFIED') {
    throw invalid(path, 'needs a protocol that has ports: TCP, UDP or SCTP');
  }
  return { first: range.first, last };
}
