// SPDX-License-Identifier: Apache-2.0
// Tunables, mark rules and timeouts through the API of a manager that runs.
import test from 'ava';
import { defaultTimeouts } from '../../src/config/timeouts.js';
import { tunableValues, withDefaults } from '../../src/config/tunables.js';
import { failure, startRig, tcp, webService } from './support/director.js';

const given = { sloppyTcp: 1, amDroprate: 5 };

test('tunables: set, read with defaults, sent on, kept over a restart', async (t) => {
  const { client, dataplane, restartManager } = await startRig(t);
  t.deepEqual(tunableValues((await client.getTunables({})).tunables ?? {}), withDefaults({}));
  const answer = await client.setTunables({ tunables: given });
  t.true(answer.inForce);
  t.deepEqual(tunableValues(answer.tunables ?? {}), withDefaults(given));
  const sent = dataplane.applied.at(-1)?.operations?.operations[0];
  t.is(sent?.action, 'setTunables');
  t.deepEqual(tunableValues(sent?.setTunables ?? {}), given);

  await restartManager();
  const read = await client.getTunables({});
  t.deepEqual(tunableValues(read.tunables ?? {}), withDefaults(given));
  t.is(read.revision, answer.revision);
});

test('a configuration names what is not at its default, and a new dataplane gets it with the snapshot', async (t) => {
  const { client, dataplane } = await startRig(t);
  await client.setTunables({ tunables: { ...given, connReuseMode: 1 } });
  await client.setMarkRules({ markRules: { rules: [{ destination: '203.0.113.0/24', mark: 7 }] } });
  await client.apply({ operations: { operations: [{ setTimeouts: { sctpClosedS: 5 } }] } });
  const { configuration } = await client.getConfiguration({});
  t.deepEqual(tunableValues(configuration?.tunables ?? {}), given);
  t.deepEqual(configuration?.timeouts, { ...defaultTimeouts, sctpClosedS: 5 });
  t.is(configuration?.markRules?.rules[0]?.family, 'ADDRESS_FAMILY_IPV4');

  const before = dataplane.applied.length;
  await dataplane.restart();
  await dataplane.until(() => dataplane.applied.length > before);
  const snapshot = dataplane.applied.at(-1)?.snapshot;
  t.deepEqual(snapshot?.timeouts, configuration?.timeouts);
  t.deepEqual(snapshot?.markRules, configuration?.markRules);
  t.deepEqual(tunableValues(snapshot?.tunables ?? {}), given);
});

test('an automatic defence reads 2 while it is at work; one that is always on stays 3', async (t) => {
  const { client, dataplane } = await startRig(t);
  await client.setTunables({ tunables: { secureTcp: 1, dropEntry: 1, dropPacket: 3 } });
  const readings = async () => {
    const { tunables: values } = await client.getTunables({});
    return [values?.secureTcp, values?.dropEntry, values?.dropPacket];
  };
  dataplane.active = { dropPacketActive: true };
  t.deepEqual(await readings(), [1, 1, 3]);
  dataplane.active = { secureTcpActive: true, dropEntryActive: true, dropPacketActive: true };
  t.deepEqual(await readings(), [2, 2, 3]);
  // What was read can be written back: it means the automatic mode.
  const { tunables: read } = await client.getTunables({});
  await client.setTunables({ tunables: tunableValues(read ?? {}) });
  dataplane.active = {};
  t.deepEqual(await readings(), [1, 1, 3]);
});

