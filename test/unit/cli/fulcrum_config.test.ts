// SPDX-License-Identifier: Apache-2.0
// fulcrum config and the services part of a file: what it asks for, and where it is wrong.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ConfigurationError, readDocument } from '../../../src/config/document.js';
import { documentPath, type ServicesSection, servicesSchema, toConfiguration } from '../../../src/config/services.js';
import { keptTimeouts } from '../../../src/config/timeouts.js';
import { parseStartConfig } from '../../../src/dataplane/start_config.js';
import { FulcrumError } from '../../../src/grpc/errors.js';
import { loadDataplaneServices } from '../../../src/grpc/loader.js';
import { director, run } from './support/run_fulcrum.js';

const good = `services:
  - address: tcp:203.0.113.10:80
    scheduler: wrr
    servers:
      - { address: 10.0.0.11:8080, method: nat, weight: 2 }
      - { address: 10.0.0.12, method: nat, weight: 0 }
  - address: udp:[2001:db8::1]:53
    scheduler: sh
    scheduler_flags: [sh-port, flag-3]
    persistence_timeout: 60
    persistence_prefix: 64
    servers: []
vips:
  - { address: 203.0.113.10, announce: arp, state: standby }
timeouts:
  tcp: 900
  tcp_fin: 120
  udp: 300
  sctp_cookie_echoed: 5
`;

/** What the later parts of the product brought: every kind of service, tunnels, tunables, mark rules, ranges. */
const full = `services:
  - address: fwmark:7
    scheduler: lblc
    servers:
      - { address: 10.0.0.11, method: dr, weight: 1 }
  - address: fwmark:8:ipv6
    scheduler: rr
    servers: []
  - address: sctp:203.0.113.10:36412
    scheduler: lc
    servers:
      - { address: 10.0.0.11:9000, method: nat, weight: 1 }
  - address: tcp:[2001:db8::1]:80
    scheduler: mh
    servers:
      - { address: "[2001:db8:2::1]:80", method: tun, weight: 1 }
      - { address: 10.0.0.12:80, method: tun, weight: 1, tunnel_type: gue, tunnel_port: 6080, tunnel_checksum: remcsum }
      - { address: 10.0.0.13:80, method: tun, weight: 1, tunnel_type: gre, tunnel_checksum: csum }
vips:
  - { address: 203.0.113.0/24, announce: route, state: active }
  - { address: "2001:db8::/64", announce: none, state: active }
tunables:
  conn_reuse_mode: 0
  sloppy_tcp: 1
mark_rules:
  - { mark: 7, protocol: tcp, destination: 203.0.113.0/24, destination_ports: 80 }
  - { mark: 8, family: ipv6, protocol: udp, source_ports: 1024-65535, local: true }
  - { mark: 0, source: 2001:db8::/32 }
`;

const configuration = (text: string) =>
  toConfiguration(readDocument<ServicesSection>(text, 'file.yaml', servicesSchema));

function problems(text: string): readonly string[] {
  try {
    configuration(text);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.message.split('\n');
    throw error;
  }
  return [];
}

test('a file becomes a configuration', (t) => {
  const { services, vips, timeouts } = configuration(good);
  t.like(services?.[0]?.key, { protocol: 'PROTOCOL_TCP', address: '203.0.113.10', port: 80 });
  t.deepEqual(
    services?.[0]?.servers?.map(({ key, spec }) => [key?.address, key?.port, spec?.method, spec?.weight]),
    [
      ['10.0.0.11', 8080, 'FORWARDING_METHOD_NAT', 2],
      ['10.0.0.12', 80, 'FORWARDING_METHOD_NAT', 0],
    ],
  );
  t.like(services?.[1]?.spec, { scheduler: 'sh', schedulerFlags: 6, persistenceTimeoutS: 60, persistencePrefix: 64 });
  t.deepEqual(vips, [{ address: '203.0.113.10', announce: 'ANNOUNCE_ARP', state: 'VIP_STATE_STANDBY' }]);
  t.deepEqual(timeouts, { ...keptTimeouts, tcpS: 900, tcpFinS: 120, udpS: 300, sctpCookieEchoedS: 5 });
});

test('what is left out has the defaults of LVS; timeouts that are left out stay', (t) => {
  const { services, timeouts } = configuration(
    'services: [{ address: "tcp:203.0.113.10:80", servers: [{ address: 10.0.0.1 }] }]',
  );
  t.is(timeouts, null);
  t.is(services?.[0]?.spec?.scheduler, 'wlc');
  t.like(services?.[0]?.servers?.[0]?.spec, { method: 'FORWARDING_METHOD_DR', weight: 1 });
});

