// SPDX-License-Identifier: Apache-2.0
// Differences between the kernel and Fulcrum that are no mistakes, each with its reason. Everything else fails the test.
import { addressText, parseEndpoint } from '../bytes.js';
import type { Difference } from '../compare.js';
import { type ConnectionsEvent, clientOf } from '../events.js';
import type { Json, Scenario, ScenarioEvent } from '../scenario.js';

export interface Explanation {
  readonly reason: string;
  /** The two go separate ways from here on: what follows in the scenario says nothing. */
  readonly parts?: true;
  readonly applies: (scenario: Scenario, difference: Difference, workers: number) => boolean;
}

type Tunnel = NonNullable<ReturnType<typeof tunnelOfError>>;

/** What Fulcrum wants to see of a transport header, in bytes, by protocol: SCTP's with the header of its first chunk. */
const headerBytes: Readonly<Record<number, number>> = { 6: 20, 17: 8, 132: 16 };

function isCutShort(event: ScenarioEvent): boolean {
  if (event.op !== 'raw') return false;
  const packet = Buffer.from(event.hex as string, 'hex');
  if (packet.length < 20) return false;
  const isV6 = (packet[0] ?? 0) >> 4 === 6;
  if (isV6 && packet.length < 40) return false;
  const header = isV6 ? 40 : 4 * ((packet[0] ?? 0) & 15);
  const total = isV6 ? 40 + packet.readUInt16BE(4) : packet.readUInt16BE(2);
  const wanted = headerBytes[packet[isV6 ? 6 : 9] ?? 0];
  return wanted !== undefined && Math.min(total, packet.length) - header < wanted;
}

function isServersErrorV6({ op, from, src }: ScenarioEvent): boolean {
  return op === 'icmp' && from === 'rs' && String(src).includes(':');
}

/** From a client, or a router on its side, to a service. */
function isDamagedErrorV6({ op, from, src, bad_csum: damaged }: ScenarioEvent): boolean {
  return op === 'icmp' && from !== 'rs' && damaged === true && String(src).includes(':');
}

/** What an event of that kind, or the statistics after one, may show. */
function concerns(
  { events }: Scenario,
  { event }: Difference,
  isMeant: (event: ScenarioEvent, index: number) => boolean,
): boolean {
  if (event === undefined) return false;
  const first = events[event]?.op === 'stats' ? 0 : event;
  return events.slice(first, event + 1).some((one, at) => isMeant(one, first + at));
}

/** An error about a tunnel packet of the director: the tunnel's other end, and what the packet within says of its client. */
function tunnelOfError({ op, from, inner_hex: inner }: ScenarioEvent) {
  if (op !== 'icmp' || from !== 'rs' || typeof inner !== 'string') return undefined;
  const packet = Buffer.from(inner, 'hex');
  const isV6 = (packet[0] ?? 0) >> 4 === 6;
  const protocol = packet[isV6 ? 6 : 9] ?? 0;
  if (![4, 17, 41, 47].includes(protocol)) return undefined;
  const address = addressText(isV6 ? packet.subarray(24, 40) : packet.subarray(16, 20));
  const within = packet.subarray(isV6 ? 40 : 20);
  const other = isV6 ? { protocol: 4, type: 0x0800 } : { protocol: 41, type: 0x86dd };
  // GUE says what is in it in its second byte, GRE in its second word.
  const isOtherFamily =
    protocol === other.protocol ||
    (protocol === 17 && within[9] === other.protocol) ||
    (protocol === 47 && within.length >= 4 && within.readUInt16BE(2) === other.type);
  return { address, within, isOtherFamily };
}

/** An endpoint as it lies in a packet: address, and port somewhere behind it; a client's, in whatever tunnel. */
function quotes(within: Buffer, client: string): boolean {
  const { address, port } = parseEndpoint(client);
  const width = address.includes(':') ? 16 : 4;
  const starts = Array.from(within.subarray(0, -width), (_, at) => at);
  const found = starts.find((at) => addressText(within.subarray(at, at + width)) === address);
  // Behind source and destination, in front of the destination's port.
  return found !== undefined && within.subarray(found + 2 * width).includes(Buffer.from([port >> 8, port & 255]));
}

