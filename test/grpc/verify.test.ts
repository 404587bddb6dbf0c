// SPDX-License-Identifier: Apache-2.0
// What workers use is what is declared, by digests of their own; a byte that is another one is named. The engine is the
// real one, on in-memory ports.
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import type { Configuration } from '../../src/generated/fulcrum/v1/Configuration.js';
import type { RealServer } from '../../src/generated/fulcrum/v1/RealServer.js';
import { connectDataplaneTest, connectDirector } from '../../src/grpc/client.js';
import { startManager } from '../../src/manager/manager.js';
import { runFulcrum } from './support/command.js';
import { tcp, temporaryDirectory } from './support/director.js';
import { startProcess } from './support/processes.js';

const config = {
  housekeepingCpus: [0],
  workerCpus: [0, 0],
  hugepages: 'HUGEPAGES_OFF',
  connections: 10_000,
  idle: 'IDLE_POLICY_SLEEP',
  testing: true,
  ports: [{ name: 'wan', device: 'memory' }],
  interfaces: [{ name: 'wan', port: 'wan', addresses: [{ prefix: '192.0.2.254/24' }] }],
};

async function startDirector(t: ExecutionContext) {
  const directory = temporaryDirectory(t);
  const dataplaneSocket = join(directory, 'dataplane.sock');
  const socket = join(directory, 'manager.sock');
  const dataplane = startProcess(t, 'src/dataplane/main.js', ['--socket', dataplaneSocket], JSON.stringify(config));
  await dataplane.logged('ready');
  const manager = await startManager(
    {
      socket,
      dataplaneSocket,
      stateDirectory: join(directory, 'state'),
      http: { listen: '127.0.0.1:0', perServer: true },
    },
    pino({ level: 'silent' }),
  );
  const client = connectDirector(socket);
  const testing = connectDataplaneTest(dataplaneSocket);
  t.teardown(async () => {
    client.close();
    testing.close();
    await manager.stop();
  });
  return { client, testing, socket, httpPort: manager.httpPort };
}

type Rig = Awaited<ReturnType<typeof startDirector>>;

/** Resolves with the status of a comparison that was made from now on. */
async function compared({ client }: Rig) {
  const { signal } = new AbortController();
  const begun = Date.now();
  for (;;) {
    const { dataplane } = await client.getStatus({}, { signal });
    if (dataplane !== null && Date.parse(dataplane.comparedAt) > begun + 100) return dataplane;
    if (Date.now() > begun + 20_000) throw new Error('nothing was compared');
  }
}

const server = (address: string, port: number, spec: RealServer['spec'] = {}): RealServer => ({
  key: { address, port },
  spec: { method: 'FORWARDING_METHOD_NAT', ...spec },
});

