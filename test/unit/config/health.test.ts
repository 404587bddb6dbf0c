// SPDX-License-Identifier: Apache-2.0
// health: of services and servers: from a file to the API's messages and back, and where it is wrong.
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
      checks:
        - { type: tcp, name: port, interval: 1.5, timeout: 0.25, rise: 2, fall: 3, retry_interval: 0.5, warmup: 0, address: 192.0.2.1, port: 8081, source: 192.0.2.2 }
        - { type: http, method: HEAD, path: /health?full=1, host: www.example.org, headers: [ "X-Probe: yes", "Accept: */*" ], expected_status: [ 200-299, 301 ], body_contains: ready, body_regex: ^ok$, body_regex_negated: true, body_md5: d41d8cd98f00b204e9800998ecf8427e, http_1_0: true }
        - { type: https, tls: { server_name: www.example.org, verify: true, ca_file: /etc/ca.pem, certificate_file: /etc/me.pem, key_file: /etc/me.key } }
        - { type: https, path: / }
        - { type: smtp, helo_name: mx.example.org }
        - { type: dns, query_name: example.org, query_type: AAAA }
        - { type: udp, payload: 00ff, require_reply: true, reply: 01x2, least_reply_bytes: 2, most_reply_bytes: 512 }
        - { type: ping }
        - { type: grpc }
        - { type: grpc, service: echo, tls: {} }
        - { type: command, command: [ /usr/bin/probe, -v, two words ], dynamic_weight: true }
        - { type: tcp, via: vip }
        - { type: tcp, via: server }
      notify_up: [ /usr/bin/tell, up ]
      notify_down: [ /usr/bin/tell, down ]
      alpha: true
      inhibit_on_failure: true
      quorum: 3
      hysteresis: 1
      quorum_up: [ /usr/bin/quorum, up ]
      quorum_down: [ /usr/bin/quorum, down ]
      sorry_server: { address: 10.0.0.99:8080, method: nat, weight: 1 }
      sorry_server_inhibit: true
      slow_start: 10.5
      most_out: 50
      omega: true
    servers:
      - { address: 10.0.0.11:80, method: dr, weight: 1 }
      - address: 10.0.0.12:80
        method: dr
        weight: 1
        health:
          checks:
            - { type: tcp }
          notify_up: [ /usr/bin/other ]
          notify_down: [ /usr/bin/other, down ]
          alpha: false
          inhibit_on_failure: false