const wrong: readonly (readonly [what: string, text: string, problems: readonly string[]])[] = [
  ['nothing at all', '', ['file.yaml:1:1: must be a mapping, not nothing']],
  ['a list at the top', '- a', ['file.yaml:1:1: must be a mapping, not a list']],
  [
    'a misspelt key',
    'services:\n  - address: tcp:203.0.113.10:80\n    servers:\n      - { address: 10.0.0.1, wieght: 2 }\n',
    ['file.yaml:4:30: services[0].servers[0].wieght: unknown key "wieght"; did you mean "weight"?'],
  ],
  [
    'a key that is like no other',
    'servers: []\nfrobnicate: 1\n',
    [
      'file.yaml:1:1: servers: unknown key "servers"; known here: services, vips, timeouts, tunables, mark_rules, prefix_lists',
      'file.yaml:2:1: frobnicate: unknown key "frobnicate"; known here: services, vips, timeouts, tunables, mark_rules, prefix_lists',
    ],
  ],
  [
    'an unknown scheduler',
    'services:\n  - address: tcp:203.0.113.10:80\n    scheduler: wrrr\n',
    [
      'file.yaml:3:16: services[0].scheduler: "wrrr" is not one of rr, wrr, lc, wlc, lblc, lblcr, dh, sh, mh, sed, nq, fo, ovf, twos, none; did you mean "wrr"?',
    ],
  ],
  ['no address', 'services:\n  - scheduler: rr\n', ['file.yaml:2:5: services[0]: "address" is missing']],
  [
    'a port that is none',
    'services:\n  - address: tcp:203.0.113.10:70000\n',
    ['file.yaml:2:14: services[0].address: "70000" is not a port: a number from 0 to 65535 is needed'],
  ],
  [
    'text for a number',
    'timeouts:\n  tcp: "900"\n',
    ['file.yaml:2:8: timeouts.tcp: must be a whole number, not "900"'],
  ],
  [
    'out of range',
    'timeouts: { udp: 2678401 }\n',
    ['file.yaml:1:18: timeouts.udp: 2678401 is out of range: 0 … 2678400'],
  ],
  [
    'a service twice, a server twice, a VIP twice',
    `services:
  - { address: "tcp:203.0.113.10:80" }
  - address: tcp:203.0.113.10:80
    servers: [{ address: 10.0.0.1 }, { address: "10.0.0.1:80" }]
vips: [{ address: 203.0.113.10 }, { address: 203.0.113.10 }]
`,
    [
      'file.yaml:3:14: services[1].address: tcp:203.0.113.10:80 is defined twice',
      'file.yaml:4:49: services[1].servers[1].address: 10.0.0.1:80 is defined twice in this service',
      'file.yaml:5:46: vips[1].address: 203.0.113.10 is defined twice',
    ],
  ],
  [
    'a port that DR cannot reach',
    'services:\n  - address: tcp:203.0.113.10:80\n    servers:\n      - { address: 10.0.0.1:81, method: tun }\n',
    [
      "file.yaml:4:20: services[0].servers[0].address: port 81 differs from the service's 80, and method tun leaves ports as they are",
    ],
  ],
  [
    'a flag of another scheduler',
    'services:\n  - address: tcp:203.0.113.10:80\n    scheduler: mh\n    scheduler_flags: [sh-port]\n',
    ['file.yaml:4:23: services[0].scheduler_flags[0]: sh-port belongs to scheduler sh, not mh'],
  ],
  [
    'a prefix that is too long',
    'services:\n  - address: tcp:203.0.113.10:80\n    persistence_prefix: 33\n',
    ['file.yaml:3:25: services[0].persistence_prefix: 33 is longer than an address of 32 bits'],
  ],
  [
    'no YAML',
    'services: [\n',
    ['file.yaml:2:1: Flow sequence in block collection must be sufficiently indented and end with a ]'],
  ],
  [
    'a timeout of a state that there is not',
    'timeouts: { tcp_syn_rcv: 5 }\n',
    ['file.yaml:1:13: timeouts.tcp_syn_rcv: unknown key "tcp_syn_rcv"; did you mean "tcp_syn_recv"?'],
  ],
  [
    'a tunable that there is not, one out of range, and one of the synchronisation',
    'tunables:\n  slopy_tcp: 1\n  drop_packet: 4\n  sync_ports: 2\n',
    [
      'file.yaml:2:3: tunables.slopy_tcp: unknown key "slopy_tcp"; did you mean "sloppy_tcp"?',
      'file.yaml:3:16: tunables.drop_packet: 4 is out of range: 0 … 3',
      'file.yaml:4:3: tunables.sync_ports: is known to LVS, but connection synchronisation is not available yet',
    ],
  ],
  [
    'mark rules that cannot be',
    `mark_rules:
  - { mark: 1, source: lan }
  - { mark: 1, source: 10.0.0.1/8, destination: 10.0.0.0/33 }
  - { mark: 1, source: 10.0.0.0/8, destination: "2001:db8::/32" }
  - { mark: 1, family: ipv6, source: 10.0.0.0/8 }
  - { mark: 1, source_ports: 80 }
  - { mark: 1, protocol: tcp, source_ports: 81-80, destination_ports: "80,81" }
  - { mark: 1, protocol: tcp, destination_ports: 65536 }
`,
    [
      'file.yaml:2:24: mark_rules[0].source: "lan" is not an address or a prefix such as "10.0.0.0/8"',
      'file.yaml:3:24: mark_rules[1].source: 10.0.0.1/8 has bits set behind its prefix length',
      'file.yaml:3:49: mark_rules[1].destination: "10.0.0.0/33" is not an address or a prefix such as "10.0.0.0/8"',
      "file.yaml:4:49: mark_rules[2].destination: 2001:db8::/32 is not of the source's address family",
      'file.yaml:5:24: mark_rules[3].family: the prefixes are of ipv4, not ipv6',
      'file.yaml:6:30: mark_rules[4].source_ports: ports need a protocol: tcp, udp or sctp',
      'file.yaml:7:45: mark_rules[5].source_ports: 81-80 ends before it begins',
      'file.yaml:7:71: mark_rules[5].destination_ports: "80,81" is not a port or a range of ports such as "8000-8099"',
      'file.yaml:8:50: mark_rules[6].destination_ports: "65536" is not a port or a range of ports such as "8000-8099"',
    ],
  ],
  [
    'a mark rule without a mark, and marks out of range',
    'mark_rules: [{ protocol: tcp }, { mark: 4294967296 }, { mark: -1 }]\n',
    [
      'file.yaml:1:14: mark_rules[0]: "mark" is missing',
      'file.yaml:1:41: mark_rules[1].mark: 4294967296 is out of range: 0 … 4294967295',
      'file.yaml:1:63: mark_rules[2].mark: -1 is out of range: 0 … 4294967295',
    ],
  ],
  [
    'VIPs that are none',
    'vips: [{ address: 203.0.113 }, { address: 203.0.113.1/24 }]\n',
    [
      'file.yaml:1:19: vips[0].address: "203.0.113" is not an IPv4 or IPv6 address, or a range such as "203.0.113.0/24"',
      'file.yaml:1:43: vips[1].address: 203.0.113.1/24 has bits set behind its prefix length',
    ],
  ],
  [
    'tunnels and families that do not go together',
    `services:
  - address: tcp:203.0.113.10:80
    servers:
      - { address: "[2001:db8::1]:80", method: nat }
      - { address: 10.0.0.1, method: tun, tunnel_type: gue }
      - { address: 10.0.0.2, method: tun, tunnel_port: 6080 }
      - { address: 10.0.0.3, method: tun, tunnel_type: gre, tunnel_checksum: remcsum }
      - { address: 10.0.0.4, tunnel_type: ipip }
  - address: fwmark:8:ipv6
    servers: [{ address: 10.0.0.1 }]
`,
    [
      "file.yaml:4:48: services[0].servers[0].method: 2001:db8::1 is not of the service's address family, which only method tun allows",
      'file.yaml:5:56: services[0].servers[1].tunnel_type: gue needs a tunnel_port',
      'file.yaml:6:9: services[0].servers[2].tunnel_type: ipip has no port',
      'file.yaml:7:56: services[0].servers[3].tunnel_type: gre has no remote checksum offload',
      'file.yaml:8:43: services[0].servers[4].tunnel_type: tunnel settings are only for method tun',
      "file.yaml:10:15: services[1].servers[0].method: 10.0.0.1 is not of the service's address family, which only method tun allows",
    ],
  ],
  ['a key twice', 'vips: []\nvips: []\n', ['file.yaml:2:1: Map keys must be unique']],
];

