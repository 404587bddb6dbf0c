// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import { defaultTimeouts } from '../../../src/config/timeouts.js';
import type { Operation__Output } from '../../../src/generated/fulcrum/v1/Operation.js';
import type { ServerSpec__Output } from '../../../src/generated/fulcrum/v1/ServerSpec.js';
import type { ServiceSpec__Output } from '../../../src/generated/fulcrum/v1/ServiceSpec.js';
import { lvsCapabilities } from '../../../src/manager/capabilities.js';
import { applyOperations, countServers, emptyModel, type Model } from '../../../src/manager/model.js';
import { vipsOf } from '../../../src/manager/vips.js';
import {
  addServer,
  addService,
  deleteServer,
  deleteService,
  editServer,
  editService,
  outline,
  refusal,
  service,
  setMarkRules,
  setTimeouts,
  setTunables,
} from './support/operations.js';

const web = 'tcp 192.0.2.1:80';

function build(...operations: Operation__Output[]): Model {
  return applyOperations(emptyModel, operations, 'APPLY_MODE_ATOMIC', lvsCapabilities).model;
}

function serviceSpecOf(model: Model, id: string) {
  return model.services.get(id)?.spec;
}

function serverSpecOf(model: Model, id: string, server: string) {
  return model.services.get(id)?.servers.get(server)?.spec;
}

test('a new server goes to the head of the list', (t) => {
  const model = build(addService(web), addServer(web, '10.0.0.1:80'), addServer(web, '10.0.0.2:80'));
  t.deepEqual(outline(model), ['TCP 192.0.2.1:80: 10.0.0.2:80 10.0.0.1:80']);
});

test('an edit keeps the position, delete and add moves to the head', (t) => {
  const servers = ['10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:80'].map((key) => addServer(web, key));
  const model = build(addService(web), ...servers, editServer(web, '10.0.0.1:80', { weight: 5 }));
  t.deepEqual(outline(model), ['TCP 192.0.2.1:80: 10.0.0.3:80 10.0.0.2:80 10.0.0.1:80']);
  t.is(serverSpecOf(model, 'TCP 192.0.2.1:80', '10.0.0.1:80')?.weight, 5);
  const moved = applyOperations(model, [deleteServer(web, '10.0.0.1:80'), addServer(web, '10.0.0.1:80')]).model;
  t.deepEqual(outline(moved), ['TCP 192.0.2.1:80: 10.0.0.1:80 10.0.0.3:80 10.0.0.2:80']);
});

test('defaults are those of ipvsadm', (t) => {
  const model = build(addService(web), addServer(web, '10.0.0.1:80'));
  t.is(serviceSpecOf(model, 'TCP 192.0.2.1:80')?.scheduler, 'wlc');
  const spec = serverSpecOf(model, 'TCP 192.0.2.1:80', '10.0.0.1:80');
  t.is(spec?.method, 'FORWARDING_METHOD_DR');
  t.is(spec?.weight, 1);
});

test('weight 0 is a weight, not the default', (t) => {
  const model = build(addService(web), addServer(web, '10.0.0.1:80', { weight: 0 }));
  t.is(serverSpecOf(model, 'TCP 192.0.2.1:80', '10.0.0.1:80')?.weight, 0);
});

test('an edit resets what it does not give', (t) => {
  const model = build(
    addService(web, { scheduler: 'rr', persistenceTimeoutS: 300, persistencePrefix: 24 }),
    addServer(web, '10.0.0.1:80', { method: 'FORWARDING_METHOD_NAT', weight: 7, upperThreshold: 10 }),
    editService(web),
    editServer(web, '10.0.0.1:80'),
  );
  t.like(serviceSpecOf(model, 'TCP 192.0.2.1:80'), { scheduler: 'wlc', persistenceTimeoutS: 0, persistencePrefix: 0 });
  t.like(serverSpecOf(model, 'TCP 192.0.2.1:80', '10.0.0.1:80'), {
    method: 'FORWARDING_METHOD_DR',
    weight: 1,
    upperThreshold: 0,
  });
});

for (const method of ['FORWARDING_METHOD_DR', 'FORWARDING_METHOD_TUN'] as const) {
  test(`${method}: the server has its service's port, whatever is given`, (t) => {
    const model = build(addService(web), addServer(web, '10.0.0.1:8080', { method }));
    t.deepEqual(outline(model), ['TCP 192.0.2.1:80: 10.0.0.1:80']);
  });
}