test('mark rules: set, read in normal form, replaced as a whole', async (t) => {
  const { client, dataplane } = await startRig(t);
  t.deepEqual((await client.getMarkRules({})).markRules, { rules: [] });
  const rule = {
    destination: '203.0.113.7',
    protocol: 'PROTOCOL_TCP',
    destinationPorts: { first: 80 },
    mark: 7,
  } as const;
  const answer = await client.setMarkRules({ markRules: { rules: [rule, { mark: 8, local: true }] } });
  t.true(answer.inForce);
  t.deepEqual(answer.markRules?.rules[0], {
    family: 'ADDRESS_FAMILY_IPV4',
    protocol: 'PROTOCOL_TCP',
    source: '',
    destination: '203.0.113.7/32',
    sourcePorts: null,
    destinationPorts: { first: 80, last: 80 },
    mark: 7,
    local: false,
  });
  const read = await client.getMarkRules({});
  t.deepEqual(read, { markRules: answer.markRules, revision: answer.revision });
  t.deepEqual(dataplane.applied.at(-1)?.operations?.operations[0]?.setMarkRules, read.markRules);
  await client.setMarkRules({ markRules: { rules: [] } });
  t.deepEqual((await client.getMarkRules({})).markRules, { rules: [] });
});

test('only validated: nothing changes', async (t) => {
  const { client, dataplane } = await startRig(t);
  const { revision } = await client.getTunables({});
  const before = dataplane.applied.length;
  const tuned = await client.setTunables({ tunables: given, validateOnly: true });
  t.is(tuned.tunables?.sloppyTcp, 1);
  t.false(tuned.inForce);
  await client.setMarkRules({ markRules: { rules: [{ mark: 7 }] }, validateOnly: true });
  t.is((await client.getTunables({})).revision, revision);
  t.is((await client.getTunables({})).tunables?.sloppyTcp, 0);
  t.deepEqual((await client.getMarkRules({})).markRules?.rules, []);
  t.is(dataplane.applied.length, before);
});

test('a revision that is not the current one is refused', async (t) => {
  const { client } = await startRig(t);
  const { revision } = await client.getMarkRules({});
  const { revision: newer } = await client.setTunables({ tunables: given, revision });
  t.is(await failure(client.setTunables({ tunables: given, revision })), 'ABORTED REASON_STALE revision');
  const rules = { markRules: { rules: [{ mark: 7 }] } };
  t.is(await failure(client.setMarkRules({ ...rules, revision })), 'ABORTED REASON_STALE revision');
  t.true((await client.setMarkRules({ ...rules, revision: newer })).inForce);
});

test('errors name the field as the request has it', async (t) => {
  const { client } = await startRig(t);
  t.is(
    await failure(client.setTunables({ tunables: { sloppyTcp: 2 } })),
    'OUT_OF_RANGE REASON_OUT_OF_RANGE tunables.sloppy_tcp',
  );
  t.is(
    await failure(client.setTunables({ tunables: { conntrack: 1 } })),
    'UNIMPLEMENTED REASON_NOT_SUPPORTED tunables.conntrack',
  );
  t.is(await failure(client.setTunables({})), 'INVALID_ARGUMENT REASON_INVALID tunables');
  t.is(await failure(client.setMarkRules({})), 'INVALID_ARGUMENT REASON_INVALID mark_rules');
  t.is(
    await failure(client.setMarkRules({ markRules: { rules: [{ mark: 1 }, { source: '10.0.0.1/8' }] } })),
    'INVALID_ARGUMENT REASON_INVALID mark_rules.rules[1].source',
  );
});

test('statistics: as they are now, or as of the last run of the estimator, with rates', async (t) => {
  const { client, dataplane } = await startRig(t);
  const key = tcp('192.0.2.1');
  await client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1') });
  const rates = { connections: 4, inBytes: 500 };
  dataplane.statistics = { services: [{ key, counters: { connections: 9 } }], workers: [] };
  dataplane.estimated = [
    { key, counters: { connections: 5 }, rates, servers: [{ key: { address: '10.0.0.1', port: 8080 }, rates }] },
  ];
  t.is((await client.getStatistics({})).services[0]?.counters?.connections, '9');
  t.is((await client.getStatistics({})).services[0]?.rates?.connections, '0');
  for (const service of [undefined, key]) {
    const request = { estimated: true, ...(service && { service }) };
    const [counted] = (await client.getStatistics(request)).services;
    t.is(counted?.counters?.connections, '5');
    t.like(counted?.rates, { connections: '4', inBytes: '500' });
    t.like(counted?.servers[0]?.rates, { connections: '4', inBytes: '500' });
  }
});
