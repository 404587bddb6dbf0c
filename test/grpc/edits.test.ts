// SPDX-License-Identifier: Apache-2.0
// Creating, changing and deleting through the API of a manager that runs.
import test from 'ava';
import { defaultTimeouts } from '../../src/config/timeouts.js';
import type { Operation } from '../../src/generated/fulcrum/v1/Operation.js';
import { failure, startRig, tcp, webService } from './support/director.js';

const vip = '192.0.2.1';
const key = tcp(vip);

test('create, read, update and delete a service; the dataplane follows', async (t) => {
  const { client, dataplane } = await startRig(t);
  const created = await client.createVirtualService({ service: webService(vip, '10.0.0.1', '10.0.0.2') });
  t.true(created.inForce);
  t.deepEqual(dataplane.outline(), ['192.0.2.1:80: 10.0.0.1:8080=1 10.0.0.2:8080=1']);

  const { service } = await client.getVirtualService({ key });
  t.deepEqual(service, created.service);
  t.deepEqual(
    service?.servers.map((server) => server.key?.address),
    ['10.0.0.2', '10.0.0.1'],
  );

  const updated = await client.updateVirtualService({ service: { key, spec: { scheduler: 'wrr' } } });
  t.is(updated.service?.spec?.scheduler, 'wrr');
  t.not(updated.service?.etag, service?.etag);

  t.true((await client.deleteVirtualService({ key })).inForce);
  t.deepEqual(dataplane.outline(), []);
  t.is(await failure(client.getVirtualService({ key })), 'NOT_FOUND REASON_SERVICE_NOT_FOUND key');
});

test('create, update and delete a server', async (t) => {
  const { client, dataplane } = await startRig(t);
  await client.createVirtualService({ service: webService(vip) });
  const serverKey = { address: '10.0.0.1', port: 8080 };
  const spec = { method: 'FORWARDING_METHOD_NAT', weight: 3 } as const;
  const created = await client.createRealServer({ service: key, server: { key: serverKey, spec } });
  t.is(created.server?.spec?.weight, 3);
  t.deepEqual((await client.getRealServer({ service: key, key: serverKey })).server, created.server);

  const update = {
    service: key,
    server: { key: serverKey, spec: { weight: 0 } },
    updateMask: { paths: ['spec.weight'] },
  };
  const updated = await client.updateRealServer(update);
  t.is(updated.server?.spec?.weight, 0);
  t.is(updated.server?.spec?.method, 'FORWARDING_METHOD_NAT');
  t.deepEqual(dataplane.outline(), ['192.0.2.1:80: 10.0.0.1:8080=0']);

  t.true((await client.deleteRealServer({ service: key, key: serverKey })).inForce);
  t.deepEqual(dataplane.outline(), ['192.0.2.1:80:']);
});

test('an update without a mask resets what it does not give, as -E and -e do', async (t) => {
  const { client } = await startRig(t);
  await client.createVirtualService({ service: webService(vip, '10.0.0.1') });
  const { service } = await client.updateVirtualService({ service: { key } });
  t.is(service?.spec?.scheduler, 'wlc');
});

test('a stale etag is refused, the current one is not', async (t) => {
  const { client } = await startRig(t);
  const first = (await client.createVirtualService({ service: webService(vip, '10.0.0.1') })).service;
  const server = first?.servers[0];
  const update = (etag: string) => client.updateVirtualService({ service: { key, spec: { scheduler: 'lc' }, etag } });
  const second = (await update(first?.etag ?? '')).service;
  t.is(await failure(update(first?.etag ?? '')), 'ABORTED REASON_STALE service.etag');
  t.is(second?.servers[0]?.etag, server?.etag);

  const updateServer = (etag: string) =>
    client.updateRealServer({
      service: key,
      server: { key: server?.key ?? null, etag, spec: { method: 'FORWARDING_METHOD_NAT' } },
    });
  await updateServer(server?.etag ?? '');
  t.is(await failure(updateServer(server?.etag ?? '')), 'ABORTED REASON_STALE server.etag');
  // The server's change was the service's too.
  t.is(await failure(client.deleteVirtualService({ key, etag: second?.etag ?? '' })), 'ABORTED REASON_STALE etag');
});

