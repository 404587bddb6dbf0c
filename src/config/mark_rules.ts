// SPDX-License-Identifier: Apache-2.0
// Mark rules as operators write them, "{ mark: 7, protocol: tcp, destination: 203.0.113.0/24, destination_ports: 80 }":
// JSON Schema, the way to the API's messages and back. What is left out matches anything.
import type { AddressFamily__Output } from '../generated/fulcrum/v1/AddressFamily.js';
import type { MarkRule__Output } from '../generated/fulcrum/v1/MarkRule.js';
import type { PortRange__Output } from '../generated/fulcrum/v1/PortRange.js';
import type { Protocol__Output } from '../generated/fulcrum/v1/Protocol.js';
import { KeyError, largestMark, largestPort, parseDecimal } from './keys.js';
import { hostPart, type Prefix, parsePrefix, widthOf } from './prefix.js';

export interface MarkRuleEntry {
  readonly mark: number;
  readonly family?: string;
  readonly protocol?: string;
  readonly source?: string;
  readonly destination?: string;
  /** 80, "80" or "8000-8099". */
  readonly source_ports?: number | string;
  readonly destination_ports?: number | string;
  readonly local?: boolean;
}

export const families: Readonly<Record<string, AddressFamily__Output>> = {
  ipv4: 'ADDRESS_FAMILY_IPV4',
  ipv6: 'ADDRESS_FAMILY_IPV6',
};
export const markProtocols: Readonly<Record<string, Protocol__Output>> = {
  tcp: 'PROTOCOL_TCP',
  udp: 'PROTOCOL_UDP',
  sctp: 'PROTOCOL_SCTP',
};

const ports = (description: string) => ({ type: ['integer', 'string'], description });

export const markRuleSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['mark'],
  properties: {
    mark: { type: 'integer', minimum: 0, maximum: largestMark, description: 'what it gives; 0: none' },
    family: {
      enum: Object.keys(families),
      description: 'address family; left out: that of the prefixes; without any, both',
    },
    protocol: { enum: Object.keys(markProtocols), description: 'of the packets; left out: any' },
    source: { type: 'string', description: 'an address or a prefix, "198.51.100.0/24"' },
    destination: { type: 'string', description: 'an address or a prefix' },
    source_ports: ports('80, or "8000-8099"; needs a protocol'),
    destination_ports: ports('80, or "8000-8099"; needs a protocol'),
    local: {
      type: 'boolean',
      default: false,
      description: 'what matches counts as addressed to the director, whatever its destination',
    },
  },
};

/** Runs a reader that may throw KeyError; complaints go to the place in the entry. */
export type AttemptField = <T>(field: keyof MarkRuleEntry | undefined, read: () => T) => T | undefined;

export function toMarkRule(entry: MarkRuleEntry, attempt: AttemptField): MarkRule__Output {
  const source = attempt('source', () => prefixOf(entry.source));
  const destination = attempt('destination', () => prefixOf(entry.destination, source));
  attempt('family', () => checkFamily(entry, source ?? destination));
  return {
    family: families[entry.family ?? ''] ?? 'ADDRESS_FAMILY_UNSPECIFIED',
    protocol: markProtocols[entry.protocol ?? ''] ?? 'PROTOCOL_UNSPECIFIED',
    source: entry.source ?? '',
    destination: entry.destination ?? '',
    sourcePorts: attempt('source_ports', () => portsOf(entry.source_ports, entry)) ?? null,
    destinationPorts: attempt('destination_ports', () => portsOf(entry.destination_ports, entry)) ?? null,
    mark: entry.mark,
    local: entry.local ?? false,
  };
}

/** An address alone is a prefix of full length. */
export function parsePrefixOrAddress(text: string): Prefix | undefined {
  if (text.includes('/')) return parsePrefix(text);
  const width = widthOf(text.includes(':') ? 6 : 4);
  return parsePrefix(`${text}/${width}`);
}

/** A prefix without bits behind its length. */
export function readPrefixText(text: string): Prefix {
  const prefix = parsePrefixOrAddress(text);
  if (prefix === undefined) throw new KeyError(`"${text}" is not an address or a prefix such as "10.0.0.0/8"`);
  if (hostPart(prefix) !== 0n) throw new KeyError(`${text} has bits set behind its prefix length`);
  return prefix;
}

function prefixOf(text: string | undefined, other?: Prefix): Prefix | undefined {
  if (text === undefined) return undefined;
  const prefix = readPrefixText(text);
  if (other !== undefined && other.family !== prefix.family) {
    throw new KeyError(`${text} is not of the source's address family`);
  }
  return prefix;
}

function checkFamily({ family }: MarkRuleEntry, prefix: Prefix | undefined): void {
  if (family === undefined || prefix === undefined || family === `ipv${prefix.family}`) return;
  throw new KeyError(`the prefixes are of ipv${prefix.family}, not ${family}`);
}

function portsOf(given: number | string | undefined, { protocol }: MarkRuleEntry): PortRange__Output | undefined {
  if (given === undefined) return undefined;
  const range = parsePorts(String(given));
  if (protocol === undefined) throw new KeyError('ports need a protocol: tcp, udp or sctp');
  return range;
}

/** "80" or "8000-8099". */
export function parsePorts(text: string): PortRange__Output {
  const [, firstText = '', lastText = firstText] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  const first = parseDecimal(firstText, 0, largestPort);
  const last = parseDecimal(lastText, 1, largestPort);
  if (first === undefined || last === undefined) {
    throw new KeyError(`"${text}" is not a port or a range of ports such as "8000-8099"`);
  }
  if (last < first) throw new KeyError(`${text} ends before it begins`);
  return { first, last };
}

export function formatPorts(range: PortRange__Output | null): string {
  if (range === null) return '';
  return range.first === range.last ? String(range.first) : `${range.first}-${range.last}`;
}

/** What toMarkRule would read back to the same rule; what matches anything is left out. */
export function markRuleEntry(rule: MarkRule__Output): MarkRuleEntry {
  const family = Object.keys(families).find((name) => families[name] === rule.family);
  const protocol = Object.keys(markProtocols).find((name) => markProtocols[name] === rule.protocol);
  const hasPrefix = rule.source !== '' || rule.destination !== '';
  return {
    mark: rule.mark,
    ...(family !== undefined && !hasPrefix && { family }),
    ...(protocol !== undefined && { protocol }),
    ...(rule.source !== '' && { source: rule.source }),
    ...(rule.destination !== '' && { destination: rule.destination }),
    ...(rule.sourcePorts && { source_ports: portsEntry(rule.sourcePorts) }),
    ...(rule.destinationPorts && { destination_ports: portsEntry(rule.destinationPorts) }),
    ...(rule.local && { local: true }),
  };
}

function portsEntry(range: PortRange__Output): number | string {
  return range.first === range.last ? range.first : formatPorts(range);
}