`;

const configuration = (text: string) => toConfiguration(readDocument<ServicesSection>(text, 'f.yaml', servicesSchema));

/** As the other side of the API receives it. */
function received(sent: Configuration): Configuration__Output {
  const { Apply } = loadDirectorService();
  const request = Apply.requestDeserialize(Apply.requestSerialize({ configuration: sent })) as ApplyRequest__Output;
  return request.configuration as Configuration__Output;
}

function problems(text: string): readonly string[] {
  try {
    configuration(text);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.message.split('\n');
    throw error;
  }
  return [];
}

test('the file, the API and the file again: nothing is lost, nothing is added', (t) => {
  const first = received(configuration(full));
  const text = fileText(fromConfiguration(first));
  t.is(text, full);
  t.deepEqual(received(configuration(text)), first);
});

test('forms that a client of the API may have chosen come back as they are', (t) => {
  const first = received(configuration(full));
  const check = first.services[0]?.health?.checks.find(({ udp }) => udp);
  const http = first.services[0]?.health?.checks.find((one) => one.http)?.http;
  if (!check?.udp || !http) throw new Error('there is none');
  Object.assign(check.udp, { payload: '00 FF', reply: '01 x2', leastReplyBytes: 300, mostReplyBytes: 0 });
  Object.assign(http, { path: '*', method: 'OPTIONS', bodyMd5: 'D41D8CD9 8F00B204 E9800998 ECF8427E' });
  Object.assign(check, {
    rise: 1_000_000,
    intervalMs: 100,
    timeoutMs: 10,
    warmupMs: 86_400_000,
    _warmupMs: 'warmupMs',
  });
  t.deepEqual(received(configuration(fileText(fromConfiguration(first)))), first);
});

test('times are milliseconds in the API, and what is left out is unset', (t) => {
  const { services } = received(configuration(full));
  const checks = services[0]?.health?.checks ?? [];
  t.like(checks[0], { intervalMs: 1500, timeoutMs: 250, rise: 2, fall: 3, retryIntervalMs: 500, warmupMs: 0 });
  t.like(checks[1]?.http, {
    expectedStatus: [
      { first: 200, last: 299 },
      { first: 301, last: 0 },
    ],
    tls: null,
  });
  t.like(checks[3]?.http?.tls, { serverName: '', verify: false });
  t.like(checks[7], { kind: 'ping', intervalMs: 0, timeoutMs: 0, rise: 0, fall: 0, retryIntervalMs: 0 });
  t.is(checks[7]?.warmupMs, undefined);
  t.is(checks[8]?.grpc?.tls, null);
  t.not(checks[9]?.grpc?.tls, null);
  t.like(services[0]?.health, { slowStartMs: 10_500, mostOutPercent: 50 });
  t.like(services[0]?.health?.sorryServer, { key: { address: '10.0.0.99', port: 8080 }, spec: { weight: 1 } });
});

test('a service or a server without health has none in the API, and empty health is some', (t) => {
  const text =
    'services:\n  - address: tcp:203.0.113.10:80\n    scheduler: wlc\n    health: {}\n    servers:\n      - { address: 10.0.0.1:80, method: dr, weight: 1 }\n';
  const { services } = received(configuration(text));
  t.not(services[0]?.health, null);
  t.is(services[0]?.servers[0]?.health, null);
  t.is(fileText(fromConfiguration(received(configuration(text)))), text);
});

const check = (options: string) =>
  `services:\n  - address: tcp:203.0.113.10:80\n    health: { checks: [{ ${options} }] }\n`;
const health = (options: string) => `services:\n  - address: tcp:203.0.113.10:80\n    health: { ${options} }\n`;
const place = 'services[0].health.checks[0]';

const refusals: readonly (readonly [options: string, complaint: string])[] = [
  ['path: /', `f.yaml:3:24: ${place}: "type" is missing`],
  [
    'type: icmp',
    `f.yaml:3:32: ${place}.type: "icmp" is not one of tcp, http, https, smtp, dns, udp, ping, grpc, command`,
  ],
  ['type: tcp, path: /', `f.yaml:3:43: ${place}.path: path belongs to checks of type http and https, not tcp`],
  ['type: http, tls: {}', `f.yaml:3:43: ${place}.tls: tls belongs to checks of type https and grpc, not http`],
  ['type: dns, name: a, service: b', `f.yaml:3:55: ${place}.service: service belongs to checks of type grpc, not dns`],
  [
    'type: http, body_regex: "a("',
    `f.yaml:3:50: ${place}.body_regex: "a(" is not a regular expression of RE2: missing closing )`,
  ],
  ['type: http, body_regex_negated: true', `f.yaml:3:58: ${place}.body_regex_negated: there is no body_regex`],
  [
    'type: http, expected_status: [200, 700]',
    `f.yaml:3:61: ${place}.expected_status[1]: 700 is not a status: they are 100 … 599`,
  ],
  ['type: http, expected_status: [299-200]', `f.yaml:3:56: ${place}.expected_status[0]: 299-200 ends before it begins`],
  [
    'type: http, expected_status: [2xx]',
    `f.yaml:3:56: ${place}.expected_status[0]: "2xx" is not a status or a range of them such as "200-299"`,
  ],
  [
    'type: http, path: health',
    `f.yaml:3:44: ${place}.path: "health" is not a path: it begins with "/", and has neither blanks nor control characters`,
  ],
  ['type: http, method: "GE T"', `f.yaml:3:46: ${place}.method: "GE T" is not a method of HTTP`],
  ['type: http, host: "a b"', `f.yaml:3:44: ${place}.host: "a b" has a blank or a control character`],
  [
    'type: http, headers: ["X-Probe"]',
    `f.yaml:3:48: ${place}.headers[0]: "X-Probe" is not a header: write "Name: value"`,
  ],
  [
    'type: http, headers: ["A: b\\r\\nC: d"]',
    `f.yaml:3:48: ${place}.headers[0]: "A: b\r\nC: d" is not a header: write "Name: value"`,
  ],
  [
    'type: http, body_md5: abc',
    `f.yaml:3:48: ${place}.body_md5: "abc" is not an MD5: 32 hexadecimal digits are needed`,
  ],
  ['type: udp, payload: 0fa', `f.yaml:3:46: ${place}.payload: "0fa" is not an even number of hexadecimal digits`],
  [
    'type: udp, require_reply: true, reply: 0y',
    `f.yaml:3:65: ${place}.reply: "0y" is not an even number of hexadecimal digits, or x for any`,
  ],
  ['type: udp, reply: "00"', `f.yaml:3:44: ${place}.reply: reply needs require_reply: true`],
  [
    'type: udp, require_reply: true, least_reply_bytes: 300, most_reply_bytes: 20',
    `f.yaml:3:77: ${place}.least_reply_bytes: 300 is more than most_reply_bytes, which is 20`,
  ],
  [
    'type: dns, query_type: "a b"',
    `f.yaml:3:49: ${place}.query_type: "a b" is not a type of DNS records such as A, AAAA or MX`,
  ],
  ['type: tcp, via: lo', `f.yaml:3:42: ${place}.via: "lo" is not one of server, vip`],
  ['type: ping, via: vip', `f.yaml:3:43: ${place}.via: a check of type ping cannot be sent to a VIP`],
  ['type: tcp, via: vip, address: 10.0.0.1', `f.yaml:3:42: ${place}.via: vip leaves no choice of address`],
  ['type: tcp, via: vip, source: 10.0.0.1', `f.yaml:3:42: ${place}.via: vip leaves no choice of source`],
  ['type: udp, via: vip', `f.yaml:3:42: ${place}.via: vip needs require_reply: true`],
  ['type: command', `f.yaml:3:24: ${place}.command: a check of type command needs a command: [program, argument, …]`],
  ['type: command, command: [""]', `f.yaml:3:50: ${place}.command: the first word is the program, and it is empty`],
  ['type: tcp, interval: 0.05', `f.yaml:3:47: ${place}.interval: 0.05 is out of range: 0.1 … 86400`],
  ['type: tcp, timeout: 0.0125', `f.yaml:3:46: ${place}.timeout: 0.0125 is finer than a millisecond`],
  ['type: tcp, fall: 0', `f.yaml:3:43: ${place}.fall: 0 is out of range: 1 … 1000000`],
  ['type: tcp, address: localhost', `f.yaml:3:46: ${place}.address: "localhost" is not an IPv4 or IPv6 address`],
  ['type: tcp, port: 0', `f.yaml:3:43: ${place}.port: 0 is out of range: 1 … 65535`],
  ['type: tcp, intervall: 1', `f.yaml:3:37: ${place}.intervall: unknown key "intervall"; did you mean "interval"?`],
];

for (const [options, complaint] of refusals) {
  test(`refused: a check { ${options} }`, (t) => {
    t.is(problems(check(options)).join('\n'), complaint);
  });
}

const policies: readonly (readonly [options: string, complaint: string])[] = [
  ['quorum: 0', 'f.yaml:3:23: services[0].health.quorum: 0 is out of range: 1 … 2147483647'],
  ['quorum: 2, hysteresis: 2', 'f.yaml:3:38: services[0].health.hysteresis: 2 is not less than the quorum, which is 2'],
  ['hysteresis: 1', 'f.yaml:3:27: services[0].health.hysteresis: 1 is not less than the quorum, which is 1'],
  ['most_out: 101', 'f.yaml:3:25: services[0].health.most_out: 101 is out of range: 0 … 100'],
  ['quorum_up: "/bin/true"', 'f.yaml:3:26: services[0].health.quorum_up: must be a list, not "/bin/true"'],
  ['notify_down: [""]', 'f.yaml:3:28: services[0].health.notify_down: the first word is the program, and it is empty'],
  ['slow_start: 0.0001', 'f.yaml:3:27: services[0].health.slow_start: 0.0001 is finer than a millisecond'],
  [
    'sorry_server: { address: 10.0.0.9:81 }',
    "f.yaml:3:40: services[0].health.sorry_server.address: port 81 differs from the service's 80, and method dr leaves ports as they are",
  ],
  [
    'sorry_server: { address: 10.0.0.9, upper_threshold: 5 }',
    'f.yaml:3:50: services[0].health.sorry_server.upper_threshold: unknown key "upper_threshold"; known here: address, method, weight, tunnel_type, tunnel_port, tunnel_checksum',
  ],
];

for (const [options, complaint] of policies) {
  test(`refused: health { ${options} }`, (t) => {
    t.is(problems(health(options)).join('\n'), complaint);
  });
}

test('what only a service can have is refused for a server', (t) => {
  const text =
    'services: [{ address: "tcp:203.0.113.10:80", servers: [{ address: 10.0.0.1, health: { quorum: 2 } }] }]\n';
  t.regex(problems(text).join('\n'), /servers\[0\]\.health\.quorum: unknown key "quorum"/);
});

test('a field of the API is found in the document', (t) => {
  const at = (field: string) => documentPath(`configuration.services[0].${field}`).slice(2).join('.');
  t.is(at('health.checks[1].interval_ms'), 'health.checks.1.interval');
  t.is(at('health.checks[1].http.body_regex'), 'health.checks.1.body_regex');
  t.is(at('health.checks[1].http.tls.ca_file'), 'health.checks.1.tls.ca_file');
  t.is(at('health.checks[1].dns.name'), 'health.checks.1.query_name');
  t.is(at('health.checks[1].command.command'), 'health.checks.1.command');
  t.is(at('health.most_out_percent'), 'health.most_out');
  t.is(at('health.sorry_server.key.address'), 'health.sorry_server.address');
  t.is(at('servers[2].health.checks[0].smtp.helo_name'), 'servers.2.health.checks.0.helo_name');
  t.is(at('spec.persistence_timeout_s'), 'persistence_timeout');
});