test('NAT keeps the port that is given, and so does every method of a service by fwmark', (t) => {
  const nat = build(addService(web), addServer(web, '10.0.0.1:8080', { method: 'FORWARDING_METHOD_NAT' }));
  t.deepEqual(outline(nat), ['TCP 192.0.2.1:80: 10.0.0.1:8080']);
  const mark = build(addService('fwm 7'), addServer('fwm 7', '10.0.0.1:8080'));
  t.deepEqual(outline(mark), ['FWM 7: 10.0.0.1:8080']);
});

test('the operations carried out are in normal form', (t) => {
  const { carriedOut } = applyOperations(emptyModel, [addService(web), addServer(web, '10.0.0.1:81')]);
  t.is(carriedOut[0]?.addService?.spec?.scheduler, 'wlc');
  t.is(carriedOut[1]?.addServer?.key?.port, 80);
  t.is(carriedOut[1]?.addServer?.spec?.weight, 1);
});

test('one notation an address: the same service twice is refused however it is written', (t) => {
  const model = build(addService('tcp [2001:db8::1]:80'));
  const again = addService('tcp [2001:DB8:0:0::1]:80');
  const attempt = () => applyOperations(model, [again], 'APPLY_MODE_ATOMIC', lvsCapabilities);
  t.is(refusal(attempt), 'REASON_SERVICE_EXISTS operations[0].add_service.key');
});

const refused: readonly (readonly [string, Operation__Output, string])[] = [
  ['add a service twice', addService(web), 'REASON_SERVICE_EXISTS add_service.key'],
  ['edit an unknown service', editService('udp 192.0.2.1:80'), 'REASON_SERVICE_NOT_FOUND edit_service.key'],
  ['delete an unknown service', deleteService('tcp 192.0.2.1:81'), 'REASON_SERVICE_NOT_FOUND delete_service'],
  ['add to an unknown service', addServer('fwm 9', '10.0.0.2:80'), 'REASON_SERVICE_NOT_FOUND add_server.service'],
  ['add a server twice', addServer(web, '10.0.0.1:80'), 'REASON_SERVER_EXISTS add_server.key'],
  ['add a server twice by its forced port', addServer(web, '10.0.0.1:99'), 'REASON_SERVER_EXISTS add_server.key'],
  ['edit an unknown server', editServer(web, '10.0.0.9:80'), 'REASON_SERVER_NOT_FOUND edit_server.key'],
  ['delete an unknown server', deleteServer(web, '10.0.0.9:80'), 'REASON_SERVER_NOT_FOUND delete_server.key'],
  ['no action', {}, 'REASON_INVALID '],
  ['zero an unknown service', zeroOf('tcp 192.0.2.9:80'), 'REASON_SERVICE_NOT_FOUND zero.service'],
  ['forget an undeclared VIP', { action: 'deleteVip', deleteVip: '192.0.2.1' }, 'REASON_VIP_NOT_FOUND delete_vip'],
  ['a server that names no host', addServer(web, '0.0.0.0:80'), 'REASON_INVALID add_server.key.address'],
  ['a multicast server', addServer(web, '224.0.0.1:80'), 'REASON_INVALID add_server.key.address'],
  ['a broadcast server', addServer(web, '255.255.255.255:80'), 'REASON_INVALID add_server.key.address'],
  ['no address', addServer(web, ':80'), 'REASON_INVALID add_server.key.address'],
  ['half an address', addServer(web, '10.0.0:80'), 'REASON_INVALID add_server.key.address'],
  ['an address with a zero in front', addServer(web, '10.0.0.01:80'), 'REASON_INVALID add_server.key.address'],
  ['port 70000 of a server', addServer(web, '10.0.0.2:70000'), 'REASON_OUT_OF_RANGE add_server.key.port'],
  ['port 70000 of a service', addService('tcp 192.0.2.2:70000'), 'REASON_OUT_OF_RANGE add_service.key.port'],
  [
    'port 0 without persistence',
    addService('tcp 192.0.2.2:0'),
    'REASON_INVALID add_service.spec.persistence_timeout_s',
  ],
  ['no protocol', addService('unspecified 192.0.2.2:80'), 'REASON_INVALID add_service.key.protocol'],
  ['family mismatch', addServer(web, '[2001:db8::1]:80', nat()), 'REASON_FAMILY_MISMATCH add_server.key.address'],
  ['a negative weight', addServer(web, '10.0.0.2:80', { weight: -1 }), 'REASON_OUT_OF_RANGE add_server.spec.weight'],
  [
    'thresholds the wrong way round',
    addServer(web, '10.0.0.2:80', { upperThreshold: 5, lowerThreshold: 6 }),
    'REASON_OUT_OF_RANGE add_server.spec.lower_threshold',
  ],
  [
    'GUE without a port',
    addServer(web, '10.0.0.2:80', tun({ tunnelType: 'TUNNEL_TYPE_GUE' })),
    'REASON_INVALID add_server.spec.tunnel_port',
  ],
  [
    'a tunnel with NAT',
    addServer(web, '10.0.0.2:80', nat({ tunnelType: 'TUNNEL_TYPE_GRE' })),
    'REASON_INVALID add_server.spec.tunnel_type',
  ],
  [
    'an unknown scheduler',
    addService('tcp 192.0.2.2:80', { scheduler: 'rrr' }),
    'REASON_SCHEDULER_NOT_FOUND add_service.spec.scheduler',
  ],
  [
    'an unknown persistence engine',
    addService('tcp 192.0.2.2:80', { persistenceEngine: 'h323' }),
    'REASON_SCHEDULER_NOT_FOUND add_service.spec.persistence_engine',
  ],
  [
    'one-packet scheduling of TCP',
    addService('tcp 192.0.2.2:80', { onePacket: true }),
    'REASON_INVALID add_service.spec.one_packet',
  ],
  [
    'a prefix longer than the address',
    addService('tcp 192.0.2.2:80', { persistencePrefix: 33 }),
    'REASON_OUT_OF_RANGE add_service.spec.persistence_prefix',
  ],
  [
    'persistence of more than a month',
    addService('tcp 192.0.2.2:80', { persistenceTimeoutS: 2_678_401 }),
    'REASON_OUT_OF_RANGE add_service.spec.persistence_timeout_s',
  ],
  [
    'a fourth scheduler flag',
    addService('tcp 192.0.2.2:80', { schedulerFlags: 8 }),
    'REASON_OUT_OF_RANGE add_service.spec.scheduler_flags',
  ],
  ['a timeout of more than a month', setTimeouts({ tcpS: 2_678_401 }), 'REASON_OUT_OF_RANGE set_timeouts.tcp_s'],
  [
    'a server that is known on its link only',
    addServer(web, '[fe80::1]:80', tun()),
    'REASON_INVALID add_server.key.address',
  ],
  [
    'a timeout of a state of more than a month',
    setTimeouts({ sctpCookieEchoedS: 2_678_401 }),
    'REASON_OUT_OF_RANGE set_timeouts.sctp_cookie_echoed_s',
  ],
];

