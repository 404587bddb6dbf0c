// SPDX-License-Identifier: Apache-2.0

import test from 'ava';
import { ConfigurationError } from '../../../src/config/document.js';
import { type Machine, parseCpuList } from '../../../src/config/machine.js';
import { parseConfig } from '../../../src/config/parse.js';

const machine: Machine = {
  cpus: [0, 1, 2],
  kernelInterfaces: ['lo', 'wan0', 'lan0'],
  pciDevices: ['0000:01:00.0', '0000:02:00.0'],
};

const parse = (text: string) => parseConfig(text, 'f.yaml', machine);

/** Every line that the text is refused with. */
function complaints(text: string): readonly string[] {
  try {
    parse(text);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return error.message.split('\n');
  }
}

const lan = 'ports: {lan: {device: "0000:01:00.0", interfaces: [{addresses: [10.0.0.1/24]}]}}\n';

test('a whole file becomes what the dataplane starts with', (t) => {
  const { start, services } = parse(`
cpus: { housekeeping: [0], workers: [1, 2] }
memory: { hugepages: off, megabytes: 512, connections: 50000, packet_buffers: 8192 }
idle: poll
forwarding: false
ports:
  wan:
    device: "net_af_packet0,iface=wan0"
    interfaces:
      - { addresses: [203.0.113.1/24] }
      - { vlan: 100, mtu: 1400, addresses: [10.1.0.1/24] }
  lan: { device: "01:00.0", mtu: 9000, mac: "02:00:00:00:00:01", faces: servers, rx_queues: 2, interfaces: [ { name: inside, addresses: [10.0.0.1/24] } ] }
routes:
  - { to: default, via: 203.0.113.254 }
  - { to: 192.168.0.0/16, interface: inside }
neighbors: [ { address: 10.0.0.9, interface: inside, mac: "02:00:00:00:00:09" } ]
`);
  t.is(services, undefined);
  t.deepEqual(start, {
    housekeepingCpus: [0],
    workerCpus: [1, 2],
    hugepages: 'HUGEPAGES_OFF',
    memoryMb: 512,
    connections: '50000',
    packetBuffers: 8192,
    idle: 'IDLE_POLICY_POLL',
    forwarding: false,
    ports: [
      port('wan', 'net_af_packet0,iface=wan0', {}),
      port('lan', '01:00.0', { mtu: 9000, mac: '02:00:00:00:00:01', faces: 'FACES_SERVERS', rxQueues: 2 }),
    ],
    interfaces: [
      { name: 'wan', port: 'wan', vlan: 0, mtu: 0, addresses: [{ prefix: '203.0.113.1/24' }] },
      { name: 'wan.100', port: 'wan', vlan: 100, mtu: 1400, addresses: [{ prefix: '10.1.0.1/24' }] },
      { name: 'inside', port: 'lan', vlan: 0, mtu: 0, addresses: [{ prefix: '10.0.0.1/24' }] },
    ],
    routes: [
      { prefix: '0.0.0.0/0', via: '203.0.113.254', interface: '' },
      { prefix: '192.168.0.0/16', via: '', interface: 'inside' },
    ],
    neighbors: [{ address: '10.0.0.9', interface: 'inside', mac: '02:00:00:00:00:09' }],
  });
});

function port(name: string, device: string, rest: object): object {
  const unset = {
    ...{ mtu: 0, rxQueues: 0, txQueues: 0, rxDescriptors: 0, txDescriptors: 0, mac: '' },
    faces: 'FACES_UNSPECIFIED',
  };
  return { name, device, ...unset, ...rest };
}

test('what is left out: first CPU for housekeeping, second for the worker, sleep, routing', (t) => {
  const { start } = parse('ports: {lan: {device: "net_null0"}}');
  t.deepEqual(start.housekeepingCpus, [0]);
  t.deepEqual(start.workerCpus, [1]);
  t.is(start.idle, 'IDLE_POLICY_SLEEP');
  t.is(start.hugepages, 'HUGEPAGES_AUTO');
  t.true(start.forwarding);
  t.deepEqual(start.interfaces, [{ name: 'lan', port: 'lan', vlan: 0, mtu: 0, addresses: [] }]);
});

