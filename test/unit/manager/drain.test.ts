// SPDX-License-Identifier: Apache-2.0
// A drain as a value, and what it makes of a server's weight without checks: pool.test.ts has what it does with them.
import test from 'ava';
import type { Drain__Output } from '../../../src/generated/fulcrum/v1/Drain.js';
import type { Operation } from '../../../src/generated/fulcrum/v1/Operation.js';
import { drainText, readDrain } from '../../../src/manager/drain.js';
import { recordText, replay } from '../../../src/manager/journal.js';
import { inForceMessage, virtualServiceMessage } from '../../../src/manager/messages.js';
import { applyOperations, emptyModel, type Model } from '../../../src/manager/model.js';
import { parseState, serializeState } from '../../../src/manager/state_file.js';
import { addServer, addService, deleteServer, editServer, refusal, setDrain } from './support/operations.js';

const web = 'tcp 192.0.2.1:80';
const [one, two] = ['10.0.0.1:80', '10.0.0.2:80'] as const;
const now = Date.parse('2026-05-01T12:00:00Z');
const nothing: Drain__Output = { atEnd: 'DRAIN_END_UNSPECIFIED', timeoutMs: 0, deadline: '', since: '', ended: '' };
const begin = applyOperations(emptyModel, [
  addService(web, { scheduler: 'wrr' }),
  addServer(web, one, { weight: 3 }),
  addServer(web, two, { weight: 0 }),
]).model;

const read = (given: Partial<Drain__Output>) => readDrain({ ...nothing, ...given }, now, 'drain');

test('a timeout becomes a deadline; without one there is none', (t) => {
  t.deepEqual(read({ timeoutMs: 300_000, atEnd: 'DRAIN_END_REMOVE' }), {
    atEnd: 'DRAIN_END_REMOVE',
    deadline: '2026-05-01T12:05:00.000Z',
    since: '2026-05-01T12:00:00.000Z',
    ended: '',
  });
  t.like(read({}), { atEnd: 'DRAIN_END_KEEP', deadline: '' });
  t.is(read({ deadline: '2026-05-01T14:00:00+01:30' }).deadline, '2026-05-01T12:30:00.000Z');
  t.is(drainText(read({})), 'until no connection is left, then kept');
  const until = 'until 2026-05-01T12:00:01.000Z or no connection is left, then removed';
  t.is(drainText(read({ timeoutMs: 1_000, atEnd: 'DRAIN_END_REMOVE' })), until);
});

test('bad input names its field', (t) => {
  const at = (given: Partial<Drain__Output>) => refusal(() => read(given));
  t.is(at({ timeoutMs: 1, deadline: '2026-05-01T12:00:00Z' }), 'REASON_INVALID drain.deadline');
  t.is(at({ deadline: 'tomorrow' }), 'REASON_INVALID drain.deadline');
  t.is(at({ deadline: '2026-05-01' }), 'REASON_INVALID drain.deadline');
  t.is(at({ deadline: '2026-13-01T12:00:00Z' }), 'REASON_INVALID drain.deadline');
  t.is(at({ since: 'x' }), 'REASON_INVALID drain.since');
  t.is(at({ ended: 'x' }), 'REASON_INVALID drain.ended');
  t.is(at({ atEnd: 77 as never }), 'REASON_INVALID drain.at_end');
  const edit = (...operations: Parameters<typeof applyOperations>[1]) =>
    refusal(() => applyOperations(begin, operations));
  t.is(edit(setDrain('tcp 192.0.2.9:80', one, {})), 'REASON_SERVICE_NOT_FOUND operations[0].set_drain.service');
  t.is(edit(setDrain(web, '10.0.0.9:80', {})), 'REASON_SERVER_NOT_FOUND operations[0].set_drain.key');
  t.is(edit(setDrain(web, one, { deadline: '5m' })), 'REASON_INVALID operations[0].set_drain.drain.deadline');
  t.is(edit(setDrain(web, one, null)), 'REASON_INVALID operations[0].set_drain.drain');
});