/** Whether the client whose packet is quoted was sent to a server before that event. */
function hasServed({ events, golden }: Scenario, { address, within }: Tunnel, event: number): boolean {
  const goesThere = (item: unknown): boolean => item === address || (item as { to?: string } | null)?.to === address;
  return golden.slice(0, event).some(({ chosen, out }, index) => {
    const one = events[index] as ScenarioEvent;
    const list = (Array.isArray(chosen) ? chosen : Array.isArray(out) ? out : []) as readonly unknown[];
    const client = (at: number): string =>
      one.op === 'conns' ? clientOf(one as unknown as ConnectionsEvent, at) : String(one.src);
    return ['conns', 'pkt'].includes(one.op) && list.some((item, at) => goesThere(item) && quotes(within, client(at)));
  });
}

/** The client is told an MTU, and that is all that differs. */
function isOtherMtu({ expected, got }: Difference): boolean {
  const [one, other] = [expected, got].map((side) => {
    const item = Object.values(side as Json)[0] as { via?: string; sum?: string } | undefined;
    return item?.via === 'client' && / (3\/4|2\/0) mtu=\d+ /.test(item.sum ?? '')
      ? item.sum?.replace(/mtu=\d+/, '')
      : undefined;
  });
  return one !== undefined && one === other;
}

/** LVS never finds an entry of a client with port 0. */
function isOfPortZero(side: unknown): boolean {
  const entry = Object.values(side as Json)[0] as { c?: string } | undefined;
  return entry?.c?.endsWith(':0') === true;
}

const commandsUpTo = ({ config, events }: Scenario, event: number): readonly string[] => [
  ...config,
  ...events.slice(0, event).flatMap(({ op, args }) => (op === 'ipvsadm' ? [String(args)] : [])),
];

/** Whether the counts of connections decide which server is chosen. */
function goesByCounts(scenario: Scenario, event: number): boolean {
  return commandsUpTo(scenario, event).some((command) => / -x \d| -s (lc|wlc|lblcr?|sed|nq|ovf|twos)\b/.test(command));
}

/** Connections of a client that has had some with the same ports. */
function isReplacing({ events }: Scenario, event: number): boolean {
  const { client, vary } = events[event] as ScenarioEvent;
  return vary === 'none' || events.slice(0, event).some((one) => [one.client, one.src].includes(client));
}

/** The first piece holds less than a TCP header. */
function isTinyPieceV6({ op, proto = 'tcp', src, frag_size: size }: ScenarioEvent): boolean {
  return op === 'pkt' && proto === 'tcp' && String(src).includes(':') && typeof size === 'number' && size < 20;
}

/** A piece of a tunnel packet over the other family, around a datagram that came in pieces itself. */
function isPieceOverOtherFamily({ events }: Scenario, { event, expected, got }: Difference): boolean {
  const { op, src, frag_size: size } = events[event ?? -1] ?? { op: '' };
  if (op !== 'pkt' || size === undefined) return false;
  return [expected, got].every((side) => {
    const [name, item] = Object.entries(side as Json)[0] as [
      string,
      { via?: string; to?: string; sum?: string } | null,
    ];
    if (item === null || !name.startsWith('out[')) return false;
    const isTunnel = /^(ipip|gue|gre)/.test(item.via ?? '') && / frag=/.test(item.sum ?? '');
    return isTunnel && String(item.to).includes(':') !== String(src).includes(':');
  });
}

