// SPDX-License-Identifier: Apache-2.0
// load: of services and servers: from a file to the API's messages and back, and where it is wrong.
import test from 'ava';
import { ConfigurationError, readDocument } from '../../../src/config/document.js';
import {
  documentPath,
  fromConfiguration,
  type ServicesSection,
  servicesSchema,
  toConfiguration,
} from '../../../src/config/services.js';
import { fileText } from '../../../src/config/text.js';
import type { ApplyRequest__Output } from '../../../src/generated/fulcrum/v1/ApplyRequest.js';
import type { Configuration, Configuration__Output } from '../../../src/generated/fulcrum/v1/Configuration.js';
import { loadDirectorService } from '../../../src/grpc/loader.js';

/** Every option there is. */
const full = `services:
  - address: tcp:203.0.113.10:80
    scheduler: wrr
    health:
      load: { type: agent, interval: 1.5, timeout: 0.25, address: 192.0.2.1, port: 8081, source: 192.0.2.2, send: "web\\n", smoothing: 0, least: 0, greatest: 200, dead_band: 0, expiry: 0 }
    servers:
      - address: 10.0.0.11:80
        method: dr
        weight: 100
        health:
          load: { type: orca, metric: named_metrics.queue, tls: {}, idle: 0, busy: 20, smoothing: 2.5 }
      - address: 10.0.0.12:80
        method: dr
        weight: 100
        health:
          load: { type: json, pointer: /load/0, path: /status, host: www.example.org, headers: [ "X-Token: secret" ], https: true, tls: { verify: true }, idle: 50.5, busy: -1 }
      - address: 10.0.0.13:80
        method: dr
        weight: 100
        health:
          load: { type: prometheus, port: 9100, metric: 'node_load1{host="a"}', path: /metrics, busy: 16, least: 20, dead_band: 10, expiry: 60 }
      - address: 10.0.0.14:80
        method: dr
        weight: 100
        health:
          load: { type: json, pointer: "", https: true }
      - address: 10.0.0.15:80
        method: dr
        weight: 100
        health:
          load: { type: orca }
`;

const configuration = (text: string) => toConfiguration(readDocument<ServicesSection>(text, 'f.yaml', servicesSchema));

/** As the other side of the API receives it. */
function received(sent: Configuration): Configuration__Output {
  const { Apply } = loadDirectorService();
  const request = Apply.requestDeserialize(Apply.requestSerialize({ configuration: sent })) as ApplyRequest__Output;
  return request.configuration as Configuration__Output;
}

test('the file, the API and the file again: nothing is lost, nothing is added', (t) => {
  const first = received(configuration(full));
  const text = fileText(fromConfiguration(first));
  t.is(text, full);
  t.deepEqual(received(configuration(text)), first);
});

test('times are milliseconds in the API, and what is left out is unset', (t) => {
  const [service] = received(configuration(full)).services;
  t.like(service?.health?.load, {
    intervalMs: 1500,
    timeoutMs: 250,
    smoothingMs: 0,
    greatestPercent: 200,
    expiryMs: 0,
  });
  const loads = service?.servers.map(({ health }) => health?.load);
  t.like(loads?.[0], { intervalMs: 0, smoothingMs: 2500, idle: 0, busy: 20 });
  t.is(loads?.[0]?.leastPercent, undefined);
  t.like(loads?.[3]?.number, { format: 'jsonPointer', jsonPointer: '' });
  t.is(loads?.[4]?.orca?.tls, null);
});

function problems(options: string): string {
  try {
    configuration(`services:\n  - address: tcp:203.0.113.10:80\n    health: { load: { ${options} } }\n`);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.message;
    throw error;
  }
  return '';
}

const place = 'services[0].health.load';

const refusals: readonly (readonly [options: string, complaint: string])[] = [
  ['port: 1', `f.yaml:3:21: ${place}: "type" is missing`],
  ['type: snmp', `f.yaml:3:29: ${place}.type: "snmp" is not one of agent, orca, json, prometheus`],
  ['type: agent', `f.yaml:3:21: ${place}: an agent has a port of its own: "port" is missing`],
  [
    'type: agent, port: 1, busy: 2',
    `f.yaml:3:51: ${place}.busy: busy belongs to a load of type orca and json and prometheus, not agent`,
  ],
  ['type: orca, send: a', `f.yaml:3:41: ${place}.send: send belongs to a load of type agent, not orca`],
  [
    'type: json, pointer: /a, metric: b',
    `f.yaml:3:56: ${place}.metric: metric belongs to a load of type orca and prometheus, not json`,
  ],
  ['type: json', `f.yaml:3:21: ${place}: a load of type json needs a pointer`],
  ['type: json, pointer: a', `f.yaml:3:44: ${place}.pointer: "a" is not a JSON pointer such as "/load/0"`],
  ['type: prometheus', `f.yaml:3:21: ${place}: a load of type prometheus needs a metric`],
  [
    'type: prometheus, metric: "a b"',
    `f.yaml:3:49: ${place}.metric: "a b" is not a metric such as node_load1 or busy_workers{pool="web"}`,
  ],
  ['type: json, pointer: /a, tls: {}', `f.yaml:3:53: ${place}.tls: tls needs https: true`],
  [
    'type: json, pointer: /a, path: b',
    `f.yaml:3:54: ${place}.path: "b" is not a path: it begins with "/", and has neither blanks nor control characters`,
  ],
  [
    'type: json, pointer: /a, headers: [b]',
    `f.yaml:3:58: ${place}.headers[0]: "b" is not a header: write "Name: value"`,
  ],
  ['type: orca, busy: 0', `f.yaml:3:41: ${place}.busy: 0 is idle, too`],
  ['type: orca, least: 120', `f.yaml:3:42: ${place}.least: 120 is more than the greatest percentage, which is 100`],
  ['type: orca, least: 30000', `f.yaml:3:42: ${place}.least: 30000 is out of range: 0 … 25600`],
  ['type: orca, greatest: 0, least: 0', `f.yaml:3:45: ${place}.greatest: 0 is out of range: 1 … 25600`],
  ['type: orca, dead_band: 101', `f.yaml:3:46: ${place}.dead_band: 101 is out of range: 0 … 100`],
  ['type: orca, smoothing: 0.0001', `f.yaml:3:46: ${place}.smoothing: 0.0001 is finer than a millisecond`],
  ['type: orca, interval: 0.01', `f.yaml:3:45: ${place}.interval: 0.01 is out of range: 0.1 … 86400`],
  ['type: orca, address: web', `f.yaml:3:44: ${place}.address: "web" is not an IPv4 or IPv6 address`],
  ['type: orca, deadband: 1', `f.yaml:3:35: ${place}.deadband: unknown key "deadband"; did you mean "dead_band"?`],
];

for (const [options, complaint] of refusals) {
  test(`refused: { ${options} }`, (t) => {
    t.is(problems(options), complaint);
  });
}

test('a field of the API is found in the document', (t) => {
  const at = (field: string) => documentPath(`configuration.services[0].${field}`).slice(2).join('.');
  t.is(at('health.load.interval_ms'), 'health.load.interval');
  t.is(at('health.load.dead_band_percent'), 'health.load.dead_band');
  t.is(at('health.load.orca.metric'), 'health.load.metric');
  t.is(at('health.load.number.json_pointer'), 'health.load.pointer');
  t.is(at('health.load.number.prometheus_metric'), 'health.load.metric');
  t.is(at('servers[1].health.load.number.tls.ca_file'), 'servers.1.health.load.tls.ca_file');
});