function nat(spec: Partial<ServerSpec__Output> = {}): Partial<ServerSpec__Output> {
  return { method: 'FORWARDING_METHOD_NAT', ...spec };
}

function tun(spec: Partial<ServerSpec__Output> = {}): Partial<ServerSpec__Output> {
  return { method: 'FORWARDING_METHOD_TUN', ...spec };
}

function zeroOf(key: string): Operation__Output {
  return { action: 'zero', zero: { service: service(key) } };
}

for (const [name, operation, expected] of refused) {
  test(`refused, and nothing changes: ${name}`, (t) => {
    const model = build(addService(web), addServer(web, '10.0.0.1:80'));
    const attempt = () => applyOperations(model, [operation], 'APPLY_MODE_ATOMIC', lvsCapabilities);
    t.is(refusal(attempt).replace(/operations\[0\]\.?/, ''), expected);
    const restored = applyOperations(model, [operation], 'APPLY_MODE_RESTORE', lvsCapabilities);
    t.is(restored.model, model);
    t.is(`${restored.results[0]?.reason} ${restored.results[0]?.field}`, expected);
    t.not(restored.results[0]?.message, '');
  });
}

test('LVS takes them, so the model holds them', (t) => {
  const held: readonly (readonly [string, Partial<ServiceSpec__Output>])[] = [
    ['fwm 7', { onePacket: true }],
    ['tcp 192.0.2.2:0', { persistenceTimeoutS: 360 }],
    ['udp 192.0.2.2:53', { onePacket: true, scheduler: 'sh', schedulerFlags: 3 }],
    ['sctp 192.0.2.2:9', { persistenceEngine: 'sip' }],
    ['tcp [2001:db8::1]:80', { persistenceTimeoutS: 1, persistencePrefix: 64 }],
  ];
  const services = held.map(([key, spec]) => addService(key, spec));
  const servers = [
    addServer('fwm 7', '[2001:db8::7]:80', tun({ tunnelType: 'TUNNEL_TYPE_GUE', tunnelPort: 6080 })),
    addServer('fwm 7', '127.0.0.1:80', { upperThreshold: 4, lowerThreshold: 2 }),
  ];
  const model = build(...services, ...servers);
  t.is(model.services.size, held.length);
  t.is(countServers(model), 2);
});