test('allow_missing creates', async (t) => {
  const { client } = await startRig(t);
  t.is(
    await failure(client.updateVirtualService({ service: { key } })),
    'NOT_FOUND REASON_SERVICE_NOT_FOUND service.key',
  );
  await client.updateVirtualService({ service: { key }, allowMissing: true });
  const server = { key: { address: '10.0.0.1', port: 80 } };
  t.is(
    await failure(client.updateRealServer({ service: key, server })),
    'NOT_FOUND REASON_SERVER_NOT_FOUND server.key',
  );
  await client.updateRealServer({ service: key, server, allowMissing: true });
  t.is((await client.getVirtualService({ key })).service?.servers.length, 1);
});

test('validate_only changes nothing and reports what would fail', async (t) => {
  const { client, dataplane } = await startRig(t);
  await client.createVirtualService({ service: webService(vip, '10.0.0.1') });
  const before = await client.getConfiguration({});
  const applied = dataplane.applied.length;
  const server = { key: { address: '10.0.0.9', port: 80 }, spec: { method: 'FORWARDING_METHOD_NAT' } } as const;
  const serverKey = { address: '10.0.0.1', port: 8080 };
  await client.createVirtualService({ service: webService('192.0.2.2'), validateOnly: true });
  await client.updateVirtualService({ service: { key, spec: { scheduler: 'lc' } }, validateOnly: true });
  await client.createRealServer({ service: key, server, validateOnly: true });
  await client.deleteRealServer({ service: key, key: serverKey, validateOnly: true });
  await client.setVip({ vip: { address: vip, announce: 'ANNOUNCE_NONE' }, validateOnly: true });
  const would = await client.apply({ configuration: {}, prune: true, validateOnly: true });
  t.deepEqual(
    would.operations.map(({ action }) => action),
    ['deleteService'],
  );
  t.false(would.inForce);
  await client.deleteVirtualService({ key, validateOnly: true });
  t.is(
    await failure(client.createVirtualService({ service: webService(vip), validateOnly: true })),
    'ALREADY_EXISTS REASON_SERVICE_EXISTS service.key',
  );
  t.deepEqual(await client.getConfiguration({}), before);
  t.is(dataplane.applied.length, applied);
});

const refused = [
  ['no service', {}, 'INVALID_ARGUMENT REASON_INVALID service.key'],
  ['port 70000', { service: { key: tcp(vip, 70_000) } }, 'OUT_OF_RANGE REASON_OUT_OF_RANGE service.key.port'],
  ['address', { service: { key: tcp('not-an-address') } }, 'INVALID_ARGUMENT REASON_INVALID service.key.address'],
  [
    'scheduler',
    { service: { key, spec: { scheduler: 'x' } } },
    'INVALID_ARGUMENT REASON_SCHEDULER_NOT_FOUND service.spec.scheduler',
  ],
  [
    'persistence engine of LVS, not built',
    { service: { key, spec: { persistenceEngine: 'sip' } } },
    'UNIMPLEMENTED REASON_NOT_SUPPORTED service.spec.persistence_engine',
  ],
  [
    'server 0.0.0.0',
    { service: webService(vip, '10.0.0.1', '0.0.0.0') },
    'INVALID_ARGUMENT REASON_INVALID service.servers[1].key.address',
  ],
  [
    'server twice',
    { service: webService(vip, '10.0.0.1', '10.0.0.1') },
    'ALREADY_EXISTS REASON_SERVER_EXISTS service.servers[1].key',
  ],
] as const;

for (const [name, request, expected] of refused) {
  test(`refused with the field's path: ${name}`, async (t) => {
    const { client } = await startRig(t);
    t.is(await failure(client.createVirtualService(request)), expected);
    t.is((await client.listVirtualServices({})).services.length, 0);
  });
}