test('one CPU carries both', (t) => {
  const { start } = parseConfig('ports: {lan: {device: net_null0}}', 'f', { ...machine, cpus: [3] });
  t.deepEqual([start.housekeepingCpus, start.workerCpus], [[3], [3]]);
});

test('the services part comes along, and its problems with the others', (t) => {
  const { services } = parse(`${lan}services: [{address: "tcp:203.0.113.10:80", scheduler: rr}]\n`);
  t.is(services?.services?.[0]?.spec?.scheduler, 'rr');
  t.deepEqual(
    complaints(`${lan}services: [{address: "tcp:203.0.113.10:70000"}]\nroutes: [{to: default, via: 1.2.3.4}]\n`),
    [
      'f.yaml:2:22: services[0].address: "70000" is not a port: a number from 0 to 65535 is needed',
      "f.yaml:3:29: routes[0].via: 1.2.3.4 is on no interface's link",
    ],
  );
});

test('tunables or mark rules alone make a services part', (t) => {
  t.deepEqual(parse(`${lan}tunables: {sloppy_tcp: 1}\n`).services?.tunables, { sloppyTcp: 1 });
  t.is(parse(`${lan}mark_rules: [{mark: 7}]\n`).services?.markRules?.rules?.length, 1);
});

interface Refusal {
  readonly title: string;
  readonly text: string;
  readonly lines: readonly string[];
}

