// SPDX-License-Identifier: Apache-2.0
// What an explanation says of servers that the dataplane does not have.
import test from 'ava';
import type { Explanation__Output } from '../../../src/generated/fulcrum/v1/Explanation.js';
import { lvsCapabilities } from '../../../src/manager/capabilities.js';
import { explainedPool } from '../../../src/manager/explained_pool.js';
import { applyOperations, emptyModel } from '../../../src/manager/model.js';
import type { Service } from '../../../src/manager/nouns.js';
import { addServer, addService, server } from './support/operations.js';

const key = 'tcp 192.0.2.1:80';
const addresses = ['10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:80'];

function sample(): Service {
  const operations = [addService(key), ...addresses.map((address) => addServer(key, address))];
  const { model } = applyOperations(emptyModel, operations, 'APPLY_MODE_ATOMIC', lvsCapabilities);
  const [service] = model.services.values();
  if (service === undefined) throw new Error('no service');
  return service;
}

function explanation(pool: readonly string[], rest: Partial<Explanation__Output>): Explanation__Output {
  const numbers = { weight: 1, activeConnections: '2', inactiveConnections: '3', overloaded: false, condition: '' };
  const candidates = pool.map((address) => ({ ...numbers, key: server(address) }));
  return { candidates, connection: null, server: null, verdict: '', reason: '', ...rest } as Explanation__Output;
}

const down = 'down: http: connection refused';
const conditionOf = ({ key: { address } }: { key: { address: string } }): string =>
  address === '10.0.0.2' ? down : '';

const said = ({ candidates }: Explanation__Output): readonly string[] =>
  candidates.map(({ key: of, weight, condition }) => `${of?.address} ${weight} ${condition}`.trimEnd());

test('servers that are kept out stand behind the pool, with why', (t) => {
  const chosen = explanation(['10.0.0.3:80', '10.0.0.1:80'], {
    server: server('10.0.0.3:80'),
    verdict: 'forwarded_nat',
  });
  const explained = explainedPool(chosen, sample(), conditionOf);
  t.deepEqual(said(explained), ['10.0.0.3 1', '10.0.0.1 1', `10.0.0.2 0 out, ${down}`]);
  t.is(explained.reason, '');
});

test('a pool that looks empty to the dataplane is not', (t) => {
  const none = explanation([], { verdict: 'no_server', reason: 'no real server takes it: the pool is empty' });
  const explained = explainedPool(none, sample(), conditionOf);
  t.is(explained.reason, 'no real server takes it: the pool is empty; 3 of 3 configured are kept out of it');
  t.deepEqual(said(explained), ['10.0.0.3 0 out', `10.0.0.2 0 out, ${down}`, '10.0.0.1 0 out']);
  // A client that is denied asks no pool.
  const denied = explanation([], { verdict: 'client_denied', reason: 'denied' });
  t.is(explainedPool(denied, sample(), conditionOf).reason, 'denied');
});

test('a server that is not configured, as one for the sorry, keeps what the dataplane says', (t) => {
  const sorry = explanation(['10.9.9.9:80'], { server: server('10.9.9.9:80') });
  t.is(said(explainedPool(sorry, sample(), conditionOf))[0], '10.9.9.9 1');
});

test('what belongs to a connection asks no pool', (t) => {
  const known = explanation([], { connection: {} as Explanation__Output['connection'] });
  t.is(explainedPool(known, sample(), conditionOf), known);
});