test('fields of calls about servers and VIPs', async (t) => {
  const { client } = await startRig(t);
  await client.createVirtualService({ service: webService(vip, '10.0.0.1') });
  const nat = { method: 'FORWARDING_METHOD_NAT' } as const;
  const create = (address: string, port: number, service = key) =>
    failure(client.createRealServer({ service, server: { key: { address, port }, spec: nat } }));
  t.is(await create('10.0.0.1', 8080), 'ALREADY_EXISTS REASON_SERVER_EXISTS server.key');
  t.is(await create('10.0.0.1', 70_000), 'OUT_OF_RANGE REASON_OUT_OF_RANGE server.key.port');
  t.is(await create('10.0.0.1', 80, tcp(vip, 81)), 'NOT_FOUND REASON_SERVICE_NOT_FOUND service');
  t.is(await create('10.0.0.1', 80, tcp('', 81)), 'INVALID_ARGUMENT REASON_INVALID service.address');
  t.is(
    await failure(client.deleteRealServer({ service: key, key: { address: '10.0.0.9', port: 1 } })),
    'NOT_FOUND REASON_SERVER_NOT_FOUND key',
  );
  t.is(await failure(client.setVip({ vip: { address: '224.0.0.1' } })), 'INVALID_ARGUMENT REASON_INVALID vip.address');
  t.is(await failure(client.deleteVip({ address: vip })), 'NOT_FOUND REASON_VIP_NOT_FOUND address');
  const mask = { service: { key, spec: {} }, updateMask: { paths: ['spec.scheduler', 'spec.colour'] } };
  t.is(await failure(client.updateVirtualService(mask)), 'INVALID_ARGUMENT REASON_INVALID update_mask.paths[1]');
});

test('a message begins with the path and names the value', async (t) => {
  const { client } = await startRig(t);
  await t.throwsAsync(client.createVirtualService({ service: { key: tcp(vip, 70_000) } }), {
    message: '70000 is not a port (0 … 65535)',
  });
});

test('apply, atomic: one refused and nothing has happened', async (t) => {
  const { client, dataplane } = await startRig(t);
  const operations: Operation[] = [
    { addService: { key } },
    { addServer: { service: key, key: { address: '10.0.0.1', port: 80 } } },
    { addServer: { service: key, key: { address: '10.0.0.1', port: 80 } } },
  ];
  t.is(
    await failure(client.apply({ operations: { operations } })),
    'ALREADY_EXISTS REASON_SERVER_EXISTS operations[2].add_server.key',
  );
  t.is((await client.listVirtualServices({})).services.length, 0);
  t.deepEqual(dataplane.outline(), []);
});

test('apply, restore: a result a line, the good ones stay', async (t) => {
  const { client, dataplane } = await startRig(t);
  const operations: Operation[] = [
    { addService: { key } },
    { addService: { key } },
    { addServer: { service: tcp('192.0.2.9'), key: { address: '10.0.0.1', port: 80 } } },
    { addServer: { service: key, key: { address: '10.0.0.1', port: 81 } } },
  ];
  const answer = await client.apply({ operations: { operations }, mode: 'APPLY_MODE_RESTORE' });
  t.deepEqual(
    answer.results.map(({ reason, field }) => `${reason} ${field}`.trimEnd()),
    [
      'REASON_UNSPECIFIED',
      'REASON_SERVICE_EXISTS add_service.key',
      'REASON_SERVICE_NOT_FOUND add_server.service',
      'REASON_UNSPECIFIED',
    ],
  );
  t.true(answer.inForce);
  t.deepEqual(dataplane.outline(), ['192.0.2.1:80: 10.0.0.1:80=1']);
});

test('apply a configuration: the operations between, and then none', async (t) => {
  const { client, dataplane } = await startRig(t);
  await client.createVirtualService({ service: webService('192.0.2.9', '10.0.0.1') });
  const configuration = { services: [webService(vip, '10.0.0.1', '10.0.0.2')], timeouts: { tcpS: 60 } };
  const first = await client.apply({ configuration, prune: true });
  t.deepEqual(
    first.operations.map(({ action }) => action),
    ['setTimeouts', 'deleteService', 'addService', 'addServer', 'addServer'],
  );
  t.true(first.inForce);
  t.deepEqual(dataplane.outline(), ['192.0.2.1:80: 10.0.0.1:8080=1 10.0.0.2:8080=1']);
  const second = await client.apply({ configuration, prune: true });
  t.deepEqual(second.operations, []);
  t.is(second.revision, first.revision);
  t.true(second.inForce);
  // What GetConfiguration says is what was applied.
  const now = await client.getConfiguration({});
  t.deepEqual((await client.apply({ configuration: now.configuration, prune: true })).operations, []);
});

