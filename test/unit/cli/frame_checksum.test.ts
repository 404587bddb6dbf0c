// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import { wrongChecksum } from '../../../src/cli/frame_checksum.js';

const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text.replaceAll(/\s/g, ''), 'hex'));

const ethernet4 = '020000000001 020000000002 0800';
// 192.0.2.1:1000 > 192.0.2.2:53, "abc": an odd number of bytes.
const udp4 = (checksum: string): string =>
  `4500001f0001400040110000 c0000201c0000202 03e8 0035 000b ${checksum} 616263`;
// 2001:db8::1 > 2001:db8::2, a SYN.
const tcp6 = (checksum: string): string =>
  `6000000000140640 20010db8000000000000000000000001 20010db8000000000000000000000002
   9c40 0050 00000001 00000000 5002 faf0 ${checksum} 0000`;

test('a checksum is right, wrong, left out, or cannot be looked at', (t) => {
  t.is(wrongChecksum(bytes(`${ethernet4} ${udp4('b354')}`)), undefined);
  t.is(wrongChecksum(bytes(`${ethernet4} ${udp4('b323')}`)), 'UDP');
  t.is(wrongChecksum(bytes(`${ethernet4} ${udp4('0000')}`)), undefined);
  // Padded to the least length of a frame.
  t.is(wrongChecksum(bytes(`${ethernet4} ${udp4('b354')} ${'00'.repeat(15)}`)), undefined);
  // Behind a VLAN tag.
  t.is(wrongChecksum(bytes(`020000000001 020000000002 8100 0007 0800 ${udp4('b323')}`)), 'UDP');
  const fragment = udp4('b323').replace('00014000', '00012000');
  t.is(wrongChecksum(bytes(`${ethernet4} ${fragment}`)), undefined);
  t.is(wrongChecksum(bytes(`${ethernet4} ${udp4('b323')}`).subarray(0, 40)), undefined);
  t.is(wrongChecksum(bytes('020000000001')), undefined);
  const ethernet6 = '020000000001 020000000002 86dd';
  t.is(wrongChecksum(bytes(`${ethernet6} ${tcp6('bceb')}`)), undefined);
  t.is(wrongChecksum(bytes(`${ethernet6} ${tcp6('0000')}`)), 'TCP');
});
