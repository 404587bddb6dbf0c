// SPDX-License-Identifier: Apache-2.0
// fulcrum: help, wrong usage, exit codes, and who answers.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { FulcrumError } from '../../../src/grpc/errors.js';
import { director, run, runWords } from './support/run_fulcrum.js';

test('help names every noun, the exit codes, and examples', async (t) => {
  const { exitCode, output, complaints } = await run('--help');
  t.is(exitCode, 0);
  t.is(complaints, '');
  for (const noun of 'service server vip mark tunable timeout status stats connection neighbor port watch config import up lab bench'.split(
    ' ',
  )) {
    t.regex(output, new RegExp(`^ {2}${noun}\\b`, 'm'));
  }
  t.regex(output, /Examples:/);
  t.regex(output, /^ {2}4 {2}no director answers/m);
});

test('help of a verb has the common options and the exit codes', async (t) => {
  const { exitCode, output } = await run('server drain --help');
  t.is(exitCode, 0);
  t.regex(output, /--timeout <duration>/);
  t.regex(output, /--output <format>/);
  t.regex(output, /Exit status:/);
});

test('the streaming commands say that they print JSON lines', async (t) => {
  t.regex((await run('connection list --help')).output, /one JSON object a line/);
  t.regex((await run('watch --help')).output, /one JSON object a line/);
});

const wrong: readonly (readonly [line: string, complaint: RegExp])[] = [
  ['serivce list', /unknown command 'serivce' \(Did you mean service\?\)/],
  ['service frobnicate', /unknown command 'frobnicate'/],
  ['service show', /missing required argument 'service'/],
  ['service show tcp:203.0.113.10', /has no port/],
  ['service show tcp:203.0.113.10:70000', /"70000" is not a port/],
  ['service show 203.0.113.10:80', /is not a virtual service: write tcp:ADDRESS:PORT/],
  ['service show tcp:2001:db8::1:80', /has no port: write tcp:\[2001:db8::1:80\]:PORT/],
  ['service show fwmark:0', /"0" is not a mark/],
  ['service add tcp:203.0.113.10:80 --flags sh-prot', /"sh-prot" is not a scheduler flag/],
  ['service edit tcp:203.0.113.10:80', /nothing to change/],
  ['server edit tcp:203.0.113.10:80 10.0.0.1', /nothing to change/],
  ['server add tcp:203.0.113.10:80 10.0.0.300', /"10\.0\.0\.300" is not an IPv4 or IPv6 address/],
  ['server add tcp:203.0.113.10:80 10.0.0.1 --method masq', /Allowed choices are nat, dr, tun/],
  ['server add tcp:203.0.113.10:80 10.0.0.1 --weight -1', /whole number from 0 to 2147483647/],
  ['server drain tcp:203.0.113.10:80 10.0.0.1 --timeout 0', /duration above 0/],
  ['vip activate host.example.org', /IPv4 or IPv6 address is needed/],
  ['config apply', /required option '-f, --file <file>' not specified/],
  ['status -o xml', /Allowed choices are table, json, yaml/],
  ['status extra', /too many arguments/],
];

for (const [line, complaint] of wrong) {
  test(`wrong usage: fulcrum ${line}`, async (t) => {
    const { exitCode, output, complaints } = await run(line);
    t.is(exitCode, 2);
    t.is(output, '');
    t.regex(complaints, complaint);
    t.is(complaints.trimEnd().split('\n').length, 1);
    t.regex(complaints, /^fulcrum: /);
  });
}

const codes: readonly (readonly [error: FulcrumError, exitCode: number])[] = [
  [new FulcrumError({ reason: 'REASON_SERVICE_EXISTS', message: 'it exists' }), 1],
  [new FulcrumError({ reason: 'REASON_STALE', message: 'the etag is stale' }), 1],
  [new FulcrumError({ reason: 'REASON_NOT_SUPPORTED', message: 'not built yet' }), 1],
  [new FulcrumError({ code: 'INTERNAL', message: 'a fault' }), 1],
  [new FulcrumError({ code: 'UNAVAILABLE', message: 'the dataplane is not connected' }), 4],
  [new FulcrumError({ code: 'DEADLINE_EXCEEDED', message: 'no answer in time' }), 4],
];

for (const [error, exitCode] of codes) {
  test(`${error.code} ${error.reason} ends with ${exitCode}`, async (t) => {
    const fake = await director(t, {
      createVirtualService: async () => {
        throw error;
      },
    });
    const outcome = await run('service add tcp:203.0.113.10:80', fake);
    t.is(outcome.exitCode, exitCode);
    t.is(outcome.complaints, `fulcrum: ${error.message}\n`);
    t.is(outcome.output, '');
  });
}

test('a refused field is named', async (t) => {
  const fake = await director(t, {
    createVirtualService: async () => {
      throw new FulcrumError({
        reason: 'REASON_INVALID',
        field: 'service.key.address',
        message: '0.0.0.0 names no host',
      });
    },
  });
  t.is(
    (await run('service add tcp:0.0.0.0:80', fake)).complaints,
    'fulcrum: service.key.address: 0.0.0.0 names no host\n',
  );
});

test('nobody answers: exit code 4, and the socket is named', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-cli-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const socket = join(directory, 'manager.sock');
  const { exitCode, complaints } = await run(`status --socket ${socket}`);
  t.is(exitCode, 4);
  t.true(complaints.includes(socket));
  t.is(complaints.trimEnd().split('\n').length, 1);
});

test('options that all commands have may stand anywhere', async (t) => {
  const fake = await director(t, {
    getStatus: async () => ({ dataplane: { connected: true } }),
    listVips: async () => ({}),
  });
  const before = await run(`--socket ${fake.socket} -o json vip list`);
  const after = await run(`vip list -o json --socket ${fake.socket}`);
  t.deepEqual(before, after);
  t.deepEqual(JSON.parse(after.output), { vips: [] });
});

test('a service may be written in two words, or in one with a blank', async (t) => {
  const fake = await director(t, { deleteVirtualService: async () => ({ inForce: true }) });
  t.is((await run('service delete tcp 203.0.113.10:80', fake)).exitCode, 0);
  t.is((await runWords(['service', 'delete', 'udp [2001:db8::1]:53'], fake)).exitCode, 0);
  t.is((await run('service delete fwmark:7:ipv6', fake)).exitCode, 0);
  const keys = fake.requests('deleteVirtualService').map(({ key }) => key);
  t.like(keys[0], { protocol: 'PROTOCOL_TCP', address: '203.0.113.10', port: 80 });
  t.like(keys[1], { protocol: 'PROTOCOL_UDP', address: '2001:db8::1', port: 53 });
  t.like(keys[2], { fwmark: 7, family: 'ADDRESS_FAMILY_IPV6' });
});