for (const [what, text, expected] of wrong) {
  test(`wrong file: ${what}`, (t) => {
    t.deepEqual(problems(text), expected);
  });
}

test("the API's field paths lead back to the document", (t) => {
  t.deepEqual(documentPath('configuration.services[1].spec.persistence_timeout_s'), [
    'services',
    1,
    'persistence_timeout',
  ]);
  t.deepEqual(documentPath('configuration.services[0].servers[2].key.port'), ['services', 0, 'servers', 2, 'address']);
  t.deepEqual(documentPath('configuration.timeouts.tcp_fin_s'), ['timeouts', 'tcp_fin']);
  t.deepEqual(documentPath('configuration.timeouts.sctp_init1_s'), ['timeouts', 'sctp_init1']);
  t.deepEqual(documentPath('configuration.tunables.sloppy_tcp'), ['tunables', 'sloppy_tcp']);
  t.deepEqual(documentPath('configuration.mark_rules.rules[1].source'), ['mark_rules', 1, 'source']);
  t.deepEqual(documentPath('configuration.mark_rules.rules[1].source_ports.last'), ['mark_rules', 1, 'source_ports']);
});

function file(t: ExecutionContext, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-cli-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'director.yaml');
  writeFileSync(path, text);
  return path;
}

const operations = [
  {
    addServer: {
      service: { protocol: 'PROTOCOL_TCP', address: '203.0.113.10', port: 80 },
      key: { address: '10.0.0.11', port: 8080 },
      spec: { method: 'FORWARDING_METHOD_NAT', weight: 2 },
    },
  },
  { deleteService: { protocol: 'PROTOCOL_UDP', address: '203.0.113.10', port: 53 } },
] as const;
const described = `+ add_server service=tcp:203.0.113.10:80 server=10.0.0.11:8080 method=nat weight=2
- delete_service service=udp:203.0.113.10:53
`;

