// SPDX-License-Identifier: Apache-2.0
// fulcrum: what the editing commands ask of the director.
import test from 'ava';
import type { ServerStatistics } from '../../../src/generated/fulcrum/v1/ServerStatistics.js';
import { FulcrumError } from '../../../src/grpc/errors.js';
import { director, run } from './support/run_fulcrum.js';

const service = {
  key: { protocol: 'PROTOCOL_TCP', address: '203.0.113.10', port: 80 },
  spec: { scheduler: 'wrr' },
  etag: 'r-7',
} as const;
const server = {
  key: { address: '10.0.0.11', port: 8080 },
  spec: { method: 'FORWARDING_METHOD_NAT', weight: 2 },
  etag: 'r-8',
} as const;

test('service add sends what was given, and prints the service for programs', async (t) => {
  const fake = await director(t, { createVirtualService: async () => ({ service, inForce: true }) });
  const settings =
    '--scheduler sh --flags sh-port,flag-3 --persistence-timeout 60 --persistence-prefix 24 --one-packet';
  t.is((await run(`service add tcp:203.0.113.10:80 ${settings}`, fake)).output, '');
  const json = await run('service add tcp:203.0.113.10:80 -o json', fake);
  t.deepEqual(JSON.parse(json.output), { address: 'tcp:203.0.113.10:80', scheduler: 'wrr', servers: [], etag: 'r-7' });
  const [full, plain] = fake.requests('createVirtualService');
  t.like(full?.service?.spec, {
    scheduler: 'sh',
    schedulerFlags: 6,
    persistenceTimeoutS: 60,
    persistencePrefix: 24,
    onePacket: true,
  });
  // The director chooses the default.
  t.is(plain?.service?.spec?.scheduler, '');
});

test('service edit names only what was given', async (t) => {
  const fake = await director(t, { updateVirtualService: async () => ({ service, inForce: true }) });
  await run('service edit tcp:203.0.113.10:80 --scheduler lc --no-one-packet --flags none --etag r-7', fake);
  const [request] = fake.requests('updateVirtualService');
  t.deepEqual(request?.updateMask?.paths, ['spec.scheduler', 'spec.scheduler_flags', 'spec.one_packet']);
  t.is(request?.service?.etag, 'r-7');
  t.false(request?.validateOnly);
});

test('server add leaves the port of the service, and unset values to the director', async (t) => {
  const fake = await director(t, { createRealServer: async () => ({ server, inForce: true }) });
  await run('server add tcp:203.0.113.10:80 10.0.0.11', fake);
  await run('server add tcp:203.0.113.10:80 10.0.0.11:8080 --method nat --weight 0 --dry-run', fake);
  const [plain, full] = fake.requests('createRealServer');
  t.deepEqual(plain?.server?.key, { address: '10.0.0.11', port: 80 });
  t.is(plain?.server?.spec?.method, 'FORWARDING_METHOD_UNSPECIFIED');
  t.is(plain?.server?.spec?.weight, undefined);
  t.deepEqual(full?.server?.key, { address: '10.0.0.11', port: 8080 });
  t.like(full?.server?.spec, { method: 'FORWARDING_METHOD_NAT', weight: 0 });
  t.true(full?.validateOnly);
});

test('server edit, delete', async (t) => {
  const fake = await director(t, {
    updateRealServer: async () => ({ server, inForce: true }),
    deleteRealServer: async () => ({ inForce: true }),
  });
  const edited = await run('server edit tcp:203.0.113.10:80 10.0.0.11:8080 --weight 2 -o json', fake);
  t.deepEqual(JSON.parse(edited.output), { address: '10.0.0.11:8080', method: 'nat', weight: 2, etag: 'r-8' });
  t.deepEqual(fake.requests('updateRealServer')[0]?.updateMask?.paths, ['spec.weight']);
  await run('server delete tcp:203.0.113.10:80 10.0.0.11:8080 --etag r-8', fake);
  t.like(fake.requests('deleteRealServer')[0], { key: { address: '10.0.0.11', port: 8080 }, etag: 'r-8' });
});

test('what is stored but not in force ends with 3, and still prints what was stored', async (t) => {
  const fake = await director(t, { createVirtualService: async () => ({ service, inForce: false }) });
  const outcome = await run('service add tcp:203.0.113.10:80 -o json', fake);
  t.is(outcome.exitCode, 3);
  t.is(JSON.parse(outcome.output).etag, 'r-7');
  t.regex(outcome.complaints, /^fulcrum: stored, but not in force yet/);
  // A dry run never is in force.
  t.is((await run('service add tcp:203.0.113.10:80 --dry-run', fake)).exitCode, 0);
});

