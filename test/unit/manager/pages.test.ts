// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import { pageToken, readPageSize, readPageToken, readSequenceToken, takePage } from '../../../src/manager/pages.js';
import { refusal } from './support/operations.js';

const items = [1, 2, 3, 4, 5].map((sequence) => ({ sequence }));

test('page sizes: a default and a limit', (t) => {
  t.deepEqual([0, 1, 10_000, 10_001].map(readPageSize), [1_000, 1, 10_000, 10_000]);
});

test('a token leads to the item after the last one', (t) => {
  const page = takePage(items, { size: 2, kind: 'x' });
  t.deepEqual(
    page.items.map(({ sequence }) => sequence),
    [1, 2],
  );
  t.is(readSequenceToken(page.nextPageToken, 'x'), 2);
});

test('a page that holds all has no token', (t) => {
  t.is(takePage(items, { size: 5, kind: 'x' }).nextPageToken, '');
  t.is(takePage([], { size: 5, kind: 'x' }).nextPageToken, '');
});

test('heavy items end a page early, but one always fits', (t) => {
  const page = takePage(items, { size: 5, kind: 'x', largestWeight: 10 }, ({ sequence }) => sequence * 4);
  t.deepEqual(
    page.items.map(({ sequence }) => sequence),
    [1],
  );
  const heavy = takePage(items, { size: 5, kind: 'x', largestWeight: 1 }, () => 7);
  t.is(heavy.items.length, 1);
});

test('a token of another kind, or of nobody, is refused', (t) => {
  const expected = 'REASON_INVALID page_token';
  t.is(
    refusal(() => readPageToken(pageToken('servers', '1'), 'services')),
    expected,
  );
  t.is(
    refusal(() => readPageToken('%%%', 'services')),
    expected,
  );
  t.is(
    refusal(() => readSequenceToken(pageToken('services', '1x'), 'services')),
    expected,
  );
  t.is(readPageToken('', 'services'), undefined);
});