test('apply refuses what is not whole, with its place', async (t) => {
  const { client } = await startRig(t);
  const apply = (request: Parameters<typeof client.apply>[0]) => failure(client.apply(request));
  t.is(await apply({}), 'INVALID_ARGUMENT REASON_INVALID');
  t.is(await apply({ operations: {}, prune: true }), 'INVALID_ARGUMENT REASON_INVALID prune');
  t.is(await apply({ configuration: {}, mode: 'APPLY_MODE_RESTORE' }), 'INVALID_ARGUMENT REASON_INVALID mode');
  t.is(
    await apply({ configuration: { services: [webService(vip), webService(vip)] } }),
    'INVALID_ARGUMENT REASON_SERVICE_EXISTS configuration.services[1].key',
  );
  t.is(await apply({ operations: { operations: [{}] } }), 'INVALID_ARGUMENT REASON_INVALID operations[0]');
});

test('a stale revision is refused', async (t) => {
  const { client } = await startRig(t);
  const { revision } = await client.getConfiguration({});
  await client.apply({ operations: { operations: [{ addService: { key } }] }, revision });
  const again = { operations: { operations: [{ flush: {} }] }, revision };
  t.is(await failure(client.apply(again)), 'ABORTED REASON_STALE revision');
  t.is((await client.listVirtualServices({})).services.length, 1);
});

test('VIPs: declared, implied, and counted', async (t) => {
  const { client } = await startRig(t);
  await client.createVirtualService({ service: webService(vip) });
  const { vip: declared } = await client.setVip({ vip: { address: '192.0.2.7', state: 'VIP_STATE_STANDBY' } });
  t.is(declared?.announce, 'ANNOUNCE_ARP');
  await client.setVip({ vip: { address: vip, announce: 'ANNOUNCE_ROUTE' } });
  const list = async () =>
    (await client.listVips({})).vips.map((one) => `${one.address} ${one.announce} ${one.state} ${one.services}`);
  t.deepEqual(await list(), [
    '192.0.2.7 ANNOUNCE_ARP VIP_STATE_STANDBY 0',
    '192.0.2.1 ANNOUNCE_ROUTE VIP_STATE_ACTIVE 1',
  ]);
  await client.deleteVip({ address: vip });
  await client.deleteVip({ address: '192.0.2.7' });
  t.deepEqual(await list(), ['192.0.2.1 ANNOUNCE_ARP VIP_STATE_ACTIVE 1']);
});

test('timeouts: set, kept where 0, read', async (t) => {
  const { client } = await startRig(t);
  await client.apply({ operations: { operations: [{ setTimeouts: { tcpS: 60 } }, { setTimeouts: { udpS: 5 } }] } });
  t.deepEqual((await client.getTimeouts({})).timeouts, { ...defaultTimeouts, tcpS: 60, udpS: 5 });
});

test('edits of many clients at once: all of them, each once', async (t) => {
  const { client, dataplane } = await startRig(t);
  await client.createVirtualService({ service: webService(vip) });
  const answers = await Promise.all(
    Array.from({ length: 200 }, (_, index) =>
      client.createRealServer({
        service: key,
        server: { key: { address: '10.0.0.1', port: 1 + index }, spec: { method: 'FORWARDING_METHOD_NAT' } },
      }),
    ),
  );
  t.true(answers.every(({ inForce }) => inForce));
  t.is(new Set(answers.map(({ server }) => server?.etag)).size, 200);
  t.is(dataplane.services.get('192.0.2.1:80')?.size, 200);
});

test('ten thousand servers in one message', async (t) => {
  const { client, dataplane } = await startRig(t);
  const servers = Array.from({ length: 10_000 }, (_, index) => ({
    key: { address: `10.0.${(index >> 8) + 1}.${index & 255 || 255}`, port: 1 + index },
    spec: { method: 'FORWARDING_METHOD_NAT', weight: 1 },
  })) as never[];
  const configuration = { services: [{ key, servers }] };
  const answer = await client.apply({ configuration });
  t.true(answer.inForce);
  t.is(answer.operations.length, 10_001);
  t.is(dataplane.services.get('192.0.2.1:80')?.size, 10_000);
});
