// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import type { Operation__Output } from '../../../src/generated/fulcrum/v1/Operation.js';
import { applyOperations, emptyModel } from '../../../src/manager/model.js';
import { addServer, addService, refusal } from './support/operations.js';

const web = 'tcp 192.0.2.1:80';

const notBuilt: readonly (readonly [string, readonly Operation__Output[], string])[] = [
  ['fwmark', [addService('fwm 7')], 'key.fwmark'],
  ['SCTP', [addService('sctp 192.0.2.1:80')], 'key.protocol'],
  ['IPv6', [addService('tcp [2001:db8::1]:80')], 'key.address'],
  ['a persistence engine', [addService(web, { persistenceEngine: 'sip' })], 'spec.persistence_engine'],
  [
    'GRE',
    [
      addService(web),
      addServer(web, '10.0.0.1:80', { method: 'FORWARDING_METHOD_TUN', tunnelType: 'TUNNEL_TYPE_GRE' }),
    ],
    'spec.tunnel_type',
  ],
];

for (const [name, operations, field] of notBuilt) {
  test(`known to LVS, not built yet: ${name}`, (t) => {
    const path = operations.length === 1 ? 'operations[0].add_service' : 'operations[1].add_server';
    const expected = `REASON_NOT_SUPPORTED ${path}.${field}`;
    t.is(
      refusal(() => applyOperations(emptyModel, operations)),
      expected,
    );
  });
}

for (const scheduler of 'rr wrr lc wlc dh sh mh sed nq fo ovf twos'.split(' ')) {
  test(`scheduler ${scheduler} is built`, (t) => {
    t.is(applyOperations(emptyModel, [addService(web, { scheduler, schedulerFlags: 3 })]).model.services.size, 1);
  });
}

for (const scheduler of ['lblc', 'lblcr']) {
  test(`scheduler ${scheduler} is not, and the message says so`, (t) => {
    const attempt = () => applyOperations(emptyModel, [addService(web, { scheduler })]);
    t.is(refusal(attempt), 'REASON_SCHEDULER_NOT_FOUND operations[0].add_service.spec.scheduler');
    t.throws(attempt, { message: /not built yet/ });
  });
}