test('config show prints what config apply reads: the same configuration comes back', async (t) => {
  const wanted = configuration(good);
  const fake = await director(t, {
    getConfiguration: async () => ({ configuration: wanted }),
    apply: async () => ({ inForce: true }),
  });
  const shown = await run('config show', fake);
  t.deepEqual(configuration(shown.output), wanted);
  t.true(shown.output.includes('\n      - { address: 10.0.0.11:8080, method: nat, weight: 2 }\n'));
  const json = await run('config show -o json', fake);
  t.deepEqual(configuration(json.output), wanted);
  t.is((await run(`config apply -f - --prune`, fake, { input: shown.output })).exitCode, 0);
  const [request] = fake.requests('apply');
  t.is(request?.mode, 'APPLY_MODE_ATOMIC');
  t.true(request?.prune);
  t.is(request?.configuration?.services.length, 2);
});

test('config show: services of every kind, ranges, tunables and mark rules come back as they are written', async (t) => {
  const wanted = configuration(full);
  const fake = await director(t, { getConfiguration: async () => ({ configuration: wanted }) });
  t.deepEqual(configuration((await run('config show', fake)).output), wanted);
  t.is((await run('config show', fake)).output.split('tunables:')[1], full.split('tunables:')[1]);
  t.deepEqual(configuration((await run('config show -o json', fake)).output), wanted);
  t.deepEqual(wanted.tunables, { connReuseMode: 0, sloppyTcp: 1 });
  t.deepEqual(wanted.markRules?.rules?.[1], {
    family: 'ADDRESS_FAMILY_IPV6',
    protocol: 'PROTOCOL_UDP',
    source: '',
    destination: '',
    sourcePorts: { first: 1024, last: 65535 },
    destinationPorts: null,
    mark: 8,
    local: true,
  });
});

test('config diff: tunables and mark rules', async (t) => {
  const changes = [
    { setTunables: { sloppyTcp: 1, amDroprate: 5 } },
    { setMarkRules: { rules: [{ mark: 7, destination: '203.0.113.0/24' }, { mark: 8 }] } },
    { setTimeouts: { sctpClosedS: 5 } },
  ];
  const fake = await director(t, { apply: async () => ({ operations: changes }) });
  const path = file(t, full);
  t.is(
    (await run(`config diff -f ${path}`, fake)).output,
    '~ set_tunables sloppy_tcp=1 am_droprate=5\n~ set_mark_rules rules=2\n~ set_timeouts sctp_closed=5\n',
  );
  t.deepEqual(JSON.parse((await run(`config diff -f ${path} -o json`, fake)).output).operations[1], {
    action: 'set_mark_rules',
    rules: [{ mark: 7, destination: '203.0.113.0/24' }, { mark: 8 }],
  });
});

