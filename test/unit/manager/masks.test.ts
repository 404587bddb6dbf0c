// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import { mergeSpec } from '../../../src/manager/masks.js';
import { refusal } from './support/operations.js';

const current = { scheduler: 'rr', persistenceTimeoutS: 60, onePacket: true };
const given = { scheduler: 'lc', persistenceTimeoutS: 0, onePacket: false };

test('without a mask the given spec replaces the current one', (t) => {
  t.is(mergeSpec(current, given, undefined), given);
  t.is(mergeSpec(current, given, { paths: [] }), given);
  t.is(mergeSpec(current, given, { paths: ['spec.scheduler', 'spec'] }), given);
  t.is(mergeSpec(current, null, undefined), null);
});

test('with a mask only the fields that it names', (t) => {
  t.deepEqual(mergeSpec(current, given, { paths: ['spec.persistence_timeout_s'] }), {
    ...current,
    persistenceTimeoutS: 0,
  });
  t.deepEqual(mergeSpec(current, given, { paths: ['spec.scheduler', 'spec.one_packet'] }), {
    scheduler: 'lc',
    persistenceTimeoutS: 60,
    onePacket: false,
  });
  t.is(current.scheduler, 'rr');
});

for (const path of ['spec.colour', 'scheduler', 'key', 'spec.constructor', 'spec.']) {
  test(`a field that is none is refused: ${path}`, (t) => {
    const merge = () => mergeSpec(current, given, { paths: ['spec.scheduler', path] });
    t.is(refusal(merge), 'REASON_INVALID update_mask.paths[1]');
  });
}

test('a mask needs a spec', (t) => {
  t.is(
    refusal(() => mergeSpec(current, null, { paths: ['spec.scheduler'] })),
    'REASON_INVALID spec',
  );
});
