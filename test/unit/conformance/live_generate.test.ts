// SPDX-License-Identifier: Apache-2.0
// Random scenarios of the differential test: the same for the same seed, meaningful, and within what the format allows.
import test from 'ava';
import type { Feature } from '../../conformance/live/generate/options.js';
import { Random } from '../../conformance/live/generate/random.js';
import { everyFeature, generate, kinds, type Wishes } from '../../conformance/live/generate/script.js';
import { buildIcmpError, buildPackets, type IcmpSpec, type PacketSpec } from '../../conformance/packets.js';
import { checkEvent } from '../../conformance/scenario.js';

const wishes: Wishes = { seed: 7, features: everyFeature, only: [], workers: 1 };
const many = Array.from({ length: 600 }, (_, number) => generate(wishes, number));

test('numbers are those of xoshiro128**, whatever machine makes them', (t) => {
  // The state after a step is known by hand for these: 9 · ((5 · s1) <<< 7).
  const random = new Random([1, 2, 3, 4]);
  t.deepEqual(
    Array.from({ length: 4 }, () => random.next()),
    [11520, 0, 5927040, 70819200],
  );
  t.is(Random.of(1, 2).next(), Random.of(1, 2).next());
  t.not(Random.of(1, 2).next(), Random.of(1, 3).next());
  t.not(Random.of(1, 2).next(), Random.of(2, 2).next());
});

test('a range includes both ends and nothing else, weights are probabilities', (t) => {
  const random = Random.of(3, 0);
  const seen = new Set(Array.from({ length: 500 }, () => random.int(-1, 2)));
  t.deepEqual([...seen].sort(), [-1, 0, 1, 2]);
  const counts = { often: 0, seldom: 0, never: 0 };
  for (let i = 0; i < 4000; i++) counts[random.weighted({ often: 3, seldom: 1, never: 0 })]++;
  t.is(counts.never, 0);
  t.true(Math.abs(counts.often - 3000) < 150, `${counts.often} of 4000`);
  t.throws(() => random.pick([]), { message: /nothing to pick/ });
});

test('the same seed and number give the same scenario, others give another one', (t) => {
  t.deepEqual(generate(wishes, 17), many[17]);
  t.notDeepEqual(generate(wishes, 18).events, many[17]?.events);
  t.notDeepEqual(generate({ ...wishes, seed: 8 }, 17).events, many[17]?.events);
});

test('every scenario is one that the runner can read, and its packets can be built', (t) => {
  for (const { name, events } of many) {
    t.true(events.length >= 3, name);
    for (const [index, event] of events.entries()) {
      checkEvent(event, index);
      if (event.op === 'icmp') buildIcmpError(event as unknown as IcmpSpec);
      if (event.op !== 'pkt') continue;
      for (const packet of buildPackets(event as unknown as PacketSpec)) {
        t.true(packet.length <= 1500, `${name}: event ${index}: ${packet.length} bytes`);
      }
    }
  }
});

test('all kinds, protocols, families and forwarding methods are met', (t) => {
  const met = new Set(many.map(({ name }) => name.split('-')[0]));
  t.deepEqual([...met].sort(), [...kinds].sort());
  const lines = many.flatMap(({ config }) => config).join('\n');
  for (const words of [
    '-A -t',
    '-A -u',
    '--sctp-service',
    '-A -f',
    '-6',
    '-g',
    '-m',
    '-i',
    '--tun-type gue',
    '--tun-csum',
  ]) {
    t.true(lines.includes(words), words);
  }
  const schedulers = new Set([...lines.matchAll(/-s (\w+)/g)].map(([, name]) => name));
  t.is(schedulers.size, 13);
  t.false(schedulers.has('twos'), 'its choices are random');
});

test('a scenario uses no feature that is not wanted', (t) => {
  const without = (feature: Feature) => new Set([...everyFeature].filter((one) => one !== feature));
  const text = (feature: Feature): string =>
    JSON.stringify(
      Array.from({ length: 150 }, (_, number) => generate({ ...wishes, features: without(feature) }, number)),
    );
  t.notRegex(text('ipv6'), /2001:db8|"ipv6":true/);
  t.notRegex(text('sctp'), /sctp-service|"sctp"/);
  t.notRegex(text('fwmark'), /-f \d|"fwmark"/);
  t.notRegex(text('tunables'), /"sysctl"/);
  t.notRegex(text('gue'), /tun-type gue/);
  t.notRegex(text('gre'), /tun-type gre/);
  t.notRegex(text('fragments'), /frag_size/);
  t.notRegex(text('persistence'), / -p \d/);
  t.notRegex(text('lblc'), /-s lblc/);
});

test('with several workers only schedulers without an order of connections are used', (t) => {
  const text = JSON.stringify(Array.from({ length: 200 }, (_, number) => generate({ ...wishes, workers: 2 }, number)));
  t.deepEqual(
    [...new Set([...text.matchAll(/-s (\w+)/g)].map(([, name]) => name))].sort(),
    ['dh', 'fo', 'mh', 'nosuch', 'rr', 'sh'].filter((name) => text.includes(`-s ${name}`)).sort(),
  );
  t.notRegex(text, /-A [^"]* -s (wrr|lc|wlc|sed|nq|ovf|lblc)/);
});

test('a kind can be asked for', (t) => {
  for (const kind of kinds) t.true(generate({ ...wishes, only: [kind] }, 3).name.startsWith(kind));
});
