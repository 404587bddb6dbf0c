// SPDX-License-Identifier: Apache-2.0
// The ways of checks to VIPs: which ports they get, what the dataplane is told of them and when, and what is said when
// there is none.
import test from 'ava';
import { pino } from 'pino';
import type { SetCheckPathsRequest } from '../../../../src/generated/fulcrum/dataplane/v1/SetCheckPathsRequest.js';
import type { Event } from '../../../../src/generated/fulcrum/v1/Event.js';
import type { Operation } from '../../../../src/generated/fulcrum/v1/Operation.js';
import type { Port__Output } from '../../../../src/generated/fulcrum/v1/Port.js';
import { FulcrumError } from '../../../../src/grpc/errors.js';
import {
  ClientWays,
  portRuns,
  portsEach,
  type WantedWay,
  type WayMaker,
} from '../../../../src/manager/health/client_ways.js';
import type { ServerSpec } from '../../../../src/manager/nouns.js';

const spec: ServerSpec = {
  method: 'FORWARDING_METHOD_DR',
  weight: 1,
  upperThreshold: 0,
  lowerThreshold: 0,
  tunnelType: 'TUNNEL_TYPE_UNSPECIFIED',
  tunnelPort: 0,
  tunnelChecksum: 'TUNNEL_CHECKSUM_UNSPECIFIED',
};
const nat: ServerSpec = { ...spec, method: 'FORWARDING_METHOD_NAT' };

function way(vip: string, server: string, of: ServerSpec = spec): WantedWay {
  const service = {
    protocol: 'PROTOCOL_TCP',
    address: vip,
    port: 80,
    fwmark: 0,
    family: 'ADDRESS_FAMILY_UNSPECIFIED',
  } as const;
  return { service, port: 80, key: { address: server, port: 8080 }, spec: of };
}

/** A dataplane that answers what a test says, and notes what it was told. */
class FakeDataplane implements WayMaker {
  readonly told: NonNullable<SetCheckPathsRequest['paths']>[] = [];
  problem = '';
  error: Error | undefined;
  gate: Promise<void> = Promise.resolve();
  ports: readonly Partial<Port__Output>[] = [];
  readonly setCheckPaths: WayMaker['setCheckPaths'] = async ({ paths = [] }) => {
    await this.gate;
    if (this.error) throw this.error;
    this.told.push(paths);
    return { answers: paths.map(() => ({ source: this.problem ? '' : '192.0.2.254', problem: this.problem })) };
  };
  readonly listPorts: WayMaker['listPorts'] = async () => ({ ports: this.ports as readonly Port__Output[] });
}

function made(dataplane: FakeDataplane, own: string[] = ['192.0.2.254']) {
  const events: Event[] = [];
  const ways = new ClientWays({
    dataplane: () => dataplane,
    onEvent: (event) => events.push(event),
    log: pino({ enabled: false }),
    ownAddresses: () => new Set(own),
  });
  return { ways, events };
}

const saying = async (promise: Promise<unknown>): Promise<string> => {
  try {
    await promise;
  } catch (error) {
    if (error instanceof FulcrumError) return error.message;
    throw error;
  }
  return '';
};

