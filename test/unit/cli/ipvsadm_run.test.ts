// SPDX-License-Identifier: Apache-2.0
// ipvsadm against a director: what it asks, prints, and ends with.
import test, { type ExecutionContext } from 'ava';
import { type Host, ipvsadm } from '../../../src/cli/ipvsadm/run.js';
import type { ApplyRequest__Output } from '../../../src/generated/fulcrum/v1/ApplyRequest.js';
import type { ApplyResponse } from '../../../src/generated/fulcrum/v1/ApplyResponse.js';
import type { OperationResult } from '../../../src/generated/fulcrum/v1/OperationResult.js';
import type { Reason } from '../../../src/generated/fulcrum/v1/Reason.js';
import { connectDirector, openDirector } from '../../../src/grpc/client.js';
import { FulcrumError } from '../../../src/grpc/errors.js';
import { capturedStreams } from './support/captured_streams.js';
import { type DirectorHandlers, type FakeDirector, fakeDirector } from './support/fake_director.js';
import { connections, fixture, portNames, services, statistics, tableSize } from './support/sample_state.js';

interface Outcome {
  readonly status: number;
  readonly output: string;
  readonly complaints: string;
}

interface Setting {
  readonly input?: string | readonly string[];
  readonly inputIsTerminal?: boolean;
}

async function run(line: string, director: FakeDirector, setting: Setting = {}): Promise<Outcome> {
  const streams = capturedStreams(setting.input, setting.inputIsTerminal);
  const host: Host = {
    ...streams,
    connect: async () => connectDirector(director.socket),
    portNames,
    resolver: { host: async () => undefined, port: (name, protocol) => portNames.number(name, protocol) },
    reverseLookup: async () => async () => undefined,
  };
  const status = await ipvsadm(line.split(' ').filter(Boolean), host);
  return { status, output: streams.output(), complaints: streams.complaints() };
}

async function director(t: ExecutionContext, answers: Partial<DirectorHandlers>): Promise<FakeDirector> {
  const fake = await fakeDirector(answers);
  t.teardown(() => fake.close());
  return fake;
}

const done: OperationResult = { reason: 'REASON_UNSPECIFIED', field: '', message: '' };
const refused = (reason: Reason, message = 'as the director words it'): OperationResult => ({
  reason,
  field: '',
  message,
});

/** Accepts every operation, or answers what `judge` says of it. */
function applier(judge: (index: number) => OperationResult = () => done, inForce = true) {
  return async (request: ApplyRequest__Output): Promise<ApplyResponse> => ({
    results: (request.operations?.operations ?? []).map((_, index) => judge(index)),
    inForce,
  });
}

const snapshot: Partial<DirectorHandlers> = {
  getStatus: async () => ({ dataplane: { connectionCapacity: tableSize } }),
  listVirtualServices: async () => ({ services: [...services] }),
  getStatistics: async () => ({ services: [...statistics] }),
};

test('an edit is one Apply in restore mode, and prints nothing', async (t) => {
  const fake = await director(t, { apply: applier() });
  t.deepEqual(await run('-A -t 192.0.2.1:80 -s rr', fake), { status: 0, output: '', complaints: '' });
  const [request] = fake.requests('apply');
  t.is(request?.mode, 'APPLY_MODE_RESTORE');
  t.is(request?.operations?.operations[0]?.addService?.spec?.scheduler, 'rr');
});

const refusals: readonly (readonly [line: string, reason: Reason, message: string])[] = [
  ['-A -t 192.0.2.1:80', 'REASON_SERVICE_EXISTS', 'Service already exists'],
  ['-A -t 192.0.2.1:80 -s nosuch', 'REASON_SCHEDULER_NOT_FOUND', 'Scheduler or persistence engine not found'],
  ['-E -t 192.0.2.1:80', 'REASON_SERVICE_NOT_FOUND', 'No such service'],
  ['-D -t 192.0.2.1:80', 'REASON_SERVICE_NOT_FOUND', 'No such service'],
  ['-Z -t 192.0.2.1:80', 'REASON_SERVICE_NOT_FOUND', 'No such service'],
  ['-a -t 192.0.2.1:80 -r 10.0.2.11', 'REASON_SERVICE_NOT_FOUND', 'Service not defined'],
  ['-e -t 192.0.2.1:80 -r 10.0.2.11', 'REASON_SERVICE_NOT_FOUND', 'Service not defined'],
  ['-d -t 192.0.2.1:80 -r 10.0.2.11', 'REASON_SERVICE_NOT_FOUND', 'Service not defined'],
  ['-a -t 192.0.2.1:80 -r 10.0.2.11', 'REASON_SERVER_EXISTS', 'Destination already exists'],
  ['-d -t 192.0.2.1:80 -r 10.0.2.11', 'REASON_SERVER_NOT_FOUND', 'No such destination'],
  [
    '-a -t 192.0.2.1:80 -r 224.0.0.1',
    'REASON_INVALID',
    'Invalid operation.  Possibly wrong module version, address not unicast, ...',
  ],
  ['-a -t 192.0.2.1:80 -r 10.0.2.9 -x 5 -y 6', 'REASON_OUT_OF_RANGE', 'Numerical result out of range'],
  ['-A -f 7', 'REASON_NOT_SUPPORTED', 'as the director words it'],
];

