// SPDX-License-Identifier: Apache-2.0
// The dataplane host as a process, with the real engine on in-memory ports. One EAL a process: each test starts its own.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { connectDataplane, connectDataplaneTest, connectDirector, socketTarget } from '../../src/grpc/client.js';
import { failure, tcp, temporaryDirectory, webService } from './support/director.js';
import { type Child, startProcess } from './support/processes.js';

const config = {
  housekeepingCpus: [0],
  workerCpus: [0],
  hugepages: 'HUGEPAGES_OFF',
  connections: 10_000,
  idle: 'IDLE_POLICY_SLEEP',
  testing: true,
  ports: [{ name: 'wan', device: 'memory' }],
  interfaces: [{ name: 'wan', port: 'wan', addresses: [{ prefix: '192.0.2.254/24' }] }],
};

function start(t: ExecutionContext, socket: string, more: object = {}): Child {
  return startProcess(t, 'src/dataplane/main.js', ['--socket', socket], JSON.stringify({ ...config, ...more }));
}

function socketFor(t: ExecutionContext): string {
  return join(temporaryDirectory(t), 'dataplane.sock');
}

/** Who has 192.0.2.254? Tell 192.0.2.1, 02:00:00:00:00:01. */
const arpRequest = Buffer.from(
  'ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 c0000201 000000000000 c00002fe'.replaceAll(' ', ''),
  'hex',
);

test.serial('state, frames in and out, a clean stop', async (t) => {
  const socket = socketFor(t);
  const child = start(t, socket);
  await child.logged('ready');
  const dataplane = connectDataplane(socket);
  const frames = connectDataplaneTest(socket);
  t.teardown(dataplane.close);
  t.teardown(frames.close);
  const state = await dataplane.getState({});
  t.like(state, { generation: '0', lineage: '', pid: child.process.pid, workers: 1, connectionCapacity: '10000' });
  t.not(state.instanceId, '');

  await frames.drain({ port: 'wan' });
  t.is((await frames.inject({ port: 'wan', frames: [arpRequest] })).accepted, 1);
  const { frames: left } = await frames.drain({ port: 'wan' });
  // An ARP reply, to the one who asked.
  t.is(left.length, 1);
  t.is(left[0]?.subarray(0, 6).toString('hex'), '020000000001');
  t.is(left[0]?.subarray(12, 14).toString('hex'), '0806');
  t.is(left[0]?.subarray(20, 22).toString('hex'), '0002');

  const apply = { instanceId: 'another', lineage: 'x', generation: 1, snapshot: {} };
  t.regex(await failure(dataplane.apply(apply)), /^FAILED_PRECONDITION/);
  t.regex(await failure(frames.drain({ port: 'nowhere' })), /^(NOT_FOUND|INVALID_ARGUMENT)/);

  child.process.kill('SIGTERM');
  const { code, lines } = await child.exited;
  t.is(code, 0);
  t.true(lines.some(({ source, msg }) => source === 'engine' && String(msg).startsWith('EAL: ')));
  t.false(existsSync(socket));
});

test.serial('bytes that are no message are refused, and the engine goes on', async (t) => {
  const socket = socketFor(t);
  await start(t, socket).logged('ready');
  const raw = new Client(socketTarget(socket), credentials.createInsecure());
  t.teardown(() => raw.close());
  const call = (bytes: Buffer) =>
    new Promise<ServiceError | null>((done) => {
      const same = (value: Buffer) => value;
      raw.makeUnaryRequest('/fulcrum.dataplane.v1.DataplaneService/Apply', same, same, bytes, new Metadata(), done);
    });
  t.is((await call(Buffer.from('ffffffffff', 'hex')))?.code, 3);
  const dataplane = connectDataplane(socket);
  t.teardown(dataplane.close);
  t.is((await dataplane.getState({})).generation, '0');
});

test.serial('without testing there is no test service', async (t) => {
  const socket = socketFor(t);
  await start(t, socket, { testing: false }).logged('ready');
  const frames = connectDataplaneTest(socket);
  t.teardown(frames.close);
  t.regex(await failure(frames.drain({ port: 'wan' })), /^UNIMPLEMENTED/);
});

const wrong: readonly (readonly [string, object, RegExp])[] = [
  ['a typo', { hugePages: 'HUGEPAGES_OFF' }, /hugePages: is not a field of StartConfig/],
  ['a value of another type', { ports: [{ name: 1, device: 'memory' }] }, /ports\[0\]\.name: must be text, not "1"/],
  ['a device that is not there', { ports: [{ name: 'wan', device: 'net_af_packet0,iface=nowhere0' }] }, /nowhere0/],
];

for (const [name, more, expected] of wrong) {
  test.serial(`does not start, and says why: ${name}`, async (t) => {
    const socket = socketFor(t);
    const { code, stderr } = await start(t, socket, more).exited;
    t.is(code, 1);
    t.regex(stderr, expected);
    t.false(existsSync(socket));
  });
}

test.serial('killed with -9 and started again: the manager gives everything back', async (t) => {
  const directory = temporaryDirectory(t);
  const socket = join(directory, 'dataplane.sock');
  const managerSocket = join(directory, 'manager.sock');
  const first = start(t, socket);
  const manager = startProcess(t, 'src/manager/main.js', [
    '--socket',
    managerSocket,
    '--dataplane',
    socket,
    '--state-dir',
    join(directory, 'state'),
  ]);
  await Promise.all([first.logged('ready'), manager.logged('ready')]);
  const client = connectDirector(managerSocket);
  t.teardown(client.close);
  const service = webService('192.0.2.1', '192.0.2.11', '192.0.2.12');
  t.true((await client.createVirtualService({ service })).inForce);

  first.process.kill('SIGKILL');
  await first.exited;
  const second = start(t, socket);
  await second.logged('ready');
  // An edit is answered when the dataplane has it, and with it all that was before.
  const zero = { operations: { operations: [{ zero: {} }] } };
  t.true((await client.apply(zero)).inForce);
  const dataplane = connectDataplane(socket);
  t.teardown(dataplane.close);
  t.is((await dataplane.getState({})).generation, '3');
  const { services } = await dataplane.getStatistics({});
  t.deepEqual(
    services.map((one) => [one.key?.address, one.servers.map((server) => server.key?.address)]),
    [['192.0.2.1', ['192.0.2.12', '192.0.2.11']]],
  );
  // And the next edit goes on from there.
  const server = {
    key: { address: '192.0.2.11', port: 8080 },
    spec: { method: 'FORWARDING_METHOD_NAT', weight: 0 },
  } as const;
  t.true((await client.updateRealServer({ service: tcp('192.0.2.1'), server })).inForce);
  manager.process.kill('SIGTERM');
  t.is((await manager.exited).code, 0);
});