test('what is asked for together is told together, and whoever asks waits for the answer', async (t) => {
  const dataplane = new FakeDataplane();
  const { ways } = made(dataplane);
  ways.set('a', [way('192.0.2.1', '10.0.0.1')]);
  ways.set('b', [way('192.0.2.1', '10.0.0.2', nat)]);
  const [a, b] = await Promise.all([ways.way('a', 80), ways.way('b', 80)]);
  t.is(dataplane.told.length, 1);
  t.deepEqual(
    dataplane.told[0]?.map(({ key, firstPort, ports }) => [key?.address, firstPort, ports]),
    [
      ['10.0.0.1', 61_000, portsEach],
      ['10.0.0.2', 61_004, portsEach],
    ],
  );
  t.like(a, { address: '192.0.2.1', port: 80, source: '192.0.2.254', sourcePorts: { first: 61_000, count: 4 } });
  t.like(b, { method: 'FORWARDING_METHOD_NAT', sourcePorts: { first: 61_004, count: 4 } });
  // Weights are not part of a way.
  ways.set('a', [way('192.0.2.1', '10.0.0.1', { ...spec, weight: 7 })]);
  await ways.way('a', 80);
  t.is(dataplane.told.length, 1);
  // Another method is; and ports that were given back are taken again.
  ways.set('a', [way('192.0.2.1', '10.0.0.1', nat)]);
  t.like(await ways.way('a', 80), { method: 'FORWARDING_METHOD_NAT', sourcePorts: { first: 61_000 } });
  t.is(dataplane.told.length, 2);
  ways.set('a', []);
  t.is(await saying(ways.way('a', 80)), 'there is no way to the VIP any more');
  await ways.way('b', 80);
  t.deepEqual(
    dataplane.told.at(-1)?.map(({ key }) => key?.address),
    ['10.0.0.2'],
  );
  ways.stop();
});

test('ports are shared only where the dataplane can tell the servers apart', async (t) => {
  const { ways } = made(new FakeDataplane());
  const first = async (id: string): Promise<number> => (await ways.way(id, 80)).sourcePorts.first;
  for (let server = 0; server < portRuns; server++)
    ways.set(`one ${server}`, [way('192.0.2.1', `10.0.${server >> 8}.${server & 255}`)]);
  const runs = new Set<number>();
  for (let server = 0; server < portRuns; server++) runs.add(await first(`one ${server}`));
  t.is(runs.size, portRuns);
  t.is(Math.max(...runs) + portsEach - 1, 65_535);
  ways.set('one more', [way('192.0.2.1', '10.9.9.9')]);
  t.is(
    await saying(ways.way('one more', 80)),
    `more than ${portRuns} real servers of a service cannot be checked by way of its VIP`,
  );
  // Other services begin anew, but for what belongs to the same NAT server.
  for (const vip of ['192.0.2.2', '192.0.2.3', '192.0.2.4']) ways.set(vip, [way(vip, '10.1.1.1', nat)]);
  const ofNat = await Promise.all(['192.0.2.2', '192.0.2.3', '192.0.2.4'].map(first));
  t.is(new Set(ofNat).size, 3);
  // One that has gone makes room.
  ways.set('one 5', []);
  ways.set('one more', []);
  ways.set('one more', [way('192.0.2.1', '10.9.9.9')]);
  t.true(runs.has(await first('one more')));
  ways.stop();
});

test('another dataplane is told everything; until then there is no way, and old ones have ended', async (t) => {
  const dataplane = new FakeDataplane();
  const own = ['192.0.2.254'];
  const { ways } = made(dataplane, own);
  ways.set('a', [way('192.0.2.1', '10.0.0.1')]);
  const before = await ways.way('a', 80);
  t.true(before.isOpen());
  // Its interface of the kernel has gone, or somebody has given the VIP to the host.
  own.pop();
  t.false(before.isOpen());
  own.push('192.0.2.254', '192.0.2.1');
  t.false(before.isOpen());
  own.pop();
  t.true(before.isOpen());
  ways.lost();
  t.false(before.isOpen());
  t.is(await saying(ways.way('a', 80)), 'the dataplane is not connected');
  ways.connected();
  const after = await ways.way('a', 80);
  t.true(after.isOpen());
  t.false(before.isOpen());
  t.is(dataplane.told.length, 2);

  // One that comes while the one before it is still being told.
  let open = (): void => {};
  dataplane.gate = new Promise((resolve) => {
    open = resolve;
  });
  ways.connected();
  const asked = ways.way('a', 80);
  ways.connected();
  open();
  t.true((await asked).isOpen());
  ways.stop();
});

