// SPDX-License-Identifier: Apache-2.0
// From readings to shares, by arithmetic: bounds, half-life, dead band; and that a pool that answers to its weights settles.
import test from 'ava';
import {
  bounded,
  nextShare,
  type Scale,
  type Shaping,
  type Share,
  shareOf,
} from '../../../../src/manager/load/shaping.js';

const shaping: Shaping = { least: 10, greatest: 100, halfLifeMs: 10_000, deadBand: 5 };
const atOnce: Shaping = { least: 0, greatest: 25_600, halfLifeMs: 0, deadBand: 0 };
const scale: Scale = { idle: 0, busy: 1 };
const first: Share = { smooth: null, inForce: 100, isMoving: false };

test('a reading between idle and busy is a share between the greatest and the least', (t) => {
  const shares = (readings: readonly number[], of: Scale) => readings.map((reading) => shareOf(reading, of, shaping));
  t.deepEqual(shares([-1, 0, 0.5, 1, 7], scale), [100, 100, 55, 10, 10]);
  t.deepEqual(shares([0, 8, 16], { idle: 0, busy: 16 }), [100, 55, 10]);
  // Where more is better.
  t.deepEqual(shares([50, 25, 0], { idle: 50, busy: 0 }), [100, 55, 10]);
});

test('what was asked for is kept between least and greatest, but for nothing at all', (t) => {
  t.deepEqual(
    [0, 1, 30, 400].map((percent) => bounded(percent, shaping)),
    [0, 10, 30, 100],
  );
});

test('the first reading counts as it is, a later one half of its way after the half-life', (t) => {
  const begun = nextShare(first, 60, 0, shaping);
  t.deepEqual(begun, { smooth: 60, inForce: 60, isMoving: false });
  t.deepEqual(nextShare(begun, 20, 10_000, shaping), { smooth: 40, inForce: 40, isMoving: true });
  t.deepEqual(nextShare(begun, 20, 20_000, shaping), { smooth: 30, inForce: 30, isMoving: true });
});

test('within the dead band the weight rests, at the ends it does not', (t) => {
  const quick = { ...shaping, halfLifeMs: 0 };
  const at = (inForce: number, target: number) =>
    nextShare({ smooth: inForce, inForce, isMoving: false }, target, 1, quick).inForce;
  t.deepEqual([at(60, 64), at(60, 65), at(60, 56), at(60, 55)], [60, 65, 60, 55]);
  t.deepEqual([at(97, 100), at(13, 10), at(96, 99)], [100, 10, 96]);
});

test('what has left the dead band is followed until it rests', (t) => {
  let share: Share = { smooth: 60, inForce: 60, isMoving: false };
  const seen: number[] = [];
  for (let round = 0; round < 12; round++) {
    share = nextShare(share, 50, 4000, shaping);
    seen.push(share.inForce);
  }
  t.deepEqual(seen.slice(0, 4), [60, 60, 54, 53]);
  t.is(seen.at(-1), 53);
  t.false(share.isMoving);
});

test('nothing at all comes and goes at once, and a small share is none', (t) => {
  const drained = nextShare({ smooth: 80, inForce: 80, isMoving: false }, 0, 1, shaping);
  t.deepEqual(drained, { smooth: 0, inForce: 0, isMoving: false });
  t.deepEqual(nextShare(drained, 40, 1, shaping), { smooth: 40, inForce: 40, isMoving: false });
  t.is(nextShare(first, 0.2, 1, atOnce).inForce, 1);
});

/** A pool whose servers are the busier the more weight they have; how often the weights change. */
function pool(
  rounds: number,
  by: Shaping,
): { readonly changes: readonly number[]; readonly shares: readonly number[] } {
  const capacities = [1, 2, 3];
  let shares: Share[] = capacities.map(() => first);
  const changes: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const sum = shares.reduce((total, { inForce }) => total + inForce, 0);
    const next = shares.map((share, index) => {
      const utilization = ((share.inForce / sum) * 4.5) / (capacities[index] as number);
      return nextShare(share, shareOf(utilization, scale, by), 2000, by);
    });
    changes.push(next.filter(({ inForce }, index) => inForce !== shares[index]?.inForce).length);
    shares = next;
  }
  return { changes, shares: shares.map(({ inForce }) => inForce) };
}

test('a pool that is as busy as its weights make it comes to rest; without smoothing and dead band it swings', (t) => {
  const { changes, shares } = pool(200, shaping);
  t.true(changes.slice(60).every((count) => count === 0));
  t.true((shares[0] ?? 0) < (shares[1] ?? 0) && (shares[1] ?? 0) < (shares[2] ?? 0), shares.join());
  const swinging = pool(200, { ...shaping, halfLifeMs: 0, deadBand: 0 });
  t.true(swinging.changes.slice(60).some((count) => count > 0));
});