const refusals: readonly Refusal[] = [
  {
    title: 'not YAML',
    text: 'ports: {\n',
    lines: ['f.yaml:2:1: Flow map in block collection must be sufficiently indented and end with a }'],
  },
  { title: 'an empty file', text: '', lines: ['f.yaml:1:1: must be a mapping, not nothing'] },
  {
    title: 'a typing error in a key',
    text: `${lan}rutes: []\n`,
    lines: ['f.yaml:2:1: rutes: unknown key "rutes"; did you mean "routes"?'],
  },
  {
    title: 'a typing error in a nested key',
    text: 'ports:\n  lan:\n    devise: net_null0\n',
    lines: [
      'f.yaml:3:5: ports.lan: "device" is missing',
      'f.yaml:3:5: ports.lan.devise: unknown key "devise"; did you mean "device"?',
    ],
  },
  {
    title: 'a value outside its words',
    text: `${lan}idle: slep\n`,
    lines: ['f.yaml:2:7: idle: "slep" is not one of sleep, poll; did you mean "sleep"?'],
  },
  {
    title: 'a port name that the kernel would not take',
    text: 'ports: {"a b": {device: net_null0}}\n',
    lines: [
      'f.yaml:1:9: ports.a b: "a b" is not what is needed: a name of at most 15 letters, digits, "_", "-" and ".", not beginning with "-" or "."',
    ],
  },
  {
    title: 'a port defined twice',
    text: 'ports:\n  lan: {device: net_null0}\n  lan: {device: net_null1}\n',
    lines: ['f.yaml:3:3: Map keys must be unique'],
  },
  {
    title: 'a CPU that does not exist',
    text: `cpus: {workers: [1, 7]}\n${lan}`,
    lines: ['f.yaml:1:21: cpus.workers[1]: this machine has no CPU 7; it has 0, 1, 2'],
  },
  {
    title: 'a kernel interface that does not exist',
    text: 'ports: {wan: {device: "net_af_packet0,iface=wan9"}}\n',
    lines: [
      'f.yaml:1:23: ports.wan.device: there is no kernel interface "wan9" in this network namespace; did you mean "wan0"?',
    ],
  },
  {
    title: 'a PCI device that does not exist',
    text: 'ports: {wan: {device: "0000:09:00.0"}}\n',
    lines: ['f.yaml:1:23: ports.wan.device: there is no PCI device 0000:09:00.0; did you mean "0000:01:00.0"?'],
  },
  {
    title: 'a device used twice, also when it is written differently',
    text: 'ports: {a: {device: "0000:01:00.0"}, b: {device: "01:00.0"}}\n',
    lines: ['f.yaml:1:50: ports.b.device: device 0000:01:00.0 is used by port a already'],
  },
  {
    title: 'a check of a VIP without a kernel port of its family',
    text: `ports: {a: {device: net_null0, interfaces: [{addresses: ["2001:db8::1/64"]}]}, b: {device: net_null1, kernel: {name: fk1}, interfaces: [{addresses: [10.0.0.1/24]}]}}
services: [{address: "tcp:[2001:db8::80]:80", health: {checks: [{type: tcp, via: vip}]}}]
`,
    lines: [
      'f.yaml:2:82: services[0].health.checks[0].via: no kernel port has an IPv6 address: the port of an interface that has one needs "kernel"',
    ],
  },
  {
    title: 'a kernel interface used twice',
    text: 'ports: {a: {device: "net_af_packet0,iface=wan0"}, b: {device: "net_af_packet1,iface=wan0"}}\n',
    lines: ['f.yaml:1:63: ports.b.device: kernel interface wan0 is used by port a already'],
  },
  {
    title: 'an interface name used twice',
    text: 'ports: {a: {device: net_null0}, b: {device: net_null1, interfaces: [{name: a}]}}\n',
    lines: ['f.yaml:1:76: ports.b.interfaces[0].name: interface "a" is defined twice'],
  },
  {
    title: 'a VLAN used twice on a port',
    text: 'ports: {a: {device: net_null0, interfaces: [{vlan: 5}, {vlan: 5, name: x}]}}\n',
    lines: ['f.yaml:1:63: ports.a.interfaces[1].vlan: port a has VLAN 5 already'],
  },
  {
    title: 'a VLAN id outside its range',
    text: 'ports: {a: {device: net_null0, interfaces: [{vlan: 4095}]}}\n',
    lines: ['f.yaml:1:52: ports.a.interfaces[0].vlan: 4095 is out of range: 1 … 4094'],
  },
  {
    title: "an interface's MTU above the port's",
    text: 'ports: {a: {device: net_null0, interfaces: [{mtu: 9000}]}}\n',
    lines: ["f.yaml:1:51: ports.a.interfaces[0].mtu: 9000 is more than the port's MTU of 1500"],
  },
  {
    title: 'an address without prefix length',
    text: 'ports: {a: {device: net_null0, interfaces: [{addresses: [10.0.0.1]}]}}\n',
    lines: [
      'f.yaml:1:58: ports.a.interfaces[0].addresses[0]: "10.0.0.1" is not an address with prefix length (its length is missing: "10.0.0.1/24"?)',
    ],
  },
  {
    title: 'addresses that no host can have',
    text: 'ports: {a: {device: net_null0, interfaces: [{addresses: [0.0.0.0/24, 10.0.0.0/24, 10.0.0.255/24, 224.0.0.1/4]}]}}\n',
    lines: [
      'f.yaml:1:58: ports.a.interfaces[0].addresses[0]: 0.0.0.0/24 is not an address that a host can have',
      "f.yaml:1:70: ports.a.interfaces[0].addresses[1]: 10.0.0.0/24 is the network's own or its broadcast address",
      "f.yaml:1:83: ports.a.interfaces[0].addresses[2]: 10.0.0.255/24 is the network's own or its broadcast address",
      'f.yaml:1:98: ports.a.interfaces[0].addresses[3]: 224.0.0.1/4 is not an address that a host can have',
    ],
  },
  {
    title: 'an address used twice',
    text: 'ports: {a: {device: net_null0, interfaces: [{addresses: [10.0.0.1/24]}, {vlan: 2, addresses: [10.0.0.1/8]}]}}\n',
    lines: ['f.yaml:1:95: ports.a.interfaces[1].addresses[0]: 10.0.0.1 is an address of interface a already'],
  },
  {
    title: "a gateway on nobody's link",
    text: `${lan}routes: [{to: default, via: 10.0.1.1}]\n`,
    lines: ["f.yaml:2:29: routes[0].via: 10.0.1.1 is on no interface's link"],
  },
  {
    title: 'a gateway that is the director itself',
    text: `${lan}routes: [{to: default, via: 10.0.0.1}]\n`,
    lines: ["f.yaml:2:29: routes[0].via: 10.0.0.1 is the director's own address on interface lan"],
  },
  {
    title: 'a route to nowhere',
    text: `${lan}routes: [{to: 10.9.0.0/16}, {to: 10.9.0.1/16, interface: lam}]\n`,
    lines: [
      'f.yaml:2:10: routes[0]: needs "via", "interface" or both',
      'f.yaml:2:34: routes[1].to: 10.9.0.1/16 has bits set behind its prefix length',
      'f.yaml:2:58: routes[1].interface: there is no interface "lam"; did you mean "lan"?',
    ],
  },
  {
    title: 'a route given twice',
    text: `${lan}routes: [{to: default, via: 10.0.0.2}, {to: 0.0.0.0/0, via: 10.0.0.3}]\n`,
    lines: ['f.yaml:2:45: routes[1].to: there is a route to 0.0.0.0/0 already'],
  },
  {
    title: 'neighbours that cannot be',
    text: `${lan}neighbors: [{address: 10.0.0.x, interface: lan, mac: "01:00:5e:00:00:01"}, {address: 10.0.0.9, interface: wan, mac: "02:0"}]\n`,
    lines: ['f.yaml:2:117: neighbors[1].mac: "02:0" is not what is needed: a MAC address, "02:00:00:00:00:01"'],
  },
  {
    title: 'neighbours that cannot be, where the schema is content',
    text: `${lan}neighbors: [{address: 10.0.0.x, interface: wan, mac: "01:00:5e:00:00:01"}]\n`,
    lines: [
      'f.yaml:2:23: neighbors[0].address: "10.0.0.x" is not an address that a host can have',
      'f.yaml:2:44: neighbors[0].interface: there is no interface "wan"; did you mean "lan"?',
      'f.yaml:2:54: neighbors[0].mac: 01:00:5e:00:00:01 is not the MAC address of one host',
    ],
  },
];

