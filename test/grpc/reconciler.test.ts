// SPDX-License-Identifier: Apache-2.0
// What the manager sends to a dataplane: nothing if it has everything, operations in order, a snapshot if it must.
import test from 'ava';
import type { ApplyRequest__Output } from '../../src/generated/fulcrum/dataplane/v1/ApplyRequest.js';
import { FulcrumError } from '../../src/grpc/errors.js';
import { failure, type Rig, startRig, tcp, webService } from './support/director.js';

const key = tcp('192.0.2.1');
const nat = { method: 'FORWARDING_METHOD_NAT' } as const;

/** "snapshot 1", "operations 1-2 addService addServer" … of every Apply so far. */
function applied({ dataplane }: Rig): string[] {
  return dataplane.applied.map((request: ApplyRequest__Output) =>
    request.what === 'snapshot'
      ? `snapshot ${request.generation}`
      : `operations ${request.baseGeneration}-${request.generation} ${request.operations?.operations.map(({ action }) => action).join(' ')}`,
  );
}

test('a dataplane that has nothing gets a snapshot, then operations', async (t) => {
  const rig = await startRig(t);
  await rig.client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1') });
  await rig.client.updateVirtualService({ service: { key, spec: { scheduler: 'rr' } } });
  t.deepEqual(applied(rig), ['snapshot 1', 'operations 1-2 addService addServer', 'operations 2-3 editService']);
});

test('operations keep their order and are never folded', async (t) => {
  const rig = await startRig(t);
  const { client, dataplane } = rig;
  await client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1') });
  let open = () => {};
  dataplane.gate = new Promise((resolve) => {
    open = resolve;
  });
  // The first one is on its way; those that follow wait, and go together.
  const server = (weight: number) =>
    client.updateRealServer({
      service: key,
      server: { key: { address: '10.0.0.1', port: 8080 }, spec: { ...nat, weight } },
    });
  const answers = [
    server(5),
    server(5),
    server(1),
    client.deleteVirtualService({ key }),
    client.createVirtualService({ service: webService('192.0.2.1') }),
  ];
  for (;;) {
    const { dataplane: status } = await client.getStatus({});
    if (status?.generationWanted === '7') break;
  }
  open();
  const results = await Promise.all(answers);
  t.true(results.every(({ inForce }) => inForce));
  const operations = dataplane.applied.slice(2).flatMap((request) => request.operations?.operations ?? []);
  t.deepEqual(
    operations.map(({ action, editServer }) => `${action} ${editServer?.spec?.weight ?? ''}`.trim()),
    ['editServer 5', 'editServer 5', 'editServer 1', 'deleteService', 'addService'],
  );
  t.true(dataplane.applied.length < 7, 'those that waited went together');
});

test('a restarted manager sends nothing to a dataplane that has everything', async (t) => {
  const rig = await startRig(t);
  await rig.client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1') });
  const before = applied(rig);
  await rig.restartManager();
  await rig.dataplane.until(() => rig.dataplane.calls.get('WatchEvents') === 2);
  await rig.client.getStatus({});
  t.deepEqual(applied(rig), before);
  // And goes on from where it was.
  t.true((await rig.client.deleteVirtualService({ key })).inForce);
  t.deepEqual(applied(rig).slice(before.length), ['operations 2-3 deleteService']);
});

test('a restarted manager whose dataplane missed an edit sends a snapshot', async (t) => {
  const rig = await startRig(t, { inForceTimeoutMs: 50 });
  await rig.client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1') });
  rig.dataplane.stop();
  const edit = await rig.client.createRealServer({
    service: key,
    server: { key: { address: '10.0.0.2', port: 8080 }, spec: nat },
  });
  t.false(edit.inForce);
  await rig.stopManager();
  await rig.dataplane.start();
  await rig.restartManager();
  await rig.dataplane.until(() => rig.dataplane.generation === 3);
  t.is(applied(rig).at(-1), 'snapshot 3');
  t.deepEqual(rig.dataplane.outline(), ['192.0.2.1:80: 10.0.0.1:8080=1 10.0.0.2:8080=1']);
});

test('a dataplane that lost its connection and missed an edit gets just that edit', async (t) => {
  const rig = await startRig(t, { inForceTimeoutMs: 50 });
  await rig.client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1') });
  rig.dataplane.stop();
  t.false((await rig.client.updateVirtualService({ service: { key } })).inForce);
  await rig.dataplane.start();
  await rig.dataplane.until(() => rig.dataplane.generation === 3);
  t.is(applied(rig).at(-1), 'operations 2-3 editService');
});

test.serial('a dataplane that was restarted has everything within a second', async (t) => {
  const rig = await startRig(t);
  await rig.client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1', '10.0.0.2') });
  const expected = rig.dataplane.outline();
  for (let round = 1; round <= 3; round++) {
    await rig.dataplane.restart();
    const begin = performance.now();
    await rig.dataplane.until(() => rig.dataplane.generation === 2);
    const took = performance.now() - begin;
    t.log(`${took.toFixed(0)} ms`);
    t.true(took < 1_000);
    t.is(applied(rig).at(-1), 'snapshot 2');
    t.deepEqual(rig.dataplane.outline(), expected);
  }
});