test('a dataplane that is not there is waited for, one that refuses is asked again', async (t) => {
  const dataplane = new FakeDataplane();
  const { ways } = made(dataplane);
  dataplane.error = new FulcrumError({ code: 'UNAVAILABLE', message: 'the dataplane is not connected' });
  ways.set('a', [way('192.0.2.1', '10.0.0.1')]);
  t.is(await saying(ways.way('a', 80)), 'the dataplane is not connected');
  dataplane.error = undefined;
  ways.connected();
  t.true((await ways.way('a', 80)).isOpen());
  dataplane.error = new FulcrumError({ code: 'INTERNAL', message: 'broken' });
  ways.set('b', [way('192.0.2.1', '10.0.0.2')]);
  t.is(await saying(ways.way('b', 80)), 'the dataplane is not connected');
  dataplane.error = undefined;
  while ((await saying(ways.way('b', 80))) !== '') await new Promise(setImmediate);
  t.is(dataplane.told.at(-1)?.length, 2);
  ways.stop();
});

test('why there is no way is said once of each service', async (t) => {
  const dataplane = new FakeDataplane();
  const { ways, events } = made(dataplane, ['192.0.2.254', '192.0.2.9']);
  dataplane.problem = 'no kernel port has an IPv4 address';
  for (const last of [1, 2, 3]) ways.set(`${last}`, [way('192.0.2.1', `10.0.0.${last}`)]);
  t.is(await saying(ways.way('1', 80)), 'no kernel port has an IPv4 address');
  const told = () => events.map(({ kind, message }) => `${kind}: ${message}`);
  const expected = [
    'checks_not_made: TCP 192.0.2.1:80: checks cannot be sent to the VIP: no kernel port has an IPv4 address',
  ];
  t.deepEqual(told(), expected);
  ways.connected();
  await saying(ways.way('1', 80));
  t.deepEqual(told(), expected);
  dataplane.problem = '';
  ways.set('own', [way('192.0.2.9', '10.0.0.1')]);
  const own = '192.0.2.9 is an address of this host: what it sends there does not leave it';
  t.is(await saying(ways.way('own', 80)), own);
  t.deepEqual(told(), [...expected, `checks_not_made: TCP 192.0.2.9:80: checks cannot be sent to the VIP: ${own}`]);
  t.is(await saying(ways.way('1', 80)), '');
  ways.stop();
});

test('an edit that would need a kernel port is refused once it is known that there is none', async (t) => {
  const dataplane = new FakeDataplane();
  const { ways } = made(dataplane);
  const edit = (address: string): Operation[] => [
    { setTimeouts: {} },
    {
      setHealth: {
        service: { protocol: 'PROTOCOL_TCP', address, port: 80, fwmark: 0 },
        health: { checks: [{ ping: {} }, { tcp: {}, via: 'CHECK_VIA_VIP' }] },
      },
    },
  ];
  const refused = (address: string): string => {
    try {
      ways.checkEdit(edit(address));
    } catch (error) {
      return (error as FulcrumError).describe();
    }
    return '';
  };
  t.is(refused('192.0.2.1'), '');
  const interfaces = [{ addresses: ['192.0.2.254/24'] }, { addresses: [] }];
  dataplane.ports = [
    { kernel: [], interfaces: [{ addresses: ['2001:db8::1/64'] }] as unknown as Port__Output['interfaces'] },
    { kernel: [{}] as Port__Output['kernel'], interfaces: interfaces as unknown as Port__Output['interfaces'] },
  ];
  ways.connected();
  ways.set('a', [way('192.0.2.1', '10.0.0.1')]);
  await ways.way('a', 80);
  t.is(refused('192.0.2.1'), '');
  t.is(
    refused('2001:db8::80'),
    'health.checks[1].via: TCP [2001:db8::80]:80: no kernel port has an IPv6 address: the port of an interface that has one needs "kernel"',
  );
  ways.stop();
});
