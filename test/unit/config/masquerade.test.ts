// SPDX-License-Identifier: Apache-2.0

import test from 'ava';
import { ConfigurationError } from '../../../src/config/document.js';
import type { Machine } from '../../../src/config/machine.js';
import { parseConfig } from '../../../src/config/parse.js';

const machine: Machine = {
  cpus: [0, 1],
  kernelInterfaces: ['lo'],
  pciDevices: ['0000:01:00.0', '0000:02:00.0'],
  localPorts: { first: 32768, last: 60999 },
};

const file = (rules: string, rest = '') => `ports:
  wan: { device: "01:00.0", kernel: { name: fk0 }, interfaces: [{ addresses: [203.0.113.1/24, "2001:db8:1::1/64"] }] }
  lan: { device: "02:00.0", interfaces: [{ addresses: [10.0.0.1/24] }] }
${rest}masquerade: [${rules}]
`;

const started = (rules: string) => parseConfig(file(rules), 'f.yaml', machine).start.masquerade;

/** Every line that the rules are refused with. */
function complaints(rules: string, rest?: string): readonly string[] {
  try {
    parseConfig(file(rules, rest), 'f.yaml', machine);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return error.message.split('\n');
  }
}

test('rules become what the dataplane starts with; without any it is told nothing', (t) => {
  t.deepEqual(
    started(
      `{ source: 10.0.0.0/24, interface: wan },
  { source: 10.0.0.9, interface: wan, address: 10.0.0.1, ports: 61000-61999 },
  { source: "2001:db8:2::/64", interface: wan, address: "2001:db8:1::1", ports: 40000 }`.replace('40000', '4000'),
    ),
    [
      { source: '10.0.0.0/24', interface: 'wan', address: '', firstPort: 1024, lastPort: 32767 },
      { source: '10.0.0.9/32', interface: 'wan', address: '10.0.0.1', firstPort: 61000, lastPort: 61999 },
      { source: '2001:db8:2::/64', interface: 'wan', address: '2001:db8:1::1', firstPort: 4000, lastPort: 4000 },
    ],
  );
  t.false('masquerade' in parseConfig('ports: { lan: { device: "01:00.0" } }\n', 'f.yaml', machine).start);
});

test('what makes no sense is named with its place', (t) => {
  const refused = (rule: string) => complaints(rule).map((line) => line.replace(/^f\.yaml:\d+:\d+: /, ''));
  t.deepEqual(complaints('{ source: 10.0.0.0/24, interface: wam }'), [
    'f.yaml:4:48: masquerade[0].interface: there is no interface "wam"; did you mean "wan"?',
  ]);
  t.deepEqual(refused('{ source: 10.0.0.1/24, interface: wan }'), [
    'masquerade[0].source: 10.0.0.1/24 has bits set behind its prefix length',
  ]);
  t.deepEqual(refused('{ source: "2001:db8:2::/64", interface: lan }'), [
    'masquerade[0].address: interface lan has no IPv6 address',
  ]);
  t.deepEqual(refused('{ source: 10.0.0.0/24, interface: wan, address: 203.0.113.2 }'), [
    "masquerade[0].address: 203.0.113.2 is no interface's address",
  ]);
  t.deepEqual(refused('{ source: 10.0.0.0/24, interface: wan, address: "2001:db8:1::1" }'), [
    "masquerade[0].address: 2001:db8:1::1 is not of the source's address family",
  ]);
  t.deepEqual(refused('{ source: 10.0.0.0/24, interface: wan, ports: "0-99" }'), ['masquerade[0].ports: 0 is no port']);
  t.deepEqual(refused('{ source: 10.0.0.0/24, interface: wan, ports: 99-9 }'), [
    'masquerade[0].ports: 99-9 ends before it begins',
  ]);
  t.deepEqual(refused('{ source: x, interface: y, address: z, ports: w }').length, 4);
  t.deepEqual(
    complaints('{ source: 10.0.0.0/24, interface: wan }', 'forwarding: false\n').map((line) =>
      line.split(': ').slice(1),
    ),
    [['masquerade', 'nothing is routed, because "forwarding" is false']],
  );
});

test("the ports of the kernel's own sockets are the kernel's where it has the address", (t) => {
  const [line = ''] = complaints('{ source: 10.0.0.0/24, interface: wan, ports: 30000-40000 }');
  t.true(
    line.endsWith(
      "masquerade[0].ports: 30000-40000 are the kernel's, too, which has that address on fk0 (net.ipv4.ip_local_port_range is 32768 60999)",
    ),
    line,
  );
  t.deepEqual(complaints('{ source: 10.0.0.0/24, interface: wan, address: 10.0.0.1, ports: 30000-40000 }'), []);
});