test('config apply prints what was done', async (t) => {
  const fake = await director(t, {
    apply: async () => ({ operations: [...operations], revision: 'r9', inForce: true }),
  });
  const path = file(t, good);
  t.is((await run(`config apply -f ${path}`, fake)).output, described);
  t.deepEqual(JSON.parse((await run(`config apply -f ${path} -o json --revision r8`, fake)).output), {
    operations: [
      { action: 'add_server', service: 'tcp:203.0.113.10:80', server: '10.0.0.11:8080', method: 'nat', weight: 2 },
      { action: 'delete_service', service: 'udp:203.0.113.10:53' },
    ],
    revision: 'r9',
  });
  t.is(fake.requests('apply')[1]?.revision, 'r8');
});

test('config diff and --dry-run only ask; diff ends with 5 if there is a difference', async (t) => {
  const different = await director(t, { apply: async () => ({ operations: [...operations] }) });
  const path = file(t, good);
  t.like(await run(`config diff -f ${path}`, different), { exitCode: 5, output: described });
  t.like(await run(`config apply -f ${path} --dry-run`, different), { exitCode: 0, output: described });
  t.true(different.requests('apply').every(({ validateOnly }) => validateOnly));
  const same = await director(t, { apply: async () => ({}) });
  t.like(await run(`config diff -f ${path}`, same), { exitCode: 0, output: '' });
});

test('config apply that is not in force yet ends with 3', async (t) => {
  const fake = await director(t, { apply: async () => ({ inForce: false }) });
  t.is((await run(`config apply -f ${file(t, good)}`, fake)).exitCode, 3);
});

test('a refusal of the director points into the file', async (t) => {
  const fake = await director(t, {
    apply: async () => {
      throw new FulcrumError({
        reason: 'REASON_INVALID',
        field: 'configuration.services[0].servers[1].key.address',
        message: '10.0.0.12 is taken',
      });
    },
  });
  const path = file(t, good);
  t.deepEqual(await run(`config apply -f ${path}`, fake), {
    exitCode: 1,
    output: '',
    complaints: `${path}:6:20: services[0].servers[1].address: 10.0.0.12 is taken\n`,
    largestWrite: 0,
  });
});

test('a wrong file never reaches the director', async (t) => {
  const fake = await director(t, {});
  const path = file(t, 'servces: []\n');
  const { exitCode, complaints } = await run(`config apply -f ${path}`, fake);
  t.is(exitCode, 1);
  t.is(complaints, `${path}:1:1: servces: unknown key "servces"; did you mean "services"?\n`);
  t.is(fake.requests('apply').length, 0);
  t.is(
    (await run('config apply -f /nowhere/director.yaml', fake)).complaints,
    'fulcrum: /nowhere/director.yaml: no such file\n',
  );
});

test("the director's whole file is read for its services part", async (t) => {
  const fake = await director(t, { apply: async () => ({ inForce: true }) });
  const whole = `ports:\n  wan: { device: "net_af_packet0,iface=wan" }\n${good}`;
  t.is((await run(`config apply -f ${file(t, whole)}`, fake)).exitCode, 0);
  t.is(fake.requests('apply')[0]?.configuration?.services.length, 2);
});

test('config apply --first: only to a director that has never been configured, and not if it has been meanwhile', async (t) => {
  let revision = '5c1f00aa-0';
  const fake = await director(t, {
    getConfiguration: async () => ({ configuration: {}, revision }),
    apply: async () => ({ inForce: true }),
  });
  t.is((await run('config apply -f - --first', fake, { input: good })).exitCode, 0);
  t.is(fake.requests('apply')[0]?.revision, '5c1f00aa-0');
  revision = '5c1f00aa-10';
  t.is((await run('config apply -f - --first', fake, { input: good })).exitCode, 0);
  t.is(fake.requests('apply').length, 1);
});

test('config dataplane prints a StartConfig, and needs no director', async (t) => {
  const ports = 'ports:\n  wan: { device: net_null0, interfaces: [{ addresses: [203.0.113.1/24] }] }\n';
  const { output, exitCode } = await run('config dataplane -f -', undefined, { input: `${ports}${good}` });
  t.is(exitCode, 0);
  t.like(JSON.parse(output), {
    ports: [{ name: 'wan', device: 'net_null0' }],
    interfaces: [{ addresses: [{ prefix: '203.0.113.1/24' }] }],
  });
  t.notThrows(() => parseStartConfig(output, loadDataplaneServices().definitions));
  const wrong = await run('config dataplane -f -', undefined, { input: 'ports: { wan: { devise: net_null0 } }\n' });
  t.is(wrong.exitCode, 1);
  t.regex(wrong.complaints, /^<stdin>:1:\d+: ports\.wan\.devise: /m);
});