for (const [line, reason, message] of refusals) {
  test(`refused: ipvsadm ${line}: ${reason}`, async (t) => {
    const fake = await director(t, { apply: applier(() => refused(reason)) });
    t.deepEqual(await run(line, fake), { status: 255, output: '', complaints: `${message}\n` });
  });
}

test('an edit that is stored but not in force says so', async (t) => {
  const fake = await director(t, { apply: applier(() => done, false) });
  const { status, complaints } = await run('-C', fake);
  t.is(status, 255);
  t.regex(complaints, /^The change is stored, but not in force yet/);
});

test('a refused edit is not called stored', async (t) => {
  const fake = await director(t, { apply: applier(() => refused('REASON_SERVICE_EXISTS'), false) });
  t.is((await run('-A -t 192.0.2.1:80', fake)).complaints, 'Service already exists\n');
});

test('usage errors never reach the director', async (t) => {
  const fake = await director(t, {});
  t.deepEqual(await run('-A -s rr', fake), {
    status: 2,
    output: '',
    complaints: "You need to supply the 'service-address' option for the 'add-service' command\n",
  });
  t.is((await run('-Q', fake)).status, 255);
  t.is(fake.calls.length, 0);
});

const listings: readonly (readonly [line: string, file: string])[] = [
  ['', 'list-names.txt'],
  ['-Ln', 'list-numeric.txt'],
  ['-Ln --nosort', 'list-nosort.txt'],
  ['-Ln --stats', 'list-stats.txt'],
  ['-Ln --rate', 'list-rate.txt'],
  ['-Ln --stats --rate', 'list-stats.txt'],
  ['-Ln --rate --thresholds', 'list-rate.txt'],
  ['-Ln --thresholds --tun-info', 'list-thresholds.txt'],
  ['-S', 'save-names.txt'],
  ['-S -n', 'save-numeric.txt'],
];

for (const [line, file] of listings) {
  test(`listing: ipvsadm ${line}`, async (t) => {
    const fake = await director(t, snapshot);
    t.deepEqual(await run(line, fake), { status: 0, output: fixture(file), complaints: '' });
  });
}

test('--stats asks for counters as of the last run of the estimator, nothing else does', async (t) => {
  const fake = await director(t, snapshot);
  for (const line of ['-Ln --stats', '-Ln', '-Ln --rate']) await run(line, fake);
  t.deepEqual(
    fake.requests('getStatistics').map(({ estimated }) => estimated),
    [true, false, false],
  );
});

test('services come page by page', async (t) => {
  const fake = await director(t, {
    ...snapshot,
    listVirtualServices: async ({ pageToken }) => {
      const at = Number(pageToken || 0);
      return { services: services.slice(at, at + 1), nextPageToken: at + 1 < services.length ? String(at + 1) : '' };
    },
  });
  t.is((await run('-Ln', fake)).output, fixture('list-numeric.txt'));
});

test('one service is asked for by its key; one that is not there fails with 1', async (t) => {
  const web = services.find(({ key }) => key?.address === '192.0.2.1' && key.port === 80) ?? null;
  const fake = await director(t, {
    ...snapshot,
    getVirtualService: async ({ key }) => {
      if (key?.port === 80) return { service: web };
      throw new FulcrumError({ reason: 'REASON_SERVICE_NOT_FOUND', message: 'no such service' });
    },
  });
  t.is((await run('-Ln -t 192.0.2.1:80', fake)).output, fixture('list-one-service.txt'));
  t.deepEqual(await run('-Ln -t 192.0.2.1:81', fake), { status: 1, output: '', complaints: 'No such service\n' });
});