test('a prefix of the full length is the full address', (t) => {
  const model = build(addService(web, { persistenceTimeoutS: 1, persistencePrefix: 32 }));
  t.is(serviceSpecOf(model, 'TCP 192.0.2.1:80')?.persistencePrefix, 0);
});

test('atomic: one refused operation and nothing has happened', (t) => {
  const operations = [addService(web), addServer(web, '10.0.0.1:80'), addServer(web, '10.0.0.1:80')];
  t.is(
    refusal(() => applyOperations(emptyModel, operations)),
    'REASON_SERVER_EXISTS operations[2].add_server.key',
  );
  t.is(emptyModel.services.size, 0);
});

test('restore: a refused operation is reported, the others stay', (t) => {
  const operations = [
    addService(web),
    addService(web),
    addServer(web, '10.0.0.1:80'),
    deleteServer(web, '10.0.0.2:80'),
  ];
  const { model, results, carriedOut } = applyOperations(emptyModel, operations, 'APPLY_MODE_RESTORE');
  t.deepEqual(
    results.map(({ reason }) => reason),
    ['REASON_UNSPECIFIED', 'REASON_SERVICE_EXISTS', 'REASON_UNSPECIFIED', 'REASON_SERVER_NOT_FOUND'],
  );
  t.deepEqual(outline(model), ['TCP 192.0.2.1:80: 10.0.0.1:80']);
  t.is(carriedOut.length, 2);
});

test('an earlier model stays as it was', (t) => {
  const before = build(addService(web), addServer(web, '10.0.0.1:80'));
  const text = JSON.stringify(outline(before));
  applyOperations(before, [
    editServer(web, '10.0.0.1:80', { weight: 9 }),
    addServer(web, '10.0.0.2:80'),
    addService('tcp 192.0.2.2:80'),
    deleteService(web),
  ]);
  t.is(JSON.stringify(outline(before)), text);
  t.is(serverSpecOf(before, 'TCP 192.0.2.1:80', '10.0.0.1:80')?.weight, 1);
});

test('versions: a server edit is new for the server and its service, and for nobody else', (t) => {
  const other = 'tcp 192.0.2.2:80';
  const before = build(
    addService(web),
    addServer(web, '10.0.0.1:80'),
    addServer(web, '10.0.0.2:80'),
    addService(other),
  );
  const { model } = applyOperations(before, [editServer(web, '10.0.0.1:80')]);
  t.is(model.revision, before.revision + 1);
  const edited = model.services.get('TCP 192.0.2.1:80');
  t.is(edited?.version, model.revision);
  t.is(edited?.servers.get('10.0.0.1:80')?.version, model.revision);
  t.is(edited?.servers.get('10.0.0.2:80')?.version, before.revision);
  t.is(model.services.get('TCP 192.0.2.2:80'), before.services.get('TCP 192.0.2.2:80'));
});

test('an edit that changes nothing is an edit; -Z is none of the configuration', (t) => {
  const before = build(addService(web));
  t.is(applyOperations(before, [editService(web)]).model.revision, before.revision + 1);
  const zeroed = applyOperations(before, [zeroOf(web), { action: 'zero', zero: { service: null } }]);
  t.is(zeroed.model, before);
  t.is(zeroed.carriedOut.length, 2);
});

