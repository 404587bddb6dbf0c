// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import { EditedMap } from '../../../src/manager/edited_map.js';
import { applyOperations, emptyModel } from '../../../src/manager/model.js';
import { addServer, addService, editServer } from './support/operations.js';

const many = new Map(Array.from({ length: 1_000 }, (_, index) => [`k${index}`, index] as const));

test('an edited map is the map that a copy would be', (t) => {
  let edited: ReadonlyMap<string, number> = many;
  const copy = new Map<string, number>(many);
  for (let edit = 0; edit < 100; edit++) {
    const changes = new Map([[`k${(edit * 37) % 1_000}`, -edit]]);
    edited = EditedMap.edit(edited, changes);
    for (const [key, value] of changes) copy.set(key, value);
    t.deepEqual([...edited], [...copy]);
    t.deepEqual([...edited.values()], [...copy.values()]);
    t.deepEqual([...edited.keys()], [...copy.keys()]);
    t.is(edited.size, 1_000);
    t.is(edited.get('k37'), copy.get('k37'));
    t.is(edited.get('none'), undefined);
    t.false(edited.has('none'));
  }
  t.is(many.get('k37'), 37);
});

test('a few edits copy nothing, many are a copy once', (t) => {
  const one = EditedMap.edit(many, new Map([['k1', -1]]));
  t.true(one instanceof EditedMap);
  t.true(EditedMap.edit(one, new Map([['k1', -2]])) instanceof EditedMap);
  const hundred = new Map(Array.from({ length: 100 }, (_, index) => [`k${index}`, 0] as const));
  t.true(EditedMap.edit(one, hundred) instanceof Map);
  t.true(EditedMap.edit(new Map([['a', 1]]), new Map([['a', 2]])) instanceof Map);
});

test('an edit of one of many services shares the others; adding and deleting goes on from there', (t) => {
  const name = (index: number): string => `tcp 192.0.2.${1 + (index % 200)}:${1 + index}`;
  const operations = Array.from({ length: 1_000 }, (_, index) => [
    addService(name(index)),
    addServer(name(index), `10.0.0.1:${1 + index}`),
  ]);
  const before = applyOperations(emptyModel, operations.flat()).model;
  const { model: after } = applyOperations(before, [editServer(name(500), '10.0.0.1:501', { weight: 9 })]);
  t.true(after.services instanceof EditedMap);
  const different = [...after.services].filter(([id, service]) => before.services.get(id) !== service);
  t.deepEqual(
    different.map(([id]) => id),
    [`TCP ${name(500).slice(4)}`],
  );
  const { model: more } = applyOperations(after, [
    editServer(name(500), '10.0.0.1:501', { weight: 10 }),
    addService('udp 192.0.2.1:1'),
    { action: 'deleteService', deleteService: [...after.services.values()][0]?.key ?? null },
  ]);
  t.is(more.services.size, 1_000);
  t.is([...more.services.keys()].at(-1), 'UDP 192.0.2.1:1');
  t.is([...(more.services.get(`TCP ${name(500).slice(4)}`)?.servers.values() ?? [])][0]?.spec.weight, 10);
  t.is([...(after.services.get(`TCP ${name(500).slice(4)}`)?.servers.values() ?? [])][0]?.spec.weight, 9);
});
