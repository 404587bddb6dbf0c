// SPDX-License-Identifier: Apache-2.0
// Whether the checksum of a frame's TCP or UDP packet is right. NAT updates checksums by what it changes (RFC 1624), so a
// wrong one stays wrong, and nobody but the receiver looks.

const etherTypes = { ipv4: 0x0800, ipv6: 0x86dd, vlan: 0x8100, serviceVlan: 0x88a8 } as const;
const protocols: Readonly<Record<number, { readonly name: 'TCP' | 'UDP'; readonly checksumAt: number }>> = {
  6: { name: 'TCP', checksumAt: 16 },
  17: { name: 'UDP', checksumAt: 6 },
};

interface Transport {
  readonly protocol: number;
  /** Source and destination, as they stand in the header. */
  readonly addresses: DataView;
  readonly segment: DataView;
}

/** The protocol whose checksum is wrong; undefined: it is right, or cannot be looked at (a fragment, an extension header). */
export function wrongChecksum(frame: Uint8Array): 'TCP' | 'UDP' | undefined {
  const transport = transportOf(new DataView(frame.buffer, frame.byteOffset, frame.byteLength));
  if (transport === undefined) return undefined;
  const { protocol, addresses, segment } = transport;
  const known = protocols[protocol];
  if (known === undefined || segment.byteLength < known.checksumAt + 2) return undefined;
  // RFC 768: 0 means that the sender made none. IPv6 does not allow it (RFC 8200 section 8.1).
  const isWithout = known.name === 'UDP' && segment.getUint16(known.checksumAt) === 0;
  if (isWithout && addresses.byteLength === 8) return undefined;
  // RFC 9293 section 3.1: over a pseudo-header of addresses, protocol and length, too.
  const sum = folded(sumOf(addresses) + protocol + segment.byteLength + sumOf(segment));
  return sum === 0xffff ? undefined : known.name;
}

function transportOf(frame: DataView): Transport | undefined {
  let at = 12;
  while (at + 2 <= frame.byteLength && isTag(frame.getUint16(at))) at += 4;
  if (at + 2 > frame.byteLength) return undefined;
  const packet = part(frame, at + 2, frame.byteLength - at - 2);
  if (packet === undefined) return undefined;
  switch (frame.getUint16(at)) {
    case etherTypes.ipv4:
      return ofIpv4(packet);
    case etherTypes.ipv6:
      return ofIpv6(packet);
    default:
      return undefined;
  }
}

const isTag = (type: number): boolean => type === etherTypes.vlan || type === etherTypes.serviceVlan;

function ofIpv4(packet: DataView): Transport | undefined {
  if (packet.byteLength < 20) return undefined;
  const headerLength = (packet.getUint8(0) & 0xf) * 4;
  const isFragment = (packet.getUint16(6) & 0x3fff) !== 0;
  const segment = part(packet, headerLength, packet.getUint16(2) - headerLength);
  const addresses = part(packet, 12, 8);
  if (isFragment || segment === undefined || addresses === undefined) return undefined;
  return { protocol: packet.getUint8(9), addresses, segment };
}

function ofIpv6(packet: DataView): Transport | undefined {
  if (packet.byteLength < 40) return undefined;
  const segment = part(packet, 40, packet.getUint16(4));
  const addresses = part(packet, 8, 32);
  if (segment === undefined || addresses === undefined) return undefined;
  return { protocol: packet.getUint8(6), addresses, segment };
}

function part(view: DataView, offset: number, length: number): DataView | undefined {
  if (length < 0 || offset + length > view.byteLength) return undefined;
  return new DataView(view.buffer, view.byteOffset + offset, length);
}

/** RFC 1071. */
function sumOf(view: DataView): number {
  let sum = 0;
  for (let at = 0; at + 1 < view.byteLength; at += 2) sum += view.getUint16(at);
  return view.byteLength % 2 === 0 ? sum : sum + view.getUint8(view.byteLength - 1) * 256;
}

function folded(sum: number): number {
  let value = sum;
  while (value > 0xffff) value = (value & 0xffff) + Math.floor(value / 0x10000);
  return value;
}
