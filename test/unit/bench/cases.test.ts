// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import { parseCase, standardCases } from '../../../src/bench/cases.js';

test('a name tells kind, flows and protocol', (t) => {
  t.deepEqual(parseCase('dr-1k'), { name: 'dr-1k', flows: 1_000 });
  t.deepEqual(parseCase('nat-server-1m-tcp'), { name: 'nat-server-1m-tcp', flows: 1_000_000 });
  t.deepEqual(parseCase('tun-1'), { name: 'tun-1', flows: 1 });
});

test('what names no case is refused', (t) => {
  for (const name of ['', 'dr', 'dr-', 'dr-0', 'dr-k', 'dr-1g', 'nat-1k', 'dr-1k-udp', 'dr-11m', 'xdr-1k', 'dr-1k '])
    t.is(parseCase(name), undefined, name);
});

test('a million flows are measured only when asked for', (t) => {
  const names = (all: boolean): readonly string[] => standardCases(all).map(({ name }) => name);
  t.is(names(false).length, 12);
  t.false(names(false).some((name) => name.endsWith('-1m')));
  t.deepEqual(
    names(true).filter((name) => !names(false).includes(name)),
    ['dr-1m', 'tun-1m', 'nat-client-1m', 'nat-server-1m'],
  );
});
