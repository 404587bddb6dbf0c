// SPDX-License-Identifier: Apache-2.0
// The limits that the documentation names are those of the code; tokens come at their rate.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { projectRoot } from '../../../../src/grpc/loader.js';
import { usualLimits } from '../../../../src/grpc/tcp/limits.js';
import { TokenBucket } from '../../../../src/grpc/tcp/token_bucket.js';

function textOf([name, value]: readonly [string, number]): string {
  if (name.endsWith('Ms')) return `${value / 1_000} s`;
  return name.endsWith('Bytes') ? `${value / 1_024 / 1_024} MiB` : String(value);
}

test('docs/security.md has every limit, in the order of the code', (t) => {
  const text = readFileSync(join(projectRoot, 'docs', 'security.md'), 'utf8');
  const [, table = ''] = text.split('| what | limit | beyond it |\n|---|---|---|\n');
  const rows = table.split('\n\n')[0]?.split('\n') ?? [];
  t.deepEqual(
    rows.map((row) => row.split('|')[2]?.trim()),
    Object.entries(usualLimits).map(textOf),
  );
});

test('a bucket: a burst, then its rate, and never more than a burst again', (t) => {
  let now = 0;
  const bucket = new TokenBucket(10, 3, () => now);
  t.deepEqual([bucket.take(), bucket.take(), bucket.take()], [0, 0, 0]);
  t.is(bucket.take(), 100);
  now += 60;
  t.is(bucket.take(), 40);
  now += 40;
  t.is(bucket.take(), 0);
  t.false(bucket.isFull());
  now += 60_000;
  t.true(bucket.isFull());
  t.deepEqual([bucket.take(), bucket.take(), bucket.take()], [0, 0, 0]);
  t.true(bucket.take() > 0);
});