test('flush: services go; declared VIPs, timeouts, tunables and mark rules stay', (t) => {
  const vip = {
    address: '192.0.2.1',
    announce: 'ANNOUNCE_ROUTE',
    state: 'VIP_STATE_UNSPECIFIED',
    services: 0,
  } as const;
  const model = build(
    { action: 'setVip', setVip: vip },
    setTimeouts({ tcpS: 60 }),
    setTunables({ sloppyTcp: 1 }),
    setMarkRules({}),
    addService(web),
    addService('tcp 192.0.2.2:80'),
  );
  t.deepEqual(
    [...vipsOf(model).values()].map(({ address, services }) => [address, services]),
    [
      ['192.0.2.1', 1],
      ['192.0.2.2', 1],
    ],
  );
  const { model: flushed, touched } = applyOperations(model, [{ action: 'flush', flush: {} }]);
  t.is(flushed.services.size, 0);
  t.deepEqual(
    [...flushed.vips.values()],
    [{ address: '192.0.2.1', announce: 'ANNOUNCE_ROUTE', state: 'VIP_STATE_ACTIVE' }],
  );
  t.deepEqual(flushed.timeouts, { ...defaultTimeouts, tcpS: 60 });
  t.deepEqual(flushed.tunables, { sloppyTcp: 1 });
  t.is(flushed.markRules.length, 1);
  t.deepEqual([...touched.services], ['TCP 192.0.2.1:80', 'TCP 192.0.2.2:80']);
  t.deepEqual([...touched.vips], ['192.0.2.1', '192.0.2.2']);
});

test('a VIP keeps what is not given', (t) => {
  const set = (
    announce: 'ANNOUNCE_NONE' | 'ANNOUNCE_UNSPECIFIED',
    state: 'VIP_STATE_STANDBY' | 'VIP_STATE_UNSPECIFIED',
  ) => ({ action: 'setVip', setVip: { address: '192.0.2.1', announce, state, services: 0 } }) as const;
  const model = build(set('ANNOUNCE_NONE', 'VIP_STATE_UNSPECIFIED'), set('ANNOUNCE_UNSPECIFIED', 'VIP_STATE_STANDBY'));
  t.deepEqual(model.vips.get('192.0.2.1'), {
    address: '192.0.2.1',
    announce: 'ANNOUNCE_NONE',
    state: 'VIP_STATE_STANDBY',
  });
});

test('timeouts: 0 keeps, and what is carried out is what was given', (t) => {
  const first = applyOperations(emptyModel, [setTimeouts({ tcpS: 60, sctpInitS: 5 })]);
  const second = applyOperations(first.model, [setTimeouts({ tcpSynRecvS: 7 })]);
  t.deepEqual(second.model.timeouts, { ...defaultTimeouts, tcpS: 60, sctpInitS: 5, tcpSynRecvS: 7 });
  t.deepEqual(second.carriedOut, [{ setTimeouts: setTimeouts({ tcpSynRecvS: 7 }).setTimeouts ?? null }]);
  t.true(second.touched.timeouts);
  t.false(second.touched.tunables);
});

test('mh begins with no more servers than its table has slots; one that is there takes more', (t) => {
  const servers = (count: number) =>
    Array.from({ length: count }, (_, index) => addServer(web, `10.0.${index >> 8}.${index & 255}:80`));
  const full = build(addService(web), ...servers(4_093));
  t.is(countServers(applyOperations(full, [editService(web, { scheduler: 'mh' })]).model), 4_093);
  const tooMany = applyOperations(full, [addServer(web, '10.1.0.0:80')]).model;
  t.is(
    refusal(() => applyOperations(tooMany, [editService(web, { scheduler: 'mh' })])),
    'REASON_INVALID operations[0].edit_service.spec.scheduler',
  );
  const mh = build(addService(web, { scheduler: 'mh' }), ...servers(4_094));
  t.is(countServers(applyOperations(mh, [editService(web, { scheduler: 'mh', schedulerFlags: 1 })]).model), 4_094);
});

test('ten thousand servers in one group cost milliseconds', (t) => {
  const operations = [addService(web)];
  for (let index = 1; index <= 10_000; index++) {
    operations.push(addServer(web, `10.0.${index >> 8}.${index & 255}:80`));
  }
  // The best of a few rounds: the first ones are compiled meanwhile.
  const rounds = Array.from({ length: 5 }, () => {
    const begin = process.cpuUsage();
    t.is(countServers(applyOperations(emptyModel, operations).model), 10_000);
    const { user, system } = process.cpuUsage(begin);
    return (user + system) / 1000;
  });
  t.log(`${Math.min(...rounds)} ms`);
  t.true(Math.min(...rounds) < 60);
});