for (const { title, text, lines } of refusals) {
  test(`refused: ${title}`, (t) => {
    t.deepEqual(complaints(text), lines);
  });
}

test('IPv6 addresses and routes are held to the same rules', (t) => {
  const ports = 'ports: {a: {device: net_null0, interfaces: [{addresses: ["2001:db8::1/64"]}]}}\n';
  const { start } = parse(`${ports}routes: [{to: default, via: "2001:db8::ff"}]\n`);
  t.deepEqual(start.routes, [{ prefix: '::/0', via: '2001:db8::ff', interface: '' }]);
  t.deepEqual(
    complaints(`${ports}routes: [{to: "::/0", via: "2001:db8:1::1"}, {to: "2001:db8:1::/48", via: 10.0.0.1}]\n`),
    [
      "f.yaml:2:28: routes[0].via: 2001:db8:1::1 is on no interface's link",
      "f.yaml:2:75: routes[1].via: 10.0.0.1 is not of the destination's address family",
      "f.yaml:2:75: routes[1].via: 10.0.0.1 is on no interface's link",
    ],
  );
});

test('IPv6 neighbours, two families on an interface, and a default route of each', (t) => {
  const ports =
    'ports: {a: {device: net_null0, interfaces: [{addresses: [10.0.0.1/24, "2001:db8::1/64", "fe80::1/64"]}]}}\n';
  const { start } = parse(
    `${ports}routes: [{to: default, via: 10.0.0.254}, {to: default, via: "2001:db8::ff"}, {to: "2001:db8:1::/48", interface: a}]\n` +
      'neighbors: [{address: "2001:db8::2", interface: a, mac: "02:00:00:00:00:02"}]\n',
  );
  t.deepEqual(
    start.interfaces?.[0]?.addresses?.map(({ prefix }) => prefix),
    ['10.0.0.1/24', '2001:db8::1/64', 'fe80::1/64'],
  );
  t.deepEqual(
    start.routes?.map(({ prefix }) => prefix),
    ['0.0.0.0/0', '::/0', '2001:db8:1::/48'],
  );
  t.is(start.neighbors?.[0]?.address, '2001:db8::2');
  t.deepEqual(
    complaints(
      `${ports}neighbors: [{address: "ff02::1", interface: a, mac: "02:00:00:00:00:02"}, {address: "2001:0db8::2", interface: a, mac: "02:00:00:00:00:02"}, {address: "2001:db8::2", interface: a, mac: "02:00:00:00:00:02"}]\n`,
    ),
    [
      'f.yaml:2:23: neighbors[0].address: "ff02::1" is not an address that a host can have',
      'f.yaml:2:152: neighbors[2].address: 2001:db8::2 on a is defined twice',
    ],
  );
});