test('an empty table is three lines, and saves as nothing', async (t) => {
  const fake = await director(t, {
    ...snapshot,
    listVirtualServices: async () => ({}),
    getStatistics: async () => ({}),
  });
  t.is((await run('-Ln', fake)).output.split('\n').length, 4);
  t.deepEqual(await run('-S -n', fake), { status: 0, output: '', complaints: '' });
});

test('without a dataplane the rules are listed, with a warning and status 1', async (t) => {
  const fake = await director(t, {
    ...snapshot,
    getStatistics: async () => {
      throw new FulcrumError({ code: 'UNAVAILABLE', message: 'the dataplane is not connected' });
    },
  });
  const plain = await run('-Ln', fake);
  t.is(plain.status, 1);
  t.regex(plain.output, /TCP {2}192\.0\.2\.1:80 wrr/);
  t.regex(plain.complaints, /not available: the dataplane is not connected/);
  for (const line of ['-Ln --stats', '-Ln --rate']) {
    t.deepEqual(await run(line, fake), { status: 1, output: '', complaints: plain.complaints });
  }
});

test('connections come page by page and are written page by page; LVS masquerades nothing', async (t) => {
  const pages = 20;
  const masqueraded = connections.slice(0, 1).map((row) => ({ ...row, masqueraded: true }));
  const fake = await director(t, {
    listConnections: async ({ pageToken }) => {
      const page = Number(pageToken || 0);
      return { connections: [...masqueraded, ...connections], nextPageToken: page + 1 < pages ? String(page + 1) : '' };
    },
  });
  const streams = capturedStreams();
  const host: Host = {
    ...streams,
    connect: async () => connectDirector(fake.socket),
    portNames,
    resolver: { host: async () => undefined, port: () => undefined },
    reverseLookup: async () => async () => undefined,
  };
  t.is(await ipvsadm(['-Lnc'], host), 0);
  const rows = fixture('connections-numeric.txt').split('\n').slice(2).join('\n');
  t.is(streams.output(), fixture('connections-numeric.txt') + rows.repeat(pages - 1));
  t.is(streams.largestWrite(), rows.length);
});

test('timeouts, daemons', async (t) => {
  const fake = await director(t, { getTimeouts: async () => ({ timeouts: { tcpS: 900, tcpFinS: 120, udpS: 300 } }) });
  t.is((await run('-L --timeout', fake)).output, 'Timeout (tcp tcpfin udp): 900 120 300\n');
  t.deepEqual(await run('-L --daemon', fake), { status: 0, output: '', complaints: '' });
  t.is((await run('--start-daemon master', fake)).status, 255);
  t.deepEqual(await run('--stop-daemon master', fake), {
    status: 255,
    output: '',
    complaints: 'No daemon is running\n',
  });
});

test('the version line is the one that scripts look for', async (t) => {
  const fake = await director(t, {});
  t.regex((await run('-v', fake)).output, /^ipvsadm v1\.31 .*IPVS v1\.2\.1\)\n$/);
  t.regex((await run('-h', fake)).output, /^ipvsadm v1\.31 /);
});

