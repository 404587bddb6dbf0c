// SPDX-License-Identifier: Apache-2.0
// The monitor's cycle, by a clock of the test's: when tries are made, and what they make of a target.
import test from 'ava';
import { FulcrumError } from '../../../../src/grpc/errors.js';
import { dynamicWeight } from '../../../../src/manager/health/dynamic_weight.js';
import { bad, FakeCheck, good, target, watching } from './support/fake_checks.js';
import { epoch } from './support/fake_clock.js';

test('after a success the next try comes after the interval', async (t) => {
  const { clock, monitor, told } = watching();
  const check = new FakeCheck(clock, { warmupMs: 1000 });
  monitor.set('a', { target, checks: [check.scheduled], initial: 'unknown' });
  await clock.pass(3500);
  t.deepEqual(check.asked, [0, 1000, 2000, 3000]);
  t.deepEqual(told(), ['a up']);
});

test('the first try comes after a random part of the warm-up', async (t) => {
  const { clock, monitor } = watching({ random: () => 0.25 });
  const check = new FakeCheck(clock, { warmupMs: 4000 });
  monitor.set('a', { target, checks: [check.scheduled], initial: 'unknown' });
  await clock.pass(2500);
  t.deepEqual(check.asked, [1000, 2000]);
});

test('before the first result one failure is enough', async (t) => {
  const { clock, monitor, told } = watching();
  const check = new FakeCheck(clock, { fall: 3 });
  check.result = bad;
  monitor.set('a', { target, checks: [check.scheduled], initial: 'unknown' });
  await clock.pass(100);
  t.deepEqual(told(), ['a down tcp: connection refused']);
});

test('while up, a failure is looked into after retry_interval, until there are too many', async (t) => {
  const { clock, monitor, told } = watching();
  const check = new FakeCheck(clock, { fall: 3, retryIntervalMs: 200 });
  monitor.set('a', { target, checks: [check.scheduled], initial: 'unknown' });
  await clock.pass(500);
  check.result = bad;
  await clock.pass(3000);
  t.deepEqual(check.asked, [0, 1000, 1200, 1400, 2400, 3400]);
  t.deepEqual(told(), ['a up', 'a down tcp: connection refused']);
  t.is(monitor.status('a')?.since, epoch + 1400);
});

test('a success in between makes it count anew', async (t) => {
  const { clock, monitor, told } = watching({ random: () => 0.5 });
  const check = new FakeCheck(clock, { fall: 2, warmupMs: 1000 });
  monitor.set('a', { target, checks: [check.scheduled], initial: 'up' });
  for (let count = 0; count < 5; count++) {
    check.result = count % 2 === 0 ? bad : good;
    await clock.pass(1000);
  }
  t.deepEqual(told(), []);
  t.is(monitor.status('a')?.state, 'up');
  t.is(monitor.status('a')?.checks[0]?.failed, 3);
});

test('coming up takes as many successes in a row as rise says', async (t) => {
  const { clock, monitor, told } = watching({ random: () => 0.5 });
  const check = new FakeCheck(clock, { rise: 3, warmupMs: 1000 });
  const results = [good, good, bad, good, good, good];
  monitor.set('a', { target, checks: [check.scheduled], initial: 'down' });
  for (const [index, result] of results.entries()) {
    t.is(monitor.status('a')?.state, 'down', `before try ${index}`);
    check.result = result;
    await clock.pass(1000);
  }
  t.deepEqual(told(), ['a up']);
  t.is(monitor.status('a')?.since, epoch + 5500);
});

test('a server that was up is not taken for new', async (t) => {
  const { clock, monitor, told } = watching();
  const check = new FakeCheck(clock, { fall: 2 });
  check.result = bad;
  monitor.set('a', { target, checks: [check.scheduled], initial: 'up', since: 7 });
  await clock.pass(500);
  t.deepEqual(told(), []);
  t.like(monitor.status('a'), { state: 'up', since: 7, reason: '' });
  t.like(monitor.status('a')?.checks[0], { state: 'up', reason: 'connection refused' });
  await clock.pass(1000);
  t.deepEqual(told(), ['a down tcp: connection refused']);
});

test('all checks must be up, and the reason names those that are not', async (t) => {
  const { clock, monitor, told } = watching();
  const http = new FakeCheck(clock, { key: '1', name: 'http' });
  const mail = new FakeCheck(clock, { key: '2', name: 'mail' });
  mail.result = bad;
  monitor.set('a', { target, checks: [http.scheduled, mail.scheduled], initial: 'unknown' });
  await clock.pass(500);
  http.result = { ok: false, reason: 'status 500, not 200-299', latencyUs: 1 };
  await clock.pass(1000);
  t.is(monitor.status('a')?.reason, 'http: status 500, not 200-299; mail: connection refused');
  mail.result = good;
  await clock.pass(1000);
  t.is(monitor.status('a')?.reason, 'http: status 500, not 200-299');
  http.result = good;
  await clock.pass(1000);
  t.deepEqual(told(), ['a down mail: connection refused', 'a up']);
  t.like(monitor.status('a'), { state: 'up', reason: '', latencyUs: 100, since: epoch + 3000 });
});

