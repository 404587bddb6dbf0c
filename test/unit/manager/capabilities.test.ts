// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import type { Operation__Output } from '../../../src/generated/fulcrum/v1/Operation.js';
import { applyOperations, emptyModel } from '../../../src/manager/model.js';
import { addServer, addService, editService, refusal } from './support/operations.js';

const web = 'tcp 192.0.2.1:80';

const notBuilt: readonly (readonly [string, readonly Operation__Output[], string])[] = [
  ['with -A', [addService(web, { persistenceEngine: 'sip' })], 'operations[0].add_service'],
  ['with -E', [addService(web), editService(web, { persistenceEngine: 'sip' })], 'operations[1].edit_service'],
];

for (const [name, operations, path] of notBuilt) {
  test(`known to LVS, not built yet: a persistence engine ${name}`, (t) => {
    const attempt = () => applyOperations(emptyModel, operations);
    t.is(refusal(attempt), `REASON_NOT_SUPPORTED ${path}.spec.persistence_engine`);
    t.throws(attempt, { message: /not built yet/ });
  });
}

for (const scheduler of 'rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf twos'.split(' ')) {
  test(`scheduler ${scheduler} is built`, (t) => {
    t.is(applyOperations(emptyModel, [addService(web, { scheduler, schedulerFlags: 3 })]).model.services.size, 1);
  });
}

const tunnel = { method: 'FORWARDING_METHOD_TUN' } as const;
const six = 'tcp [2001:db8::1]:80';

const built: readonly (readonly [string, readonly Operation__Output[]])[] = [
  ['fwmark', [addService('fwm 7'), addServer('fwm 7', '10.0.0.1:0')]],
  ['SCTP', [addService('sctp 192.0.2.1:80'), addServer('sctp 192.0.2.1:80', '10.0.0.1:80')]],
  ['IPv6', [addService(six), addServer(six, '[2001:db8::2]:80')]],
  ['6in4', [addService(six), addServer(six, '10.0.0.1:80', tunnel)]],
  ['4in6', [addService(web), addServer(web, '[2001:db8::2]:80', tunnel)]],
  ['GRE', [addService(web), addServer(web, '10.0.0.1:80', { ...tunnel, tunnelType: 'TUNNEL_TYPE_GRE' })]],
  [
    'GUE',
    [addService(web), addServer(web, '10.0.0.1:80', { ...tunnel, tunnelType: 'TUNNEL_TYPE_GUE', tunnelPort: 6080 })],
  ],
];

for (const [name, operations] of built) {
  test(`${name} is built`, (t) => {
    t.is(applyOperations(emptyModel, operations).carriedOut.length, operations.length);
  });
}