test('no director: status 2, and the socket is named', async (t) => {
  const streams = capturedStreams();
  const host: Host = {
    ...streams,
    connect: () => openDirector('/nowhere/manager.sock'),
    portNames,
    resolver: { host: async () => undefined, port: () => undefined },
    reverseLookup: async () => async () => undefined,
  };
  t.is(await ipvsadm(['-Ln'], host), 2);
  t.regex(streams.complaints(), /^Can't initialize ipvs: .*\/nowhere\/manager\.sock/);
});

test('restore: edits in a row are one Apply, with blanks, empty lines and the word ipvsadm dropped', async (t) => {
  const fake = await director(t, { apply: applier() });
  const input = ['-A -t 192.0.2.1:80 -s rr\n\n', '  ipvsadm -a -t 192.0.2.1:8', '0 -r\t10.0.2.11 -m  \n-Z'];
  t.deepEqual(await run('-R', fake, { input }), { status: 0, output: '', complaints: '' });
  const requests = fake.requests('apply').map(({ operations }) => operations?.operations.map(({ action }) => action));
  t.deepEqual(requests, [['addService', 'addServer', 'zero']]);
});

test('restore: the saved rules make the same table again', async (t) => {
  const fake = await director(t, { apply: applier() });
  t.is((await run('-R', fake, { input: fixture('save-numeric.txt') })).status, 0);
  const operations = fake.requests('apply')[0]?.operations?.operations ?? [];
  t.is(operations.length, fixture('save-numeric.txt').trim().split('\n').length);
  const sh = operations.find(({ addService }) => addService?.spec?.scheduler === 'sh')?.addService;
  t.like(sh?.spec, { schedulerFlags: 3, persistenceTimeoutS: 600 });
  const tunnel = operations.find(({ addServer }) => addServer?.spec?.tunnelType === 'TUNNEL_TYPE_GUE')?.addServer;
  t.like(tunnel?.spec, { tunnelPort: 6080, tunnelChecksum: 'TUNNEL_CHECKSUM_CSUM' });
});

test('restore: a refusal is printed and it goes on; the status is that of the last line', async (t) => {
  const input = '-A -t 192.0.2.1:80 -s nosuch\n-A -t 192.0.2.2:80\n';
  const first = await director(t, {
    apply: applier((index) => (index === 0 ? refused('REASON_SCHEDULER_NOT_FOUND') : done)),
  });
  t.deepEqual(await run('-R', first, { input }), {
    status: 0,
    output: '',
    complaints: 'Scheduler or persistence engine not found\n',
  });
  const last = await director(t, {
    apply: applier((index) => (index === 1 ? refused('REASON_SERVICE_EXISTS') : done)),
  });
  t.is((await run('-R', last, { input })).status, 255);
});

test('restore: a usage error ends it there, with the lines before in force', async (t) => {
  const fake = await director(t, { apply: applier() });
  const input = '-A -t 192.0.2.8:80\n-A -t 80\n-A -t 192.0.2.9:80\n';
  t.deepEqual(await run('-R', fake, { input }), {
    status: 2,
    output: '',
    complaints: 'illegal virtual server address[:port] specified\n',
  });
  const operations = fake.requests('apply').flatMap((request) => request.operations?.operations ?? []);
  t.deepEqual(
    operations.map(({ addService }) => addService?.key?.address),
    ['192.0.2.8'],
  );
});

test('restore: there are no comments', async (t) => {
  const fake = await director(t, { apply: applier() });
  const outcome = await run('-R', fake, { input: '# rules\n-A -t 192.0.2.8:80\n' });
  t.deepEqual(outcome, {
    status: 255,
    output: '',
    complaints: "Try `ipvsadm -h' or 'ipvsadm --help' for more information.\n",
  });
  t.is(fake.calls.length, 0);
  t.is((await run('-R', fake, { input: '-A -t 192.0.2.8:80 # web\n' })).complaints, 'unexpected argument #\n');
});

test('restore: an option that cannot be read does not end it', async (t) => {
  const fake = await director(t, { apply: applier() });
  const outcome = await run('-R', fake, { input: '-A -t\n-A -t 192.0.2.8:80\n' });
  t.deepEqual(outcome, { status: 0, output: '', complaints: '-t: missing argument\n' });
  t.is(fake.requests('apply').length, 1);
});

test('restore: what is no edit is carried out in its place', async (t) => {
  const fake = await director(t, { ...snapshot, apply: applier() });
  const outcome = await run('-R', fake, { input: '-C\n-S -n\n-A -t 192.0.2.8:80\n' });
  t.deepEqual(outcome, { status: 0, output: fixture('save-numeric.txt'), complaints: '' });
  t.deepEqual(
    fake.calls.map(({ method }) => method),
    ['apply', 'listVirtualServices', 'apply'],
  );
});

test('restore: not within a restore', async (t) => {
  const fake = await director(t, {});
  t.is((await run('-R', fake, { input: '-R\n' })).status, 255);
});

test('restore: what a person types is in force line by line', async (t) => {
  const fake = await director(t, { apply: applier() });
  await run('-R', fake, { input: '-C\n-Z\n', inputIsTerminal: true });
  t.is(fake.requests('apply').length, 2);
});

test.serial('restore: ten thousand lines in one Apply, well under five seconds', async (t) => {
  const fake = await director(t, { apply: applier() });
  const servers = Array.from({ length: 9_999 }, (_, index) => `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`);
  const rules = servers.map((address) => `-a -t 192.0.2.1:80 -r ${address}:80 -m -w 1\n`);
  const began = performance.now();
  const { status } = await run('-R', fake, { input: `-A -t 192.0.2.1:80 -s rr\n${rules.join('')}` });
  t.is(status, 0);
  t.true(performance.now() - began < 5_000);
  t.deepEqual(
    fake.requests('apply').map(({ operations }) => operations?.operations.length),
    [10_000],
  );
});
