// SPDX-License-Identifier: Apache-2.0
// Numbers and times as the page shows them; the paths of its small plots; its addresses.
import test from 'ava';
import { bits, clock, compact, counted, duration, latency, percent, whole } from '../../../src/web/format.js';
import { readRoute, serviceAddress, streamPath, wholeList } from '../../../src/web/route.js';
import { sparkPaths } from '../../../src/web/spark.js';

test('numbers', (t) => {
  const cases: readonly (readonly [number | null, string])[] = [
    [null, '–'],
    [0, '0'],
    [7.25, '7.3'],
    [12.4, '12'],
    [999, '999'],
    [999.7, '1 k'],
    [1250, '1.25 k'],
    [12_345, '12.3 k'],
    [999_499, '999 k'],
    [999_500, '1 M'],
    [2.5e9, '2.5 G'],
    [-1500, '-1.5 k'],
  ];
  for (const [value, text] of cases) t.is(compact(value), text);
  t.is(bits(8_380_000), '8.38 Mbit/s');
  t.is(bits(0), '0 bit/s');
  t.is(whole(1_234_567), '1\u202f234\u202f567');
  t.is(percent(0.0512), '5.1 %');
  t.is(percent(1), '100 %');
  t.is(counted(1, 'worker'), '1 worker');
  t.is(counted(0, 'worker'), '0 workers');
});

test('times', (t) => {
  t.is(duration(59_900), '59 s');
  t.is(duration(61_000), '1 min');
  t.is(duration(3 * 3_600_000 + 20 * 60_000), '3 h 20 min');
  t.is(duration(50 * 3_600_000), '2 d 2 h');
  t.is(latency(350), '350 µs');
  t.is(latency(6_420), '6.4 ms');
  t.is(latency(2_400_000), '2.4 s');
  const noon = new Date(2026, 4, 1, 12, 0, 0);
  t.is(clock(noon.getTime(), noon), '12:00:00');
  t.is(clock(noon.getTime(), new Date(2026, 4, 2)), '2026-05-01 12:00:00');
  t.is(clock(''), '');
});

test('a small plot: lines between what is known, nothing where nothing is', (t) => {
  const { line, area } = sparkPaths([null, 0, 10, null, 5]);
  // Two lines: ground to top over a quarter of the width each, and a dot at half height.
  t.is(line, 'M30 26.5L60 1.5M120 14h0.01');
  t.is(area, 'M30 26.5L30 26.5L60 1.5L60 26.5ZM120 26.5L120 14L120 26.5Z');
  t.deepEqual(sparkPaths([]), { line: '', area: '' });
  t.deepEqual(sparkPaths([null, null]), { line: '', area: '' });
  // All 0 is a line on the ground; a share is measured by 1.
  t.is(sparkPaths([0, 0]).line, 'M0 26.5L120 26.5');
  t.is(sparkPaths([0.5, 2], 1).line, 'M0 14L120 1.5');
});

test('addresses of pages and of their streams', (t) => {
  t.deepEqual(readRoute(''), { page: 'overview' });
  t.deepEqual(readRoute('#/'), { page: 'overview' });
  const key = 'tcp:[2001:db8::1]:80';
  t.deepEqual(readRoute(serviceAddress(key)), { page: 'service', key });
  t.deepEqual(readRoute('#/service/tcp:%5B2001:db8::1%5D:80'), { page: 'service', key });
  t.deepEqual(readRoute('#/service/%zz'), { page: 'service', key: '%zz' });
  t.is(streamPath({ page: 'overview' }, wholeList), '/page/stream');
  const query = new URL(`http://x${streamPath({ page: 'service', key }, { sort: '-rate', filter: 'a&b', from: 100 })}`);
  t.deepEqual(
    [...query.searchParams],
    [
      ['service', key],
      ['sort', '-rate'],
      ['filter', 'a&b'],
      ['from', '100'],
    ],
  );
});
