// SPDX-License-Identifier: Apache-2.0
// fulcrum: what the editing commands ask of the director.
import test from 'ava';
import type { WatchDrainResponse } from '../../../src/generated/fulcrum/v1/WatchDrainResponse.js';
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

const drainLine = 'server drain tcp:203.0.113.10:80 10.0.0.11:8080';

/** A drain that has so many connections at first, and one less each time; then `outcome`. */
function draining(
  first: number,
  end: Partial<WatchDrainResponse> = { outcome: 'no connection is left', completed: true },
) {
  return {
    apply: async () => ({ results: [{}], inForce: true }),
    watchDrain: async function* () {
      for (let left = first; left > 0; left--)
        yield { activeConnections: left, inactiveConnections: 1, oldestMs: 125_000, leftMs: 48_900 };
      yield { activeConnections: 0, inactiveConnections: 0, drain: { atEnd: 'DRAIN_END_KEEP' as const }, ...end };
    },
  };
}

test('server drain begins one operation and tells how it goes until it has ended', async (t) => {
  const fake = await director(t, draining(2));
  const outcome = await run(`${drainLine} --timeout 1h30m --then remove --interval 200ms`, fake);
  t.is(
    outcome.output,
    `active 2  inactive 1  oldest 2m5s  time left 48s
active 1  inactive 1  oldest 2m5s  time left 48s
no connection is left
`,
  );
  t.is(outcome.exitCode, 0);
  const [operation] = fake.requests('apply')[0]?.operations?.operations ?? [];
  t.like(operation?.setDrain, {
    service: { address: '203.0.113.10', port: 80 },
    key: { address: '10.0.0.11', port: 8080 },
    drain: { atEnd: 'DRAIN_END_REMOVE', timeoutMs: 5_400_000, deadline: '' },
  });
  t.is(fake.requests('watchDrain')[0]?.intervalMs, 200);
});

test('server drain: JSON lines; the default is to wait for all and to keep the server', async (t) => {
  const fake = await director(t, draining(1));
  const { output } = await run(`${drainLine} -o json`, fake);
  const rows = output
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.deepEqual(rows[0], { active_connections: 1, inactive_connections: 1, oldest_ms: 125_000, left_ms: 48_900 });
  t.like(rows[1], { outcome: 'no connection is left', completed: true });
  const [operation] = fake.requests('apply')[0]?.operations?.operations ?? [];
  t.like(operation?.setDrain?.drain, { atEnd: 'DRAIN_END_KEEP', timeoutMs: 0 });
});

test('server drain --detach returns at once, --watch only follows', async (t) => {
  const fake = await director(t, draining(1));
  t.is((await run(`${drainLine} --detach`, fake)).exitCode, 0);
  t.deepEqual(
    fake.calls.map(({ method }) => method),
    ['apply'],
  );
  t.is((await run(`${drainLine} --watch`, fake)).exitCode, 0);
  t.deepEqual(
    fake.calls.map(({ method }) => method),
    ['apply', 'watchDrain'],
  );
  t.is((await run(`${drainLine} --watch --timeout 5m`, fake)).exitCode, 2);
});

test('server drain: called off, or connections that are kept, is exit status 1', async (t) => {
  const off = await director(t, draining(1, { outcome: 'called off', completed: false }));
  t.like(await run(drainLine, off), { exitCode: 1, complaints: 'fulcrum: the drain has ended: called off\n' });
  const left = { activeConnections: 3, outcome: 'time is up', completed: true };
  t.is((await run(drainLine, await director(t, draining(1, left)))).exitCode, 1);
  const cut = { ...left, drain: { atEnd: 'DRAIN_END_RESET' as const } };
  t.is((await run(drainLine, await director(t, draining(1, cut)))).exitCode, 0);
});

test('server drain that is not in force yet has its exit status', async (t) => {
  const fake = await director(t, { ...draining(1), apply: async () => ({ results: [{}], inForce: false }) });
  t.is((await run(drainLine, fake)).exitCode, 3);
  t.is((await run(`${drainLine} --detach`, fake)).exitCode, 3);
});

test('Ctrl-C leaves the drain going, says so, and ends with 130', async (t) => {
  const interrupted = new AbortController();
  const fake = await director(t, {
    ...draining(1),
    watchDrain: async function* (_request, { signal }) {
      yield { activeConnections: 1 };
      interrupted.abort();
      await new Promise((done) => signal.addEventListener('abort', done));
    },
  });
  const outcome = await run(drainLine, fake, { signal: interrupted.signal });
  t.is(outcome.exitCode, 130);
  t.regex(
    outcome.complaints,
    /the drain goes on: "fulcrum server drain tcp:203\.0\.113\.10:80 10\.0\.0\.11:8080 --watch"/,
  );
});

test('server undrain', async (t) => {
  const fake = await director(t, draining(1));
  t.is((await run('server undrain tcp:203.0.113.10:80 10.0.0.11:8080', fake)).exitCode, 0);
  const [operation] = fake.requests('apply')[0]?.operations?.operations ?? [];
  t.is(operation?.setDrain?.drain, null);
});

test('connection delete: what is meant, how, and how many it was', async (t) => {
  const fake = await director(t, { deleteConnections: async () => ({ connections: '12', templates: '3' }) });
  const filters =
    '--service tcp:203.0.113.10:80 --server 10.0.0.11 --client 198.51.100.0/24 --protocol tcp --state established';
  const { output } = await run(`connection delete ${filters} --reset --templates`, fake);
  t.is(output, 'deleted 12 connections and 3 templates\n');
  const [request] = fake.requests('deleteConnections');
  t.like(request, { all: false, reset: true, templates: true, validateOnly: false });
  t.like(request?.filter, { serverAddress: '10.0.0.11', client: '198.51.100.0/24', state: 'ESTABLISHED' });
  t.is(request?.filter?.serverPort, undefined);
  const all = await run('connection delete --all --dry-run -o json', fake);
  t.deepEqual(JSON.parse(all.output), { connections: 12, templates: 3 });
  t.like(fake.requests('deleteConnections')[1], { filter: null, all: true, validateOnly: true });
});

test('connection delete wants a filter or --all, and not both', async (t) => {
  const fake = await director(t, {});
  t.like(await run('connection delete', fake), { exitCode: 2 });
  t.like(await run('connection delete --all --server 10.0.0.11', fake), { exitCode: 2 });
  for (const wrong of ['--server 10.0.0', '--client 10.0.0.0/x', '--protocol icmp', '--service 10.0.0.1'])
    t.is((await run(`connection delete ${wrong}`, fake)).exitCode, 2, wrong);
  t.is(fake.calls.length, 0);
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