/** Something of everything. */
const everything: Configuration = {
  services: [
    {
      key: tcp('192.0.2.1'),
      spec: { scheduler: 'wrr', persistenceTimeoutS: 300, persistencePrefix: 24 },
      servers: [
        server('10.0.0.1', 8080, { weight: 3, upperThreshold: 100, lowerThreshold: 50 }),
        server('10.0.0.2', 80, { method: 'FORWARDING_METHOD_DR', weight: 0 }),
        server('10.0.0.3', 80, {
          method: 'FORWARDING_METHOD_TUN',
          tunnelType: 'TUNNEL_TYPE_GUE',
          tunnelPort: 6080,
          tunnelChecksum: 'TUNNEL_CHECKSUM_CSUM',
        }),
      ],
      traffic: {
        allow: ['198.51.100.0/24', 'friends', '203.0.113.7'],
        deny: ['198.51.100.66'],
        maxConnections: 1000,
        connectionsPerSecond: 50,
        connectionsBurst: 70,
        mssAuto: true,
      },
    },
    {
      key: tcp('2001:db8::1', 443),
      spec: { scheduler: 'mh', schedulerFlags: 3 },
      servers: [server('2001:db8:1::1', 443)],
    },
    {
      key: { protocol: 'PROTOCOL_UDP', address: '198.51.100.9', port: 53 },
      spec: { scheduler: 'sh', onePacket: true },
      servers: [server('10.0.0.4', 53)],
    },
    {
      key: { protocol: 'PROTOCOL_SCTP', address: '192.0.2.3', port: 36412 },
      spec: {},
      servers: [server('10.0.0.5', 36412)],
    },
    {
      key: { fwmark: 7 },
      spec: { scheduler: 'lblcr' },
      servers: [server('10.0.0.6', 80, { method: 'FORWARDING_METHOD_DR' })],
    },
    { key: { fwmark: 7, family: 'ADDRESS_FAMILY_IPV6' }, spec: {}, servers: [] },
  ],
  vips: [
    { address: '192.0.2.1', announce: 'ANNOUNCE_NONE' },
    { address: '198.51.100.0/24', announce: 'ANNOUNCE_ROUTE', state: 'VIP_STATE_STANDBY' },
    { address: '2001:db8:7::/64' },
  ],
  timeouts: { tcpS: 901, udpS: 33, sctpClosedS: 7 },
  tunables: { sloppyTcp: 1, connReuseMode: 0, icmpMsgsBurst: 99 },
  markRules: {
    rules: [
      { mark: 7, protocol: 'PROTOCOL_TCP', destination: '198.51.100.0/25', destinationPorts: { first: 80, last: 90 } },
      { mark: 8, source: '2001:db8:9::/48', local: true },
      { mark: 9 },
    ],
  },
  prefixLists: [
    {
      name: 'friends',
      prefixes: ['203.0.113.0/24', '203.0.113.128/25', '2001:db8:f::/48', '0.0.0.0/0', '203.0.113.0/24'],
    },
    { name: 'empty', prefixes: [] },
  ],
};

test.serial('workers agree with every kind of object, before and after edits', async (t) => {
  const rig = await startDirector(t);
  const { client } = rig;
  t.deepEqual((await compared(rig)).disagreements, []);
  t.true((await client.apply({ configuration: everything, prune: true })).inForce);
  t.deepEqual((await compared(rig)).disagreements, []);
  await client.updateRealServer({
    service: tcp('192.0.2.1'),
    server: server('10.0.0.2', 80, { weight: 9 }),
    updateMask: { paths: ['spec.weight'] },
  });
  await client.deleteVirtualService({ key: { fwmark: 7 } });
  await client.deleteVip({ address: '198.51.100.0/24' });
  t.deepEqual((await compared(rig)).disagreements, []);
  const verified = await runFulcrum(rig, 'config verify');
  t.deepEqual(verified, { status: 0, output: verified.output });
  t.regex(verified.output, /^2 workers use what is declared, generation \d+$/m);
});