test('a target is unknown until all checks have answered', async (t) => {
  const { clock, monitor, told } = watching();
  const quick = new FakeCheck(clock, { key: '1' });
  const slow = new FakeCheck(clock, { key: '2' });
  slow.takesMs = 400;
  monitor.set('a', { target, checks: [quick.scheduled, slow.scheduled], initial: 'unknown' });
  await clock.pass(300);
  t.like(monitor.status('a'), { state: 'unknown', reason: 'not checked yet' });
  await clock.pass(200);
  t.deepEqual(told(), ['a up']);
});

test('the schedule does not drift, and what is missed is skipped', async (t) => {
  const { clock, monitor } = watching();
  const check = new FakeCheck(clock);
  check.takesMs = 30;
  monitor.set('a', { target, checks: [check.scheduled], initial: 'unknown' });
  await clock.pass(2500);
  check.takesMs = 2400;
  await clock.pass(6000);
  t.deepEqual(check.asked, [0, 1000, 2000, 3000, 6000]);
  t.is(monitor.counts().missed, 4);
});

test('what this host cannot ask changes nothing', async (t) => {
  const { clock, monitor, told } = watching();
  const check = new FakeCheck(clock);
  monitor.set('a', { target, checks: [check.scheduled], initial: 'unknown' });
  await clock.pass(500);
  check.result = new FulcrumError({ code: 'FAILED_PRECONDITION', message: 'too many open files' });
  await clock.pass(5000);
  t.deepEqual(told(), ['a up']);
  t.like(monitor.status('a'), { state: 'up', reason: '' });
  t.like(monitor.status('a')?.checks[0], { made: 1, failed: 0, unmade: 5, reason: 'not checked: too many open files' });
  check.result = new TypeError('x is not a function');
  await clock.pass(1000);
  t.is(monitor.status('a')?.checks[0]?.reason, 'not checked: internal error: x is not a function');
  t.is(monitor.counts().unmade, 6);
});

test('weights: told with the state, and when they change', async (t) => {
  const { clock, monitor, told } = watching();
  const one = new FakeCheck(clock, { key: '1' });
  const two = new FakeCheck(clock, { key: '2' });
  one.result = { ...good, weight: 20 };
  two.result = { ...good, weight: 5 };
  monitor.set('a', { target, checks: [one.scheduled, two.scheduled], initial: 'unknown' });
  await clock.pass(500);
  t.deepEqual(told(), ['a up 20 5']);
  await clock.pass(1000);
  t.deepEqual(told(), [], 'nothing new');
  one.result = { ...good, weight: 30 };
  two.result = good;
  await clock.pass(1000);
  t.deepEqual(told().at(-1), 'a up 30');
  one.result = bad;
  await clock.pass(1000);
  t.deepEqual(told(), ['a down tcp: connection refused'], 'a failure takes its weight back');
});

test('weights of several checks add up as keepalived adds them', (t) => {
  t.is(dynamicWeight(10, []), 10);
  t.is(dynamicWeight(10, [20]), 20);
  t.is(dynamicWeight(10, [20, 5]), 15);
  t.is(dynamicWeight(10, [0, 0]), 0);
  t.is(dynamicWeight(2_147_483_000, [2_147_483_647, 2_147_483_647]), 2_147_483_647);
});

test("a check has its own address, port and source, or the target's", async (t) => {
  const { clock, monitor } = watching();
  const own = new FakeCheck(clock, { key: '1', address: '192.0.2.77', port: 8080, source: '192.0.2.1' });
  const usual = new FakeCheck(clock, { key: '2' });
  monitor.set('a', {
    target: { ...target, source: '192.0.2.2' },
    checks: [own.scheduled, usual.scheduled],
    initial: 'up',
  });
  await clock.pass(100);
  t.deepEqual(own.places, [{ address: '192.0.2.77', port: 8080, source: '192.0.2.1' }]);
  t.deepEqual(usual.places, [{ ...target, source: '192.0.2.2' }]);
});

