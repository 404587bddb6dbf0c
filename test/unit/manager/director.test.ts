// SPDX-License-Identifier: Apache-2.0
// The single writer: what it does when the disk does not.
import test from 'ava';
import { pino } from 'pino';
import { FulcrumError } from '../../../src/grpc/errors.js';
import { Director, type Edit } from '../../../src/manager/director.js';
import { applyOperations, emptyModel } from '../../../src/manager/model.js';
import type { Group, Reconciler } from '../../../src/manager/reconciler.js';
import type { State } from '../../../src/manager/state_file.js';
import type { Store } from '../../../src/manager/store.js';
import { Broadcaster } from '../../../src/manager/watch.js';
import { addService } from './support/operations.js';

/** A store that keeps what it is told, one save at a time, when the test lets it. */
class FakeStore {
  readonly loaded: State = { lineage: 'lineage-1', generation: 1, model: emptyModel };
  readonly saved: State[] = [];
  readonly #waiting: { readonly state: State; readonly done: () => void; readonly fail: (error: Error) => void }[] = [];

  commit(state: State): Promise<void> {
    return new Promise((done, fail) => {
      this.#waiting.push({ state, done, fail });
    });
  }

  /** Finishes the save under way. */
  finish(error?: Error): void {
    const save = this.#waiting.shift();
    if (save === undefined) throw new Error('nothing is being saved');
    if (error) save.fail(error);
    else {
      this.saved.push(save.state);
      save.done();
    }
  }

  get saving(): number {
    return this.#waiting.length;
  }
}

function rig() {
  const store = new FakeStore();
  const groups: Group[] = [];
  const director = new Director(store as unknown as Store, new Broadcaster('lineage-1'), pino({ level: 'silent' }));
  director.attach({ submit: (group: Group) => groups.push(group) } as unknown as Reconciler);
  return { store, groups, director };
}

function add(port: number, validateOnly = false): Edit {
  const apply: Edit['apply'] = (model) => applyOperations(model, [addService(`tcp 192.0.2.1:${port}`)]);
  return { apply, validateOnly, identity: 'test', method: 'test' };
}

test('nothing is readable or sent before it is durable', async (t) => {
  const { store, groups, director } = rig();
  const edit = director.edit(add(80));
  t.is(director.state.model.services.size, 0);
  t.is(groups.length, 0);
  store.finish();
  t.is((await edit).generation, 2);
  t.is(director.state.model.services.size, 1);
  t.is(groups.length, 1);
});

test('edits that wait together are durable with one write, and a refused one stays alone', async (t) => {
  const { store, groups, director } = rig();
  const first = director.edit(add(80));
  const rest = [add(81), add(80), add(82)].map((edit) => director.edit(edit));
  t.is(store.saving, 1);
  store.finish();
  await first;
  await t.throwsAsync(rest[1] as Promise<unknown>, { instanceOf: FulcrumError, message: /exists already/ });
  t.is(store.saving, 1);
  store.finish();
  await Promise.all([rest[0], rest[2]]);
  t.is(store.saved.length, 2);
  t.deepEqual(
    groups.map(({ generation }) => generation),
    [2, 3, 4],
  );
  t.is(director.state.model.revision, 3);
});

test('a write that fails fails its edits, and nothing has changed', async (t) => {
  const { store, groups, director } = rig();
  const edit = director.edit(add(80));
  store.finish(new Error('ENOSPC: no space left on device'));
  await t.throwsAsync(edit, { message: /nothing was changed: ENOSPC/ });
  t.is(director.state.model.services.size, 0);
  t.is(groups.length, 0);
  // The same edit again, with space.
  const again = director.edit(add(80));
  store.finish();
  t.is((await again).generation, 2);
});

test('validate_only writes nothing, and sees the edits before it', async (t) => {
  const { store, director } = rig();
  t.is((await director.edit(add(80, true))).applied.model.services.size, 1);
  t.is(store.saving, 0);
  const edit = director.edit(add(80));
  store.finish();
  await edit;
  await t.throwsAsync(director.edit(add(80, true)), { message: /exists already/ });
});

test('settle waits for the write under way', async (t) => {
  const { store, director } = rig();
  const edit = director.edit(add(80));
  let settled = false;
  const settling = director.settle().then(() => {
    settled = true;
  });
  await Promise.resolve();
  t.false(settled);
  store.finish();
  await Promise.all([settling, edit]);
  t.true(settled);
});
