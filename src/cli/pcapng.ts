// SPDX-License-Identifier: Apache-2.0
// Frames with comments as a capture that Wireshark opens: pcapng, draft-ietf-opsawg-pcapng. Little endian, one section.
const blockTypes = { section: 0x0a0d0d0a, interface: 1, packet: 6 } as const;
const options = { end: 0, comment: 1, interfaceName: 2, flags: 2, resolution: 9 } as const;
const ethernet = 1;
/** Timestamps count 10^-9 s. */
const nanoseconds = 9;

export interface CapturedFrame {
  /** As it was given to interfaceBlock() calls, in order from 0. */
  readonly interface: number;
  /** Nanoseconds since 1970. */
  readonly at: bigint;
  readonly bytes: Uint8Array;
  readonly direction: 'in' | 'out';
  readonly comment: string;
}

export function sectionBlock(application: string): Buffer {
  const body = Buffer.alloc(16);
  body.writeUInt32LE(0x1a2b3c4d, 0);
  body.writeUInt16LE(1, 4);
  body.writeBigInt64LE(-1n, 8);
  const writtenBy = 4;
  return block(blockTypes.section, [body, option(writtenBy, Buffer.from(application)), end]);
}

export function interfaceBlock(name: string): Buffer {
  const body = Buffer.alloc(8);
  body.writeUInt16LE(ethernet, 0);
  return block(blockTypes.interface, [
    body,
    option(options.interfaceName, Buffer.from(name)),
    option(options.resolution, Buffer.from([nanoseconds])),
    end,
  ]);
}

export function packetBlock({ interface: by, at, bytes, direction, comment }: CapturedFrame): Buffer {
  const body = Buffer.alloc(20);
  body.writeUInt32LE(by, 0);
  body.writeUInt32LE(Number(at >> 32n), 4);
  body.writeUInt32LE(Number(at & 0xffffffffn), 8);
  body.writeUInt32LE(bytes.length, 12);
  body.writeUInt32LE(bytes.length, 16);
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE(direction === 'in' ? 1 : 2);
  const said = comment === '' ? [] : [option(options.comment, Buffer.from(comment))];
  return block(blockTypes.packet, [body, padded(bytes), ...said, option(options.flags, flags), end]);
}

const end = Buffer.alloc(4);

function option(code: number, value: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt16LE(code, 0);
  head.writeUInt16LE(value.length, 2);
  return Buffer.concat([head, padded(value)]);
}

/** To a multiple of four bytes. */
function padded(bytes: Uint8Array): Buffer {
  return Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)]);
}

function block(type: number, parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  const length = body.length + 12;
  const head = Buffer.alloc(8);
  head.writeUInt32LE(type, 0);
  head.writeUInt32LE(length, 4);
  const tail = Buffer.alloc(4);
  tail.writeUInt32LE(length);
  return Buffer.concat([head, body, tail]);
}