test.serial('a flipped byte of a worker is named within a second, and counted', async (t) => {
  const rig = await startDirector(t);
  const { client, testing } = rig;
  await client.apply({ configuration: everything, prune: true });
  t.deepEqual((await compared(rig)).disagreements, []);
  const told = (async () => {
    for await (const { happened } of client.watch({}))
      if (happened?.kind === 'configuration_differs') return happened.message;
    return '';
  })();
  const begun = performance.now();
  // The first byte of the weight: see struct RealServer.
  const offsetOfWeight = 28;
  await testing.flipByte({
    service: tcp('192.0.2.1'),
    server: { address: '10.0.0.1', port: 8080 },
    offset: offsetOfWeight,
  });
  const message = await told;
  const took = performance.now() - begun;
  t.log(`named after ${Math.round(took)} ms`);
  t.true(took < 1_000, `${took} ms`);
  t.is(message, 'worker 0: TCP 192.0.2.1:80: real server 10.0.0.1:8080: weight is 2, declared 3');
  const { disagreements } = await compared(rig);
  t.deepEqual(
    disagreements.map(({ worker, difference }) => `${worker} ${difference}`),
    [0, 1].map((worker) => `${worker} TCP 192.0.2.1:80: real server 10.0.0.1:8080: weight is 2, declared 3`),
  );
  const verified = await runFulcrum(rig, 'config verify');
  t.is(verified.status, 5);
  t.regex(
    verified.output,
    /^worker 1: TCP 192\.0\.2\.1:80: real server 10\.0\.0\.1:8080: weight is 2, declared 3 \(since /m,
  );
  t.is((await runFulcrum(rig, 'status')).status, 5);
  const metrics = await (await fetch(`http://127.0.0.1:${rig.httpPort()}/metrics`)).text();
  t.regex(metrics, /^fulcrum_worker_config_agrees\{worker="1"\} 0$/m);
  const page = await fetch(`http://127.0.0.1:${rig.httpPort()}/page/stream`);
  const reader = page.body?.pipeThrough(new TextDecoderStream()).getReader();
  let shown = '';
  while (!shown.includes('\n\n')) shown += (await reader?.read())?.value;
  t.true(
    shown.includes('"disagreements":["worker 0: TCP 192.0.2.1:80: real server 10.0.0.1:8080: weight is 2, '),
    shown,
  );
  await reader?.cancel();

  // The other way round all is well again.
  await testing.flipByte({
    service: tcp('192.0.2.1'),
    server: { address: '10.0.0.1', port: 8080 },
    offset: offsetOfWeight,
  });
  t.deepEqual((await compared(rig)).disagreements, []);
  const again = await (await fetch(`http://127.0.0.1:${rig.httpPort()}/metrics`)).text();
  t.regex(again, /^fulcrum_worker_config_agrees\{worker="1"\} 1$/m);
  t.regex(again, /^fulcrum_worker_burst_packets_bucket\{worker="0",cpu="0",le="\+Inf"\} \d+$/m);

  await testing.flipByte({ service: tcp('192.0.2.1'), offset: 1 });
  t.is(
    (await compared(rig)).disagreements[0]?.difference,
    'TCP 192.0.2.1:80: persistence_timeout_s is 44, declared 300',
  );
});

test.serial('a plan says what an apply does, and changes nothing', async (t) => {
  const rig = await startDirector(t);
  const { client } = rig;
  const before = (await client.apply({ configuration: everything, prune: true })).revision;
  const services = (everything.services ?? []).map((service) => ({ ...service }));
  const mh = tcp('2001:db8::1', 443);
  services[1] = {
    ...services[1],
    key: mh,
    servers: [server('2001:db8:1::1', 443), server('2001:db8:1::2', 443), server('2001:db8:1::3', 443)],
  };
  services[3] = { ...services[3], servers: [] };
  const request = { configuration: { ...everything, services: services.slice(0, 5) }, prune: true };
  const plan = await client.plan(request);
  t.is(plan.revision, before);
  const said = plan.services.map(({ service, change, usableServersBefore, usableServersAfter }) => [
    service?.fwmark ? `fwmark ${service.fwmark}` : service?.address,
    change,
    usableServersBefore,
    usableServersAfter,
  ]);
  t.deepEqual(said.sort(), [
    ['192.0.2.3', 'CHANGE_EDITED', 1, 0],
    ['2001:db8::1', 'CHANGE_EDITED', 1, 3],
    ['fwmark 7', 'CHANGE_DELETED', 0, 0],
  ]);
  const hashed = plan.services.find(({ hashSlots }) => hashSlots > 0);
  // Two of three servers are new: two thirds move to them, and none else.
  t.true(Math.abs((hashed?.movedHashSlots ?? 0) / (hashed?.hashSlots ?? 1) - 2 / 3) < 0.01);
  t.is((await client.getStatus({})).revision, before);
  const applied = await client.apply(request);
  t.deepEqual(applied.operations, plan.operations);
  t.deepEqual((await client.plan(request)).operations, []);
  t.deepEqual((await compared(rig)).disagreements, []);
});
