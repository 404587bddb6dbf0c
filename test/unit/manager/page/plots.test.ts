// SPDX-License-Identifier: Apache-2.0
// What is kept to be plotted: within its bounds, and no longer than what it is of.
import test from 'ava';
import { applyOperations, emptyModel, type Model } from '../../../../src/manager/model.js';
import { PlotStore, pointOf } from '../../../../src/manager/page/plots.js';
import type { Sample, ServersSample } from '../../../../src/manager/page/sample.js';
import { addService } from '../support/operations.js';

const begin = 1_000_000;
const ports = (...numbers: readonly number[]): Model =>
  applyOperations(
    emptyModel,
    numbers.map((port) => addService(`tcp 192.0.2.1:${port}`)),
  ).model;
const id = (port: number): string => `TCP 192.0.2.1:${port}`;

/** Each service has as many new connections in a second as its port says. */
function sample(model: Model, second: number): Sample {
  const rates = (connections: number) => ({ connections, inBits: 0, outBits: 0 });
  const services = [...model.services].map(([key, service]) => [key, { rates: rates(service.key.port) }] as const);
  return {
    at: second * 1000,
    rates: rates(7),
    dropped: 2,
    workers: [{ worker: 0, busy: 0.5 }],
    verdicts: new Map([
      ['routed', { packets: 5, rate: 5 }],
      ['no_server', { packets: 0, rate: 0 }],
    ]),
    services: new Map(services),
  } as unknown as Sample;
}

const servers = (second: number, ...names: readonly string[]): ServersSample => ({
  at: second * 1000,
  servers: new Map(
    names.map(
      (name) => [name, { rates: { connections: 1, inBits: 0, outBits: 0 } }] as unknown as readonly [string, never],
    ),
  ),
});

test('of the director, its workers, its services; of verdicts that there were packets of', (t) => {
  const store = new PlotStore();
  const model = ports(80, 81);
  for (let at = 0; at < 200; at++) store.record(sample(model, begin + at), model);
  const second = begin + 199;
  t.deepEqual(store.plots(second)?.dropped.slice(-2), [2, 2]);
  t.deepEqual(store.plots(second, id(81))?.connections.slice(-1), [81]);
  t.is(store.plots(second, id(82)), undefined);
  t.deepEqual(Object.keys(store.verdictSparks(second)), ['routed']);
  // As long as something is known: 200 s, five a value.
  t.deepEqual(store.workerSparks(second), { 0: Array.from({ length: 40 }, () => 0.5) });
  t.deepEqual(pointOf(sample(model, second), id(80)), {
    second,
    connections: 80,
    inBits: 0,
    outBits: 0,
    dropped: null,
  });
  t.is(pointOf(sample(model, second), id(82)), undefined);
});

test('services beyond the bound have no plot until another goes', (t) => {
  const store = new PlotStore({ services: 2, servers: 2 });
  const three = ports(80, 81, 82);
  store.record(sample(three, begin), three);
  const kept = (): readonly boolean[] => [80, 81, 82].map((port) => store.plots(begin, id(port)) !== undefined);
  t.deepEqual(kept(), [true, true, false]);
  const two = ports(81, 82);
  store.record(sample(two, begin + 1), two);
  t.deepEqual(kept(), [false, true, true]);
});

test('real servers likewise, all services together; they go with their service', (t) => {
  const store = new PlotStore({ services: 2, servers: 3 });
  const model = ports(80, 81);
  store.record(sample(model, begin), model);
  const fixed = store.rings;
  store.recordServers(id(80), servers(begin, 'a', 'b'));
  store.recordServers(id(81), servers(begin, 'c', 'd'));
  t.is(store.rings - fixed, 3);
  t.not(store.serverSpark(id(81), 'c', begin), undefined);
  t.is(store.serverSpark(id(81), 'd', begin), undefined);
  store.recordServers(id(80), servers(begin + 1, 'b'));
  store.recordServers(id(81), servers(begin + 1, 'c', 'd'));
  t.not(store.serverSpark(id(81), 'd', begin + 1), undefined);
  const one = ports(80);
  store.record(sample(one, begin + 2), one);
  t.is(store.serverSpark(id(81), 'c', begin + 2), undefined);
  // Three numbers of a service less, and two servers.
  t.is(store.rings, fixed - 3 + 1);
});