/** Statistics of a server whose connections go down by one with every question. */
function emptying(connections: number) {
  let left = connections + 1;
  return async () => {
    left--;
    const counted: ServerStatistics = {
      key: server.key,
      activeConnections: Math.max(0, left - 1),
      inactiveConnections: Math.min(left, 1),
    };
    return { services: [{ key: service.key, servers: [counted] }] };
  };
}

test('server drain sets weight 0 and returns at once', async (t) => {
  const fake = await director(t, { updateRealServer: async () => ({ server, inForce: true }) });
  t.is((await run('server drain tcp:203.0.113.10:80 10.0.0.11:8080', fake)).exitCode, 0);
  const [request] = fake.requests('updateRealServer');
  t.is(request?.server?.spec?.weight, 0);
  t.deepEqual(request?.updateMask?.paths, ['spec.weight']);
  t.is(fake.calls.length, 1);
});

test('server drain --wait asks until no connection is left, active or inactive', async (t) => {
  const fake = await director(t, {
    updateRealServer: async () => ({ server, inForce: true }),
    getStatistics: emptying(3),
  });
  const outcome = await run('server drain tcp:203.0.113.10:80 10.0.0.11:8080 --wait --interval 0.01', fake);
  t.is(outcome.exitCode, 0);
  t.is(fake.requests('getStatistics').length, 4);
});

test('server drain --timeout gives up', async (t) => {
  const fake = await director(t, {
    updateRealServer: async () => ({ server, inForce: true }),
    getStatistics: emptying(1_000_000),
  });
  const line = 'server drain tcp:203.0.113.10:80 10.0.0.11:8080 --wait --interval 0.01 --timeout 0.05';
  const outcome = await run(line, fake);
  t.is(outcome.exitCode, 1);
  t.regex(outcome.complaints, /10\.0\.0\.11:8080 still has \d+ connections after 0\.05 s/);
});

test('Ctrl-C ends a wait with 130', async (t) => {
  const interrupted = new AbortController();
  const fake = await director(t, {
    updateRealServer: async () => ({ server, inForce: true }),
    getStatistics: async () => {
      interrupted.abort();
      return emptying(5)();
    },
  });
  const line = 'server drain tcp:203.0.113.10:80 10.0.0.11:8080 --wait --interval 3600';
  t.is((await run(line, fake, { signal: interrupted.signal })).exitCode, 130);
});

test('vip set, activate, standby, delete', async (t) => {
  const fake = await director(t, {
    setVip: async ({ vip }) => ({ vip, inForce: true }),
    deleteVip: async () => ({ inForce: true }),
  });
  await run('vip set 203.0.113.10 --announce route', fake);
  await run('vip activate 203.0.113.10', fake);
  await run('vip standby 203.0.113.10', fake);
  const wanted = fake.requests('setVip').map(({ vip }) => [vip?.announce, vip?.state]);
  t.deepEqual(wanted, [
    ['ANNOUNCE_ROUTE', 'VIP_STATE_UNSPECIFIED'],
    ['ANNOUNCE_UNSPECIFIED', 'VIP_STATE_ACTIVE'],
    ['ANNOUNCE_UNSPECIFIED', 'VIP_STATE_STANDBY'],
  ]);
  t.is((await run('vip delete 203.0.113.10', fake)).exitCode, 0);
  t.is(fake.requests('deleteVip')[0]?.address, '203.0.113.10');
});

test('stats zero is an operation, of one service or of all', async (t) => {
  const fake = await director(t, { apply: async () => ({ results: [{}], inForce: true }) });
  await run('stats zero', fake);
  await run('stats zero tcp:203.0.113.10:80', fake);
  const zeros = fake.requests('apply').map((request) => request.operations?.operations[0]?.zero?.service?.address);
  t.deepEqual(zeros, [undefined, '203.0.113.10']);
});

test('stats zero of a service that is not there is refused', async (t) => {
  const fake = await director(t, {
    apply: async () => ({ results: [{ reason: 'REASON_SERVICE_NOT_FOUND', message: 'no such service' }] }),
  });
  t.deepEqual((await run('stats zero tcp:203.0.113.10:80', fake)).complaints, 'fulcrum: no such service\n');
});

test('an edit whose deadline passes says so', async (t) => {
  const fake = await director(t, {
    deleteVip: async () => {
      throw new FulcrumError({ code: 'DEADLINE_EXCEEDED', message: 'too late' });
    },
  });
  t.is((await run('vip delete 203.0.113.10', fake)).exitCode, 4);
});