const weights = (effects: readonly Operation[]) =>
  effects.map(({ editServer: edit, addServer: add }) => (edit ?? add)?.spec?.weight);
const inForce = (model: Model) =>
  inForceMessage(model).services?.flatMap(({ servers }) => servers?.map(({ spec }) => spec?.weight));

test('the dataplane gets weight 0, and the wanted weight when it is called off', (t) => {
  const drained = applyOperations(begin, [setDrain(web, one, {})]);
  t.deepEqual(weights(drained.effects), [0]);
  t.deepEqual(inForce(drained.model), [0, 0]);
  t.is(drained.model.services.get('TCP 192.0.2.1:80')?.servers.get(one)?.spec.weight, 3);
  // An edit meanwhile is for later.
  const edited = applyOperations(drained.model, [editServer(web, one, { weight: 7 })]);
  t.deepEqual(weights(edited.effects), [0]);
  const back = applyOperations(edited.model, [setDrain(web, one, null)]);
  t.deepEqual(weights(back.effects), [7]);
  t.deepEqual(inForce(back.model), [7, 0]);
});

test('what changes nothing in force is not sent: wrr would begin anew', (t) => {
  const { model } = applyOperations(begin, [setDrain(web, one, {})]);
  t.deepEqual(applyOperations(model, [setDrain(web, one, { timeoutMs: 5_000 })]).effects, []);
  t.deepEqual(applyOperations(begin, [setDrain(web, two, {})]).effects, []);
});

test('it ends with its server', (t) => {
  const { model } = applyOperations(begin, [setDrain(web, one, {}), deleteServer(web, one), addServer(web, one)]);
  t.is(model.services.get('TCP 192.0.2.1:80')?.servers.get(one)?.drain, null);
});

test('it is told with its server', (t) => {
  const { model } = applyOperations(begin, [
    setDrain(web, one, { deadline: '2030-01-01T00:00:00Z', atEnd: 'DRAIN_END_RESET', since: '2026-05-01T12:00:00Z' }),
    setDrain(web, two, { ended: '2026-05-02T12:00:00Z' }),
  ]);
  const service = model.services.get('TCP 192.0.2.1:80');
  const { servers = [], pool } = service === undefined ? {} : virtualServiceMessage(service, 'lineage');
  t.deepEqual(
    pool?.map(({ spec }) => spec?.weight),
    [0, 0],
  );
  t.like(servers[1], {
    condition: {
      state: 'SERVER_STATE_DRAINING',
      reason: 'until 2030-01-01T00:00:00.000Z or no connection is left, then what is left is reset',
      since: '2026-05-01T12:00:00.000Z',
      inPool: true,
      effectiveWeight: 0,
    },
    spec: { weight: 3 },
    drain: { atEnd: 'DRAIN_END_RESET', deadline: '2030-01-01T00:00:00.000Z' },
  });
  t.like(servers[0], { condition: { state: 'SERVER_STATE_DRAINED', since: '2026-05-02T12:00:00.000Z' } });
});

test('journal and state file bring it back as it was, not later', (t) => {
  const applied = applyOperations(begin, [setDrain(web, one, { timeoutMs: 60_000, atEnd: 'DRAIN_END_REMOVE' })]);
  const state = { lineage: 'l', generation: 1, model: begin };
  const record = recordText({ generation: 2, operations: applied.carriedOut }, 'l');
  const wanted = applied.model.services.get('TCP 192.0.2.1:80')?.servers.get(one)?.drain;
  t.truthy(wanted);
  const replayed = replay(state, Buffer.from(record)).state;
  const parsed = parseState(Buffer.from(serializeState({ ...state, model: applied.model })));
  for (const { model } of [replayed, parsed])
    t.deepEqual(model.services.get('TCP 192.0.2.1:80')?.servers.get(one)?.drain, wanted);
  t.is(parsed.model.services.get('TCP 192.0.2.1:80')?.servers.get(two)?.drain, null);
});
