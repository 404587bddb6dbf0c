// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import { framesOf, pairsOf, parseCase, singleOf, standardCases } from '../../../src/bench/cases.js';

test('a name tells kind, method, family, flows and protocol', (t) => {
  const dr = { kind: 'hit', method: 'dr', family: 4, tcp: false } as const;
  t.deepEqual(parseCase('dr-1k'), { ...dr, name: 'dr-1k', flows: 1_000 });
  t.deepEqual(parseCase('tun-1'), { ...dr, name: 'tun-1', method: 'tun', flows: 1 });
  t.deepEqual(parseCase('nat6-server-1m-tcp'), {
    ...dr,
    name: 'nat6-server-1m-tcp',
    method: 'nat-server',
    family: 6,
    tcp: true,
    flows: 1_000_000,
  });
  t.deepEqual(parseCase('new-tun6-2m'), {
    ...dr,
    name: 'new-tun6-2m',
    kind: 'new',
    method: 'tun',
    family: 6,
    flows: 2_000_000,
  });
});

test('what names no case is refused', (t) => {
  const names = ['', 'dr', 'dr-', 'dr-0', 'dr-k', 'dr-1g', 'nat-1k', 'dr-1k-udp', 'dr-11m', 'xdr-1k', 'dr-1k '];
  const kinds = ['old-dr-1k', 'new-new-dr-1k', 'dr4-1k', 'nat-client6-1k', 'dr-client-1k'];
  const begunByServers = ['new-nat-server-1k', 'life-nat-server-1k', 'flood-nat6-server-1k'];
  for (const name of [...names, ...kinds, ...begunByServers]) t.is(parseCase(name), undefined, name);
});

test('two workers have two pairs of devices, and one worker to be compared with', (t) => {
  const pairs = parseCase('pairs-nat-server-10k-tcp');
  if (pairs === undefined) return t.fail();
  t.is(pairsOf(pairs), 2);
  t.deepEqual(singleOf(pairs), parseCase('nat-server-10k-tcp'));
});

test('a file holds every flow, or a few frames that are stamped', (t) => {
  const frames = (name: string): number | undefined => {
    const one = parseCase(name);
    return one && framesOf(one);
  };
  t.is(frames('dr-10k'), 10_000);
  t.is(frames('flood-dr-10k'), 10_000);
  t.is(frames('new-dr-2m'), 64);
  t.is(frames('life-dr-2m'), 64);
});

test('a million flows and all that is not a hit are measured only when asked for', (t) => {
  const usual = standardCases(false);
  t.is(usual.length, 12);
  t.true(usual.every(({ kind, flows, family }) => kind === 'hit' && flows <= 200_000 && family === 4));
  const all = standardCases(true);
  t.true(usual.every(({ name }) => all.some((one) => one.name === name)));
  t.deepEqual([...new Set(all.map(({ kind }) => kind))].sort(), ['flood', 'handover', 'hit', 'life', 'new', 'pairs']);
  t.is(new Set(all.map(({ name }) => name)).size, all.length);
});
