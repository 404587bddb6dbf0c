// SPDX-License-Identifier: Apache-2.0
// The match of an iptables rule as mark rules of the product. A match that they cannot say is an error that names the
// part.
import type { MarkRule } from '../../src/generated/fulcrum/v1/MarkRule.js';
import type { PortRange } from '../../src/generated/fulcrum/v1/PortRange.js';
import { NotAvailable } from './not_available.js';
import { splitWords } from './scenario.js';

interface Match {
  protocol: string;
  sources: readonly string[];
  destinations: readonly string[];
  sourcePorts: readonly (PortRange | null)[];
  destinationPorts: readonly (PortRange | null)[];
}

const protocols = {
  tcp: 'PROTOCOL_TCP',
  udp: 'PROTOCOL_UDP',
  sctp: 'PROTOCOL_SCTP',
  all: 'PROTOCOL_UNSPECIFIED',
} as const;

const readers: Readonly<Record<string, (match: Match, value: string) => void>> = {
  '-p': (match, value) => {
    match.protocol = value;
  },
  '-s': (match, value) => {
    match.sources = value.split(',').map(network);
  },
  '-d': (match, value) => {
    match.destinations = value.split(',').map(network);
  },
  '--sport': (match, value) => {
    match.sourcePorts = [ports(value)];
  },
  '--dport': (match, value) => {
    match.destinationPorts = [ports(value)];
  },
  '--sports': (match, value) => {
    match.sourcePorts = value.split(',').map(ports);
  },
  '--dports': (match, value) => {
    match.destinationPorts = value.split(',').map(ports);
  },
  '-m': (_match, value) => {
    if (!['tcp', 'udp', 'sctp', 'multiport'].includes(value)) throw new NotAvailable(`marks by iptables -m ${value}`);
  },
};

const aliases: Readonly<Record<string, string>> = {
  '--protocol': '-p',
  '--proto': '-p',
  '--source': '-s',
  '--src': '-s',
  '--destination': '-d',
  '--dst': '-d',
  '--source-port': '--sport',
  '--destination-port': '--dport',
  '--source-ports': '--sports',
  '--destination-ports': '--dports',
  '--match': '-m',
};

/** One rule for each combination of the match's alternatives. */
export function markRules(match: string, mark: number): readonly MarkRule[] {
  const { protocol, sources, destinations, sourcePorts, destinationPorts } = readMatch(match);
  if (!(protocol in protocols)) throw new NotAvailable(`marks by protocol ${protocol}`);
  return sources.flatMap((source) =>
    destinations.flatMap((destination) =>
      sourcePorts.flatMap((from) =>
        destinationPorts.map((to) => ({
          protocol: protocols[protocol as keyof typeof protocols],
          source,
          destination,
          sourcePorts: from,
          destinationPorts: to,
          mark,
        })),
      ),
    ),
  );
}

function readMatch(text: string): Match {
  const words = splitWords(text);
  const match: Match = {
    protocol: 'all',
    sources: [''],
    destinations: [''],
    sourcePorts: [null],
    destinationPorts: [null],
  };
  for (let at = 0; at < words.length; at += 2) {
    const word = words[at] ?? '';
    const read = readers[aliases[word] ?? word];
    const value = words[at + 1];
    if (read === undefined || value === undefined) throw new NotAvailable(`marks by iptables "${word}" (in ${text})`);
    read(match, value);
  }
  return match;
}

/** "80", "80:90", ":90", "80:". */
function ports(text: string): PortRange {
  const [, first = '', colon, last = ''] = /^(\d*)(:?)(\d*)$/.exec(text) ?? [];
  if (first === '' && last === '') throw new NotAvailable(`marks by iptables ports "${text}"`);
  const lower = Number(first || 0);
  return { first: lower, last: colon === ':' ? Number(last || 65_535) : lower };
}

/** iptables drops the bits behind the length; the product refuses them. */
export function network(text: string): string {
  const [address = '', length] = text.split('/');
  if (length === undefined || address.includes(':')) return text;
  const bits = Number(length);
  const mask = bits === 0 ? 0 : (0xffffffff << (32 - bits)) >>> 0;
  const value = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const kept = (value & mask) >>> 0;
  return `${[24, 16, 8, 0].map((shift) => (kept >>> shift) & 255).join('.')}/${bits}`;
}
