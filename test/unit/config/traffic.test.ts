import test from 'ava';
import { ConfigurationError, readDocument } from '../../../src/config/document.js';
import {
  documentPath,
  fromConfiguration,
  type ServicesSection,
  servicesSchema,
  toConfiguration,
} from '../../../src/config/services.js';
import type { Configuration__Output } from '../../../src/generated/fulcrum/v1/Configuration.js';

const read = (text: string) => toConfiguration(readDocument<ServicesSection>(text, 'f.yaml', servicesSchema));

function complaints(text: string): readonly string[] {
  try {
    read(text);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return error.message.split('\n');
  }
}

const full = `prefix_lists:
  bogons: [10.0.0.0/8, "2001:db8:bad::/48"]
  empty: []
services:
  - address: tcp:203.0.113.10:80
    scheduler: rr
    allow: [198.51.100.0/24]
    deny: [bogons, 198.51.100.7]
    max_connections: 1000
    connections_per_second: 50
    connections_burst: 100
    mss: auto
    servers: []
  - address: tcp:203.0.113.10:443
    scheduler: rr
    mss: 1360
    servers: []
  - address: udp:203.0.113.10:53
    scheduler: rr
    servers: []
`;

test('the keys of a service, and lists', (t) => {
  const { services, prefixLists } = read(full);
  t.deepEqual(services?.[0]?.traffic, {
    allow: ['198.51.100.0/24'],
    deny: ['bogons', '198.51.100.7'],
    maxConnections: 1000,
    connectionsPerSecond: 50,
    connectionsBurst: 100,
    mss: 0,
    mssAuto: true,
  });
  t.like(services?.[1]?.traffic, { mss: 1360, mssAuto: false, maxConnections: 0 });
  t.is(services?.[2]?.traffic, undefined);
  t.deepEqual(prefixLists, [
    { name: 'bogons', prefixes: ['10.0.0.0/8', '2001:db8:bad::/48'] },
    { name: 'empty', prefixes: [] },
  ]);
});

test('and back', (t) => {
  const document = readDocument<ServicesSection>(full, 'f.yaml', servicesSchema);
  const answer = { vips: [], timeouts: null, tunables: null, ...toConfiguration(document), markRules: null };
  t.deepEqual(fromConfiguration(answer as unknown as Configuration__Output), document.value);
});

const service = 'services:\n  - address: tcp:203.0.113.10:80\n';

for (const [title, text, expected] of [
  [
    'a prefix',
    `${service}    deny: [10.0.0.0/8, 10.0.0.1/8]\n`,
    'f.yaml:3:24: services[0].deny[1]: 10.0.0.1/8 has bits set behind its prefix length',
  ],
  [
    'an MSS in words',
    `${service}    mss: large\n`,
    'f.yaml:3:10: services[0].mss: "large" is neither "auto" nor a number from 88 to 65495',
  ],
  [
    'a small MSS',
    `${service}    mss: 40\n`,
    'f.yaml:3:10: services[0].mss: 40 is neither "auto" nor a number from 88 to 65495',
  ],
  [
    'an MSS of UDP',
    'services:\n  - address: udp:203.0.113.10:80\n    mss: auto\n',
    'f.yaml:3:10: services[0].mss: only TCP has a maximum segment size',
  ],
  [
    'a burst alone',
    `${service}    connections_burst: 5\n`,
    'f.yaml:3:24: services[0].connections_burst: needs connections_per_second',
  ],
  [
    'a prefix of a list',
    'prefix_lists:\n  a:\n    - 10.0.0.0/8\n    - lan\n',
    'f.yaml:4:7: prefix_lists.a[1]: "lan" is not an address or a prefix such as "10.0.0.0/8"',
  ],
] as const) {
  test(`refused: ${title}`, (t) => t.deepEqual(complaints(text), [expected]));
}

test('refused: the name of a list', (t) => {
  t.is(complaints('prefix_lists: {10.0.0.0/8: []}\n').length, 1);
});

test('what the director refuses has its place in the file', (t) => {
  t.deepEqual(documentPath('configuration.services[1].traffic.deny[0]'), ['services', 1, 'deny', 0]);
  t.deepEqual(documentPath('configuration.services[1].traffic.mss'), ['services', 1, 'mss']);
});