test('a kernel port: its name, and the limits that are given', (t) => {
  const { start } = parse(
    'ports: {wan: {device: net_null0, kernel: {name: fk0, driver: tap, limits: {connect: 0, rest: 500}}}, lan: {device: net_null1}}\n',
  );
  t.deepEqual(start.ports?.[0]?.kernel, {
    name: 'fk0',
    driver: 'KERNEL_DRIVER_TAP',
    limits: { connect: 0, rest: 500 },
  });
  t.false('kernel' in (start.ports?.[1] ?? {}));
  const { start: plain } = parse('ports: {wan: {device: net_null0, kernel: {name: fk0}}}\n');
  t.deepEqual(plain.ports?.[0]?.kernel, { name: 'fk0', driver: 'KERNEL_DRIVER_TAP', limits: {} });
});

test('a kernel port that cannot be is refused at its place', (t) => {
  const port = (kernel: string, rest = '') => `ports: {wan: {device: net_null0, kernel: {${kernel}}${rest}}}\n`;
  t.deepEqual(complaints(port('limits: {}')), ['f.yaml:1:42: ports.wan.kernel: "name" is missing']);
  t.regex(complaints(port('name: fk0, driver: virtio-user')).join(), /ports\.wan\.kernel\.driver: .*"?tap"?/);
  t.regex(complaints(port('name: fk0, limits: {bgp: 1}')).join(), /ports\.wan\.kernel\.limits\.bgp: /);
  t.regex(complaints(port('name: fk0, limits: {icmp: -1}')).join(), /ports\.wan\.kernel\.limits\.icmp: /);
  t.deepEqual(complaints(port('name: kernel-of-wan', ', interfaces: [{vlan: 4001}]')), [
    'f.yaml:1:49: ports.wan.kernel.name: "kernel-of-wan.4001", for interface wan.4001, is longer than 15 characters',
  ]);
  t.deepEqual(
    complaints(
      'ports:\n  wan: {device: "net_af_packet0,iface=wan0", kernel: {name: wan0}}\n  lan: {device: net_null0, kernel: {name: lo}}\n  dmz: {device: net_null1, kernel: {name: fk0.7}}\n  two: {device: net_null2, kernel: {name: fk0}, interfaces: [{vlan: 7}]}\n',
    ),
    [
      'f.yaml:2:61: ports.wan.kernel.name: "wan0" is the device of port wan already',
      'f.yaml:3:43: ports.lan.kernel.name: "lo" is the loopback interface already',
      'f.yaml:5:43: ports.two.kernel.name: "fk0.7" is the kernel port of interface dmz already',
    ],
  );
});

test('CPU lists as the kernel writes them', (t) => {
  t.deepEqual(parseCpuList('0-2,5\n'), [0, 1, 2, 5]);
  t.deepEqual(parseCpuList('0\n'), [0]);
});
