// SPDX-License-Identifier: Apache-2.0
// fulcrum config and the services part of a file: what it asks for, and where it is wrong.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ConfigurationError, readDocument } from '../../../src/config/document.js';
import { documentPath, type ServicesSection, servicesSchema, toConfiguration } from '../../../src/config/services.js';
import { FulcrumError } from '../../../src/grpc/errors.js';
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
  t.deepEqual(timeouts, { tcpS: 900, tcpFinS: 120, udpS: 300 });
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
      'file.yaml:1:1: servers: unknown key "servers"; known here: services, vips, timeouts',
      'file.yaml:2:1: frobnicate: unknown key "frobnicate"; known here: services, vips, timeouts',
    ],
  ],
  [
    'an unknown scheduler',
    'services:\n  - address: tcp:203.0.113.10:80\n    scheduler: wrrr\n',
    [
      'file.yaml:3:16: services[0].scheduler: "wrrr" is not one of rr, wrr, lc, wlc, lblc, lblcr, dh, sh, mh, sed, nq, fo, ovf, twos; did you mean "wrr"?',
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