test('set again, the same checks go on as they were, others begin in the state of the target', async (t) => {
  const { clock, monitor, told } = watching();
  const failing = new FakeCheck(clock, { key: 'failing', name: 'failing' });
  const kept = new FakeCheck(clock, { key: 'kept', warmupMs: 0 });
  failing.result = bad;
  monitor.set('a', { target, checks: [failing.scheduled, kept.scheduled], initial: 'unknown' });
  await clock.pass(2500);
  const keptAgain = new FakeCheck(clock, { key: 'kept' });
  monitor.set('a', { target, checks: [keptAgain.scheduled], initial: 'unknown' });
  await clock.pass(1000);
  t.deepEqual(told(), ['a down failing: connection refused', 'a up']);
  t.deepEqual(kept.asked, [0, 1000, 2000, 3000]);
  t.deepEqual(keptAgain.asked, []);
  t.deepEqual(failing.asked, [0, 1000, 2000]);
  const added = new FakeCheck(clock, { key: 'added', fall: 2 });
  added.result = bad;
  monitor.set('a', { target, checks: [kept.scheduled, added.scheduled], initial: 'unknown' });
  await clock.pass(500);
  t.deepEqual(told(), [], 'it was up: two failures are needed');
  await clock.pass(1000);
  t.deepEqual(told(), ['a down tcp: connection refused']);
  monitor.set('a', { target: { ...target, port: 81 }, checks: [kept.scheduled], initial: 'unknown' });
  t.is(monitor.status('a')?.state, 'down');
  await clock.pass(100);
  t.deepEqual(kept.places.at(-1), { ...target, port: 81 });
  t.deepEqual(told(), ['a up']);
});

test('a target that is removed is not asked, aborted, and not told of', async (t) => {
  const { clock, monitor, told } = watching();
  const check = new FakeCheck(clock);
  check.result = bad;
  monitor.set('a', { target, checks: [check.scheduled], initial: 'unknown' });
  await clock.pass(10);
  monitor.remove('a');
  await clock.pass(5000);
  t.deepEqual(told(), [], 'although it had failed just before');
  t.deepEqual(check.asked, [0]);
  t.is(monitor.status('a'), undefined);
  check.takesMs = 300;
  monitor.set('a', { target, checks: [check.scheduled], initial: 'unknown' });
  await clock.pass(100);
  t.is(monitor.counts().underWay, 1);
  monitor.remove('a');
  await clock.pass(1000);
  t.is(check.aborted, 1);
  t.deepEqual(told(), []);
  t.like(monitor.counts(), { targets: 0, checks: 0, underWay: 0, made: 1 });
});

test('stop waits for what is under way, and leaves no timer', async (t) => {
  const { clock, monitor, told } = watching();
  const slow = new FakeCheck(clock);
  slow.takesMs = 300;
  const failing = new FakeCheck(clock);
  failing.result = bad;
  monitor.set('a', { target, checks: [slow.scheduled], initial: 'unknown' });
  monitor.set('b', { target, checks: [failing.scheduled], initial: 'unknown' });
  await clock.pass(10);
  await monitor.stop();
  t.is(slow.aborted, 1);
  t.is(clock.alarms, 0);
  await clock.pass(5000);
  t.deepEqual(told(), []);
  t.throws(() => monitor.set('c', { target, checks: [], initial: 'up' }), { message: 'the monitor is stopped' });
});

test('no more tries at a time than allowed; the others wait their turn', async (t) => {
  const { clock, monitor, told } = watching({ mostUnderWay: 2, random: () => 1 });
  const checks = ['a', 'b', 'c', 'd', 'e'].map((id, index) => {
    const check = new FakeCheck(clock, { warmupMs: index });
    check.takesMs = 100;
    monitor.set(id, { target, checks: [check.scheduled], initial: 'unknown' });
    return check;
  });
  await clock.pass(50);
  t.like(monitor.counts(), { underWay: 2, waiting: 3 });
  monitor.remove('c');
  await clock.pass(900);
  t.deepEqual(
    checks.map(({ asked }) => asked),
    [[0], [1], [], [100], [101]],
  );
  t.deepEqual(told(), ['a up', 'b up', 'd up', 'e up']);
});

test('what changes within a short time is told at once, and what goes on changing soon', async (t) => {
  const { clock, monitor, batches } = watching();
  const checks = Array.from({ length: 2000 }, (_, index) => {
    const check = new FakeCheck(clock);
    monitor.set(`${index}`, { target, checks: [check.scheduled], initial: 'up' });
    return check;
  });
  await clock.pass(500);
  t.is(batches.length, 0);
  for (const check of checks) check.result = bad;
  await clock.pass(1000);
  t.is(batches.length, 1);
  t.is(batches[0]?.length, 2000);
  t.true(batches[0]?.every(({ up, at, reason }) => !up && at === epoch + 1000 && reason === 'tcp: connection refused'));
});

test('a stream of changes is told in ever larger batches, but none waits for long', async (t) => {
  let part = 0;
  const { clock, monitor, batches } = watching({ random: () => (part++ % 1000) / 1000 });
  const toldAt: number[] = [];
  const push = batches.push.bind(batches);
  batches.push = (batch) => {
    toldAt.push(...batch.map(({ at }) => epoch + clock.now() - at));
    return push(batch);
  };
  for (let index = 0; index < 1000; index++) {
    const check = new FakeCheck(clock, { warmupMs: 1000 });
    check.result = bad;
    monitor.set(`${index}`, { target, checks: [check.scheduled], initial: 'up' });
  }
  await clock.pass(1100);
  t.is(batches.flat().length, 1000);
  t.true(batches.length <= 20, `${batches.length} batches`);
  t.true(Math.max(...toldAt) <= 60, `${Math.max(...toldAt)} ms`);
});
