// SPDX-License-Identifier: Apache-2.0
// The conformance runner against the recordings themselves: what it builds, how it reads packets, what it compares.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { projectRoot } from '../../../src/grpc/loader.js';
import { compareOutcome, differenceText } from '../../conformance/compare.js';
import { describeFrame, type OutItem } from '../../conformance/frames.js';
import { buildIcmpError, buildPackets, type IcmpSpec, type PacketSpec } from '../../conformance/packets.js';
import { type Json, readScenario, scenarioNames, splitWords } from '../../conformance/scenario.js';

const directory = join(projectRoot, 'test/conformance');
const scenarios = scenarioNames(directory).map((name) => readScenario(directory, name));

test('packets are built as they were recorded, to the byte', (t) => {
  let compared = 0;
  for (const { name, events, golden } of scenarios) {
    for (const [index, event] of events.entries()) {
      const recorded = golden[index]?.in;
      if (recorded === undefined) continue;
      const built =
        event.op === 'icmp'
          ? [buildIcmpError(event as unknown as IcmpSpec)]
          : buildPackets(event as unknown as PacketSpec);
      t.deepEqual(
        built.map((packet) => packet.toString('hex')),
        recorded as string[],
        `${name}: event ${index}`,
      );
      compared++;
    }
  }
  t.true(compared > 150, `${compared} compared`);
});

test('packets are read as they were recorded', (t) => {
  let compared = 0;
  for (const { name, events, golden, guePorts } of scenarios) {
    for (const index of events.keys()) {
      for (const item of (golden[index]?.out ?? []) as readonly OutItem[]) {
        const packet = Buffer.from(item.hex, 'hex');
        const etherType = (packet[0] ?? 0) >> 4 === 6 ? 0x86dd : 0x0800;
        const frame = { dev: item.dev, dmac: item.dmac, etherType, packet };
        t.deepEqual(describeFrame(frame, guePorts, item.masked), item, `${name}: event ${index}`);
        compared++;
      }
    }
  }
  t.true(compared > 150, `${compared} compared`);
});

const item: OutItem = {
  dev: 'rs',
  via: 'dr',
  to: '10.0.2.11',
  sum: 'as it reads',
  hex: '0102',
  dmac: '02:00:00:00:02:0b',
};
const connection = { pro: 'TCP', c: '10.0.0.1:1', v: '10.0.0.2:80', d: '10.0.0.3:80', state: 'SYN_RECV', exp: 59 };
const row = ['TCP 10.0.0.2:80', 1, 2, 0, 80, 0];
const serverRow = ['-> 10.0.0.3:80', 1, 2, 0, 80, 0];

const agree: readonly (readonly [string, Json, Json])[] = [
  ['index and operation are not part of it', { i: 0, op: 'pkt', out: [] }, { out: [] }],
  ['seconds left may differ by two', { conns: [connection] }, { conns: [{ ...connection, exp: 57 }] }],
  ['the text of a packet', { out: [item] }, { out: [{ ...item, sum: 'otherwise' }] }],
  ['frames of different ports', { out: [item, { ...item, dev: 'cl' }] }, { out: [{ ...item, dev: 'cl' }, item] }],
  [
    'the order of services',
    { stats: [['UDP 10.0.0.9:53', 0, 0, 0, 0, 0], row, serverRow] },
    { stats: [row, serverRow, ['UDP 10.0.0.9:53', 0, 0, 0, 0, 0]] },
  ],
];

const differ: readonly (readonly [string, Json, Json])[] = [
  ['seconds left by three', { conns: [connection] }, { conns: [{ ...connection, exp: 56 }] }],
  ['a state', { conns: [connection] }, { conns: [{ ...connection, state: 'ESTABLISHED' }] }],
  ['a connection too few', { conns: [connection] }, { conns: [] }],
  ['a byte', { out: [item] }, { out: [{ ...item, hex: '0103' }] }],
  ['a MAC', { out: [item] }, { out: [{ ...item, dmac: '02:00:00:00:02:0c' }] }],
  ['a port', { out: [item] }, { out: [{ ...item, dev: 'cl' }] }],
  ['a packet too many', { out: [] }, { out: [item] }],
  ['a packet too few', { out: [item, item] }, { out: [item] }],
  ['the order of packets', { out: [item, { ...item, hex: '03' }] }, { out: [{ ...item, hex: '03' }, item] }],
  ['a chosen server', { chosen: ['10.0.2.11', null] }, { chosen: ['10.0.2.11', '10.0.2.12'] }],
  [
    'the order of servers',
    { stats: [row, serverRow, ['-> 10.0.0.4:80']] },
    { stats: [row, ['-> 10.0.0.4:80'], serverRow] },
  ],
  ['a status', { rc: 0 }, { rc: 255 }],
  ['an output that nobody expects', { rc: 0 }, { rc: 0, stderr: 'oops\n' }],
  ['an output that is missing', { rc: 0, stdout: 'x\n' }, { rc: 0 }],
];

for (const [title, recorded, outcome] of agree) {
  test(`agrees: ${title}`, (t) => t.is(compareOutcome(recorded, outcome), undefined));
}

for (const [title, recorded, outcome] of differ) {
  test(`differs: ${title}`, (t) => {
    const difference = compareOutcome(recorded, outcome);
    t.truthy(difference);
    if (difference) t.regex(differenceText(difference), /^expected .* got .*/);
  });
}

function withScenario(scenario: object, golden: object, use: (directory: string) => void): void {
  const temporary = mkdtempSync(join(tmpdir(), 'fulcrum-scenario-'));
  for (const [part, content] of Object.entries({ scenarios: scenario, golden })) {
    mkdirSync(join(temporary, part));
    writeFileSync(join(temporary, part, 'one.json'), JSON.stringify(content));
  }
  try {
    use(temporary);
  } finally {
    rmSync(temporary, { recursive: true });
  }
}

const unreadable: readonly (readonly [string, object, object, RegExp])[] = [
  ['an operation', { events: [{ op: 'dance' }] }, { events: [{}] }, /event 0: the operation "dance"/],
  ['a field of an event', { events: [{ op: 'wait', s: 1 }] }, { events: [{}] }, /event 0: the field "s" of wait/],
  ['a field of the scenario', { events: [], ipv7: true }, { events: [] }, /the field "ipv7"/],
  ['an event that is not recorded', { events: [{ op: 'list' }] }, { events: [] }, /1 events, but 0 are recorded/],
];

for (const [title, scenario, golden, message] of unreadable) {
  test(`nothing is skipped: ${title}`, (t) => {
    withScenario(scenario, golden, (temporary) => {
      t.throws(() => readScenario(temporary, 'one'), { message });
    });
  });
}

test('words of a command line', (t) => {
  t.deepEqual(splitWords(`-A  -t [2001:db8::1]:80 -s "w r" 'x'y`), ['-A', '-t', '[2001:db8::1]:80', '-s', 'w r', 'xy']);
});
