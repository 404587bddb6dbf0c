// SPDX-License-Identifier: Apache-2.0
// A capture file of UDP flows, one frame of 60 bytes each, for a port that net_pcap plays without end.

import { writeFileSync } from 'node:fs';

export interface Flow {
  /** IPv4 addresses. */
  readonly from: string;
  readonly fromPort: number;
  readonly to: string;
  readonly toPort: number;
}

const frameBytes = 60;
/** The address that net_pcap gives its first port; the frames' destination. */
const portMac = Buffer.from([0x02, 0x70, 0x63, 0x61, 0x70, 0x00]);
const clientMac = Buffer.from([0x02, 0x00, 0x00, 0x00, 0x00, 0x01]);

export function writeFlows(path: string, flows: readonly Flow[]): void {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(65_535, 16);
  header.writeUInt32LE(1, 20); // Ethernet
  const record = Buffer.alloc(16);
  record.writeUInt32LE(frameBytes, 8);
  record.writeUInt32LE(frameBytes, 12);
  writeFileSync(path, Buffer.concat([header, ...flows.flatMap((flow) => [record, frameOf(flow)])]));
}

/** RFC 894, 791 and 768; without a UDP checksum. */
function frameOf({ from, fromPort, to, toPort }: Flow): Buffer {
  const frame = Buffer.alloc(frameBytes);
  portMac.copy(frame, 0);
  clientMac.copy(frame, 6);
  frame.writeUInt16BE(0x0800, 12);
  const ip = frame.subarray(14);
  ip[0] = 0x45;
  ip.writeUInt16BE(frameBytes - 14, 2);
  ip[8] = 64;
  ip[9] = 17;
  writeAddress(ip, from, 12);
  writeAddress(ip, to, 16);
  ip.writeUInt16BE(checksum(ip.subarray(0, 20)), 10);
  ip.writeUInt16BE(fromPort, 20);
  ip.writeUInt16BE(toPort, 22);
  ip.writeUInt16BE(frameBytes - 34, 24);
  return frame;
}

function writeAddress(to: Buffer, address: string, at: number): void {
  address.split('.').forEach((byte, index) => {
    to[at + index] = Number(byte);
  });
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}
