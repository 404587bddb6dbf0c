// SPDX-License-Identifier: Apache-2.0
// Differences between the kernel and Fulcrum that are no mistakes, each with its reason. Everything else fails the test.
import type { Difference } from '../compare.js';
import type { Scenario, ScenarioEvent } from '../scenario.js';

interface Explanation {
  readonly reason: string;
  readonly applies: (scenario: Scenario, difference: Difference) => boolean;
}

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

const explanations: readonly Explanation[] = [
  {
    reason:
      'Linux verifies an ICMPv6 error from the side of a NAT server without its pseudo header, unless a NIC vouches for it, and so drops it; Fulcrum translates it',
    applies: ({ events }, { event }) =>
      event !== undefined &&
      (events[event]?.op === 'stats'
        ? events.slice(0, event).some(isServersErrorV6)
        : events.slice(event, event + 1).some(isServersErrorV6)),
  },
  {
    reason:
      'Linux forwards a segment whose TCP or SCTP header is cut short if it has ports and a connection; Fulcrum drops and counts it (malformed_transport)',
    applies: ({ events }, { event }) => event !== undefined && events.slice(0, event + 1).some(isCutShort),
  },
];

/** Why this difference is none; undefined if nobody knows. */
export function explanation(scenario: Scenario, difference: Difference): string | undefined {
  return explanations.find(({ applies }) => applies(scenario, difference))?.reason;
}