test.serial(
  'an unreachable dataplane: edits are stored, status says why, and it is looked for until it comes',
  async (t) => {
    const rig = await startRig(t, { withDataplane: false, inForceTimeoutMs: 50 });
    const created = await rig.client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1') });
    t.false(created.inForce);
    t.is(created.service?.servers.length, 1);
    const { dataplane: down } = await rig.client.getStatus({});
    t.false(down?.connected);
    t.regex(down?.lastError ?? '', /connect ENOENT .*dataplane\.sock/);
    t.is(await failure(rig.client.listPorts({})), 'UNAVAILABLE REASON_UNSPECIFIED');
    await rig.dataplane.start();
    const begin = performance.now();
    await rig.dataplane.until(() => rig.dataplane.generation === 2);
    t.true(performance.now() - begin < 1_000);
    const { dataplane: up } = await rig.client.getStatus({});
    t.like(up, {
      connected: true,
      lastError: '',
      retryInMs: 0,
      generationApplied: '2',
      generationWanted: '2',
      workers: 2,
    });
  },
);

test('a waiting edit is answered as soon as the dataplane is back', async (t) => {
  const rig = await startRig(t, { withDataplane: false, inForceTimeoutMs: 20_000 });
  const edit = rig.client.createVirtualService({ service: webService('192.0.2.1') });
  await rig.dataplane.start();
  t.true((await edit).inForce);
});

test.serial('an edit is answered before its caller gives up', async (t) => {
  const rig = await startRig(t, { withDataplane: false, inForceTimeoutMs: 20_000 });
  await rig.client.getStatus({});
  const edit = await rig.client.createVirtualService({ service: webService('192.0.2.1') }, { timeoutMs: 3_000 });
  t.false(edit.inForce);
});

test('a configuration that needs no edit is not in force while the dataplane is away', async (t) => {
  const rig = await startRig(t, { inForceTimeoutMs: 2_000 });
  const configuration = { services: [webService('192.0.2.1', '10.0.0.1')] };
  t.true((await rig.client.apply({ configuration })).inForce);
  t.true((await rig.client.apply({ configuration })).inForce);
  rig.dataplane.stop();
  let status = (await rig.client.getStatus({})).dataplane;
  while (status?.connected) status = (await rig.client.getStatus({})).dataplane;
  const again = await rig.client.apply({ configuration });
  t.deepEqual(again.operations, []);
  t.false(again.inForce);
});

test('-Z goes to the dataplane, and is none of the configuration', async (t) => {
  const rig = await startRig(t);
  await rig.client.createVirtualService({ service: webService('192.0.2.1') });
  const { revision } = await rig.client.getConfiguration({});
  const zero = { operations: { operations: [{ zero: { service: key } }, { zero: {} }] } };
  t.true((await rig.client.apply(zero)).inForce);
  t.is(applied(rig).at(-1), 'operations 2-3 zero zero');
  const [one, all] = rig.dataplane.applied.at(-1)?.operations?.operations ?? [];
  t.like(one?.zero?.service, { address: '192.0.2.1', port: 80 });
  t.falsy(all?.zero?.service);
  t.is((await rig.client.getConfiguration({})).revision, revision);
  // A manager that comes back still agrees with the dataplane.
  const before = applied(rig).length;
  await rig.restartManager();
  await rig.dataplane.until(() => rig.dataplane.calls.get('WatchEvents') === 2);
  await rig.client.getStatus({});
  t.is(applied(rig).length, before);
});

test('what the dataplane refuses is stored, not in force, shown, and tried again with the next edit', async (t) => {
  const rig = await startRig(t);
  const { client, dataplane } = rig;
  await client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1') });
  const tooMany = new FulcrumError({
    reason: 'REASON_NO_ROOM',
    field: 'services',
    message: 'no room for a third server',
  });
  dataplane.check = ({ what, snapshot }) => {
    const servers = snapshot?.services.flatMap((service) => service.servers).length ?? 0;
    return what === 'operations' || servers > 2 ? tooMany : undefined;
  };
  const servers = ['10.0.0.2', '10.0.0.3'].map((address) => ({
    addServer: { service: key, key: { address, port: 8080 }, spec: nat },
  }));
  const answer = await client.apply({ operations: { operations: servers } });
  t.false(answer.inForce);
  const { dataplane: status } = await client.getStatus({});
  t.like(status, { connected: true, generationWanted: '3', generationApplied: '2' });
  t.regex(status?.lastError ?? '', /refused the configuration: services: no room for a third server/);
  t.is((await client.getVirtualService({ key })).service?.servers.length, 3);
  t.deepEqual(dataplane.outline(), ['192.0.2.1:80: 10.0.0.1:8080=1']);

  const fix = await client.deleteRealServer({ service: key, key: { address: '10.0.0.3', port: 8080 } });
  t.true(fix.inForce);
  t.is(applied(rig).at(-1), 'snapshot 4');
  t.deepEqual(dataplane.outline(), ['192.0.2.1:80: 10.0.0.1:8080=1 10.0.0.2:8080=1']);
  const { dataplane: mended } = await client.getStatus({});
  t.like(mended, { lastError: '', generationApplied: '4' });
});

test('a dataplane with the state of another manager gets a snapshot', async (t) => {
  const rig = await startRig(t, { withDataplane: false });
  rig.dataplane.lineage = 'another';
  rig.dataplane.generation = 1;
  rig.dataplane.services.set('192.0.2.99:80', new Map());
  await rig.dataplane.start();
  await rig.dataplane.until(() => rig.dataplane.applied.length === 1);
  t.deepEqual(applied(rig), ['snapshot 1']);
  t.deepEqual(rig.dataplane.outline(), []);
});