const explanations: readonly Explanation[] = [
  {
    reason:
      'Linux quotes the MTU of the route that it has cached in the first error about a tunnel; Fulcrum the one that it was told',
    applies: ({ events }, difference) =>
      difference.event !== undefined &&
      tunnelOfError(events[difference.event] as ScenarioEvent) !== undefined &&
      isOtherMtu(difference),
  },
  {
    reason:
      'Linux passes on an error about a tunnel to any of its servers, whatever connection it quotes; Fulcrum only if the connection uses that tunnel, for else it is forged',
    applies: (scenario, difference) =>
      concerns(scenario, difference, (event, index) => {
        const tunnel = tunnelOfError(event);
        return tunnel !== undefined && !hasServed(scenario, tunnel, index);
      }),
  },
  {
    reason:
      'Linux takes no notice of an error about a tunnel over the other family; Fulcrum learns the MTU, and tells the client',
    parts: true,
    applies: ({ events }, { event }) =>
      event !== undefined && tunnelOfError(events[event] as ScenarioEvent)?.isOtherFamily === true,
  },
  {
    reason:
      'TCP from port 0: Linux takes every segment for unknown, resets it, and its own RST closes the entry; Fulcrum resets without touching it',
    applies: ({ events }, { event, expected, got }) =>
      (isOfPortZero(expected) && isOfPortZero(got)) ||
      // The same in the counts of connections, and of the RSTs.
      (Object.keys(expected as Json).some((key) => /^(services|stats)\[/.test(key)) &&
        events.slice(0, event).some(({ client, src }) => String(client ?? src).endsWith(':0'))),
  },
  {
    reason:
      'the same, where the counts decide: connections that Linux has closed by its own RST count as inactive, those of Fulcrum as active',
    parts: true,
    applies: (scenario, { event, expected }) =>
      event !== undefined &&
      Object.keys(expected as Json).some((key) => key.startsWith('chosen[')) &&
      goesByCounts(scenario, event) &&
      scenario.events.slice(0, event + 1).some(({ client, src }) => String(client ?? src).endsWith(':0')),
  },
  {
    reason:
      'Linux verifies an ICMPv6 error from the side of a NAT server without its pseudo header, unless a NIC vouches for it, and so drops it; Fulcrum translates it',
    applies: (scenario, difference) => concerns(scenario, difference, isServersErrorV6),
  },
  {
    reason:
      'Linux sends a damaged ICMPv6 error on to a NAT server with a new checksum, which hides the damage; Fulcrum drops and counts it (malformed_transport)',
    applies: (scenario, difference) => concerns(scenario, difference, isDamagedErrorV6),
  },
  {
    reason:
      'Linux forwards a segment whose TCP or SCTP header is cut short if it has ports and a connection; Fulcrum drops and counts it (malformed_transport)',
    applies: ({ events }, { event }) => event !== undefined && events.slice(0, event + 1).some(isCutShort),
  },
  {
    reason:
      'Linux takes a connection that another replaces out of the counts at its next timer tick, up to 10 ms later, Fulcrum at once: what goes by the counts may choose another server',
    parts: true,
    applies: (scenario, { event, expected }) =>
      event !== undefined &&
      Object.keys(expected as Json).some((key) => key.startsWith('chosen[')) &&
      goesByCounts(scenario, event) &&
      isReplacing(scenario, event),
  },
  {
    reason:
      'Linux sends on a first IPv6 piece without its whole TCP header, alone, as the others wait for it in vain; Fulcrum drops and counts it (RFC 8200 section 4.5)',
    parts: true,
    applies: ({ events }, { event }) => event !== undefined && events.slice(0, event + 1).some(isTinyPieceV6),
  },
  {
    reason:
      'A tunnel over the other family: Linux cuts its packet as the buffers of the pieces lie that came, and takes the notes of one family about them for those of the other (a length for DF); Fulcrum cuts it to what the link carries',
    applies: isPieceOverOtherFamily,
  },
  {
    reason:
      'drop_packet with several workers: each drops the first and every n-th of the packets that would make a connection with it; Linux counts those of all CPUs together',
    parts: true,
    applies: ({ events }, { event, expected }, workers) =>
      workers > 1 &&
      event !== undefined &&
      Object.keys(expected as Json).some((key) => /^(chosen|out)\[/.test(key)) &&
      events.slice(0, event).some(({ op, key, value }) => op === 'sysctl' && key === 'drop_packet' && value !== 0),
  },
];

/** Why this difference is none; undefined if nobody knows. */
export function explanation(scenario: Scenario, difference: Difference, workers: number): Explanation | undefined {
  return explanations.find(({ applies }) => applies(scenario, difference, workers));
}
