// SPDX-License-Identifier: Apache-2.0
// fulcrum: what the looking commands print, as tables, JSON and YAML.
import test from 'ava';
import { parse, parseAllDocuments } from 'yaml';
import type { Connection } from '../../../src/generated/fulcrum/v1/Connection.js';
import { FulcrumError } from '../../../src/grpc/errors.js';
import type { DirectorHandlers } from './support/fake_director.js';
import { director, run } from './support/run_fulcrum.js';
import { services, statistics } from './support/sample_state.js';

const web = services.find(({ key }) => key?.address === '192.0.2.1' && key.port === 80) ?? null;

const answers: Partial<DirectorHandlers> = {
  listVirtualServices: async () => ({ services: [...services] }),
  getVirtualService: async () => ({ service: web }),
  getStatistics: async ({ service }) => ({
    services: statistics.filter(
      ({ key }) => !service || (key?.address === service.address && key.port === service.port),
    ),
    workers: [
      {
        worker: 0,
        cpu: 1,
        rxPackets: 18_446_744_073_709,
        busyNs: 250,
        totalNs: 1000,
        connections: 7,
        connectionCapacity: 100,
        statelessPackets: 31,
        adoptedConnections: 4,
      },
    ],
    verdicts: [
      { verdict: 'forwarded_nat', packets: '18446744073709551615' },
      { verdict: 'no_service', packets: 3, drop: true },
      { verdict: 'handover_full', packets: 0, drop: true },
    ],
  }),
};

test('service list', async (t) => {
  const fake = await director(t, answers);
  const { exitCode, output } = await run('service list', fake);
  t.is(exitCode, 0);
  const lines = output.trimEnd().split('\n');
  t.is(lines.length, services.length + 1);
  t.is(lines[0], 'SERVICE                  SCHEDULER  SERVERS  OPTIONS');
  t.true(lines.includes('tcp:192.0.2.1:443        sh               2  sh-fallback, sh-port, persistent 600'));
  t.true(lines.includes('fwmark:8:ipv6            rr               0'));
  const json = JSON.parse((await run('service list -o json', fake)).output);
  t.is(json.services.length, services.length);
  t.deepEqual(json.services[8], {
    address: 'udp:192.0.2.1:5060',
    scheduler: 'rr',
    persistence_timeout: 60,
    persistence_engine: 'sip',
    servers: [{ address: '10.0.2.13:5060', method: 'nat', weight: 1 }],
    etag: '',
  });
  t.deepEqual(parse((await run('service list -o yaml', fake)).output), json);
});

test('service show and server list join servers with their connections', async (t) => {
  const fake = await director(t, answers);
  const show = (await run('service show tcp:192.0.2.1:80', fake)).output;
  t.regex(show, /^service: {4}tcp:192\.0\.2\.1:80\nscheduler: {2}wrr\n/);
  const table = `SERVER        METHOD  WEIGHT  ACTIVE  INACTIVE
10.0.3.10:80  tun          2       3         1
10.0.2.12:80  dr           1       1         1
10.0.2.11:80  dr           3       3         2
`;
  t.true(show.endsWith(table));
  t.is((await run('server list tcp:192.0.2.1:80', fake)).output, table);
  const { servers } = JSON.parse((await run('server list tcp:192.0.2.1:80 -o json', fake)).output);
  t.like(servers[1], { address: '10.0.2.12:80', upper_threshold: 1000, lower_threshold: 800, active_connections: 1 });
});

test('without a dataplane servers are listed, with a warning and without numbers', async (t) => {
  const fake = await director(t, {
    ...answers,
    getStatistics: async () => {
      throw new FulcrumError({ code: 'UNAVAILABLE', message: 'the dataplane is not connected' });
    },
  });
  const { exitCode, output, complaints } = await run('server list tcp:192.0.2.1:80', fake);
  t.is(exitCode, 0);
  t.regex(output, /^10\.0\.2\.12:80 {2}dr {11}1 {7}- {9}-$/m);
  t.is(complaints, 'warning: connections are not known: the dataplane is not connected\n');
});

test('stats: services with sums, workers, verdicts that happened', async (t) => {
  const fake = await director(t, answers);
  const { output } = await run('stats', fake);
  t.regex(output, /^tcp:192\.0\.2\.1:80 +11 +26 +0 +1040 +0 +7 +4$/m);
  t.regex(output, /^ {2}-> 10\.0\.2\.11:80 +5 +12 +0 +480 +0 +3 +2$/m);
  t.regex(output, /^ +0 +1 +25\.0% +18446744073709 /m);
  t.regex(output, / ROOM +STATELESS +ADOPTED$/m);
  t.regex(output, / 100 +31 +4$/m);
  const json = JSON.parse((await run('stats -o json', fake)).output);
  t.like(json.workers[0], { stateless_packets: 31, adopted_connections: 4 });
  t.regex(output, /^no_service +3 {2}drop$/m);
  t.notRegex(output, /handover_full/);
  t.regex(
    (await run('stats verdicts --all', fake)).output,
    /^handover_full +0 {2}drop {2}the worker that owns its flow did not come after$/m,
  );
  t.is((await run('stats show tcp:192.0.2.1:80', fake)).output.split('\n').length, 6);
});

test('stats --rate: what the estimator makes of it, for all services or one', async (t) => {
  const fake = await director(t, { getStatistics: async () => ({ services: [...statistics] }) });
  const lines = (await run('stats --rate', fake)).output.split('\n');
  t.regex(lines[0] ?? '', /^SERVICE +CONNS\/S +IN PKTS\/S +OUT PKTS\/S +IN BYTES\/S +OUT BYTES\/S$/);
  t.true(lines.some((line) => /^tcp:192\.0\.2\.1:80 +1 +3 +0 +130 +0$/.test(line)));
  t.true(lines.some((line) => /^ {2}-> 10\.0\.2\.11:8443 +0 +1 +1 +60 +30$/.test(line)));
  t.is((await run('stats show tcp:192.0.2.1:80 --rate', fake)).output, lines.join('\n'));
  const json = JSON.parse((await run('stats --rate -o json', fake)).output);
  const web = json.services.find(({ service }: { service: string }) => service === 'tcp:192.0.2.1:80');
  t.deepEqual(web.rates, { connections: 1, in_packets: 3, in_bytes: 130, out_packets: 0, out_bytes: 0 });
});

test('stats as JSON: every verdict, and 64-bit counters as numbers with all their digits', async (t) => {
  const fake = await director(t, answers);
  const { output } = await run('stats -o json', fake);
  t.true(output.includes('"packets": 18446744073709551615'));
  const json = JSON.parse(output);
  t.is(json.verdicts.length, 3);
  t.like(json.workers[0], { worker: 0, cpu: 1, connections: 7, connection_capacity: 100 });
  t.like(json.services[5].servers[0], { server: '10.0.3.10:80', connections: 4, active_connections: 3 });
});

function connection(index: number): Connection {
  return {
    protocol: 'PROTOCOL_TCP',
    clientAddress: `198.18.${(index >> 8) & 255}.${index & 255}`,
    clientPort: 1024 + (index >> 16),
    virtualAddress: '203.0.113.10',
    virtualPort: 80,
    serverAddress: '10.0.0.11',
    serverPort: 8080,
    state: 'ESTABLISHED',
    expiresMs: 899_500,
    method: 'FORWARDING_METHOD_NAT',
    active: true,
    worker: 1,
    inPackets: 12,
  };
}

/** A table of `count` connections, given out in pages as they are asked for. */
function table(count: number): Partial<DirectorHandlers> {
  return {
    listConnections: async ({ pageSize, pageToken }) => {
      const from = Number(pageToken || 0);
      const to = Math.min(count, from + pageSize);
      const connections = Array.from({ length: to - from }, (_, at) => connection(from + at));
      return { connections, nextPageToken: to < count ? String(to) : '' };
    },
  };
}

test('connection list: a table, JSON lines, one YAML list', async (t) => {
  const fake = await director(t, table(2));
  t.is(
    (await run('connection list', fake)).output,
    `PROTO  CLIENT                 VIRTUAL                SERVER                 STATE        EXPIRES  METHOD  WORKER  IN PACKETS
tcp    198.18.0.0:1024        203.0.113.10:80        10.0.0.11:8080         ESTABLISHED     899s     nat       1          12
tcp    198.18.0.1:1024        203.0.113.10:80        10.0.0.11:8080         ESTABLISHED     899s     nat       1          12
`,
  );
  const rows = (await run('connection list -o json', fake)).output
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.like(rows[1], {
    protocol: 'tcp',
    client: '198.18.0.1:1024',
    server: '10.0.0.11:8080',
    expires_ms: 899_500,
    in_packets: 12,
  });
  t.deepEqual(parse((await run('connection list -o yaml', fake)).output), rows);
});

test('connection list: a masqueraded flow has its method, ICMP its name', async (t) => {
  const flow: Connection = {
    ...connection(0),
    clientAddress: '10.0.0.11',
    virtualAddress: '203.0.113.1',
    serverAddress: '198.51.100.7',
    method: 'FORWARDING_METHOD_UNSPECIFIED',
    masqueraded: true,
  };
  const ping: Connection = { ...flow, protocol: 'PROTOCOL_UNSPECIFIED', serverPort: 0, state: 'ECHO' };
  const fake = await director(t, { listConnections: async () => ({ connections: [flow, ping], nextPageToken: '' }) });
  const lines = (await run('connection list', fake)).output.split('\n');
  t.regex(lines[1] ?? '', /^tcp {4}10\.0\.0\.11:1024 .* 203\.0\.113\.1:80 .* 198\.51\.100\.7:8080 .* masquerade /);
  t.regex(lines[2] ?? '', /^icmp {3}10\.0\.0\.11:1024 .* 198\.51\.100\.7:0 .* ECHO .* masquerade /);
});

test('connection list: filters and limit go to the director', async (t) => {
  const fake = await director(t, table(100));
  const filters = '--server 10.0.0.11:8080 --client 198.18.0.0/24 --protocol tcp --state syn_recv';
  const line = `connection list --service tcp:203.0.113.10:80 ${filters} --limit 3`;
  t.is((await run(line, fake)).output.trimEnd().split('\n').length, 4);
  t.like(fake.requests('listConnections')[0], {
    pageSize: 3,
    filter: {
      service: { address: '203.0.113.10', port: 80 },
      serverAddress: '10.0.0.11',
      serverPort: 8080,
      client: '198.18.0.0/24',
      protocol: 'PROTOCOL_TCP',
      state: 'SYN_RECV',
    },
  });
});

test.serial('connection list: 200,000 rows are written page by page', async (t) => {
  const fake = await director(t, table(200_000));
  const { output, largestWrite } = await run('connection list', fake);
  t.is(output.split('\n').length, 200_002);
  t.true(largestWrite < output.length / 15, `${largestWrite} of ${output.length} characters at once`);
});

test('connection list: an empty table has titles, an unreachable one has nothing', async (t) => {
  const empty = await director(t, table(0));
  t.regex((await run('connection list', empty)).output, /^PROTO .*\n$/);
  t.is((await run('connection list -o json', empty)).output, '');
  const away = await director(t, {
    listConnections: async () => {
      throw new FulcrumError({ code: 'UNAVAILABLE', message: 'the dataplane is not connected' });
    },
  });
  t.like(await run('connection list', away), { exitCode: 4, output: '' });
});

test('neighbor list', async (t) => {
  const fake = await director(t, {
    listNeighbors: async () => ({
      neighbors: [
        {
          address: '10.0.0.11',
          interface: 'rs',
          mac: '02:00:00:00:00:0b',
          state: 'NEIGHBOR_STATE_REACHABLE',
          ageMs: 2500,
        },
        { address: '10.0.0.12', interface: 'rs', state: 'NEIGHBOR_STATE_INCOMPLETE' },
      ],
    }),
  });
  t.is(
    (await run('neighbor list', fake)).output,
    `ADDRESS    INTERFACE  MAC                STATE       AGE
10.0.0.11  rs         02:00:00:00:00:0b  reachable    2s
10.0.0.12  rs         -                  incomplete   0s
`,
  );
  const { neighbors } = JSON.parse((await run('neighbor list -o json', fake)).output);
  t.deepEqual(neighbors[0], {
    address: '10.0.0.11',
    interface: 'rs',
    mac: '02:00:00:00:00:0b',
    state: 'reachable',
    age_ms: 2500,
  });
});

test('port list', async (t) => {
  const fake = await director(t, {
    listPorts: async () => ({
      ports: [
        {
          name: 'wan',
          device: 'net_af_packet0,iface=wan',
          driver: 'net_af_packet',
          linkUp: true,
          speedMbps: 10_000,
          rssAligned: true,
          rxQueues: 1,
          txQueues: 2,
          rxMissed: 5,
          interfaces: [
            { name: 'wan.7', port: 'wan', vlan: 7, mac: '02:00:00:00:00:01', mtu: 1500, addresses: ['10.0.1.1/24'] },
          ],
          kernel: [
            {
              name: 'fk0.7',
              interface: 'wan.7',
              toKernelPackets: 12,
              fromKernelPackets: 9,
              classes: [
                { name: 'control', limitPerSecond: 50_000, passedPackets: 5, rateLimitedPackets: 1 },
                { name: 'rest', passedPackets: 7, rateLimitedPackets: 2, queueFullPackets: 4 },
              ],
            },
          ],
        },
      ],
    }),
  });
  const { output } = await run('port list', fake);
  t.regex(output, /^wan {3}net_af_packet {2}10000 Mbit\/s +1\/2 /m);
  t.regex(output, /^wan\.7 +wan +7 {2}02:00:00:00:00:01 {2}1500 {2}10\.0\.1\.1\/24$/m);
  t.regex(output, /^KERNEL +INTERFACE +TO +FROM +LIMITED +FULL +REFUSED\nfk0\.7 +wan\.7 +12 +9 +3 +4 +0$/m);
  const { ports } = JSON.parse((await run('port list -o json', fake)).output);
  t.is(ports[0].kernel[0].name, 'fk0.7');
  t.like(ports[0].kernel[0].classes[0], { name: 'control', limit_per_second: 50_000, rate_limited_packets: 1 });
  t.like(ports[0], {
    name: 'wan',
    link_up: true,
    rx_missed: 5,
  });
});

test('route list', async (t) => {
  const fake = await director(t, {
    listRoutes: async () => ({
      routes: [
        {
          destination: '0.0.0.0/0',
          via: '10.0.0.1',
          interface: 'wan',
          metric: 4096,
          protocol: 'static',
          inForce: true,
        },
        { destination: '10.0.0.0/24', interface: 'wan', protocol: 'kernel', fromKernel: true, inForce: true },
        { destination: '192.0.2.0/24', metric: 20, protocol: 'bgp', blackhole: true, fromKernel: true, inForce: true },
        { destination: '198.51.100.0/24', via: '10.0.0.9', interface: 'wan', protocol: 'bgp', fromKernel: true },
      ],
      withoutRoom: 1,
      notFollowed: 2,
    }),
  });
  t.is(
    (await run('route list', fake)).output,
    `DESTINATION      VIA        INTERFACE  METRIC  PROTOCOL  FROM           STATE
0.0.0.0/0        10.0.0.1   wan          4096  static    configuration  in force
10.0.0.0/24      on link    wan             0  kernel    kernel         in force
192.0.2.0/24     blackhole  -              20  bgp       kernel         in force
198.51.100.0/24  10.0.0.9   wan             0  bgp       kernel         no room

2 routes of the kernel are not followed: see its events (fulcrum watch)
`,
  );
  const shown = JSON.parse((await run('route list -o json', fake)).output);
  t.like(shown, { without_room: 1, not_followed: 2 });
  t.deepEqual(shown.routes[0], {
    destination: '0.0.0.0/0',
    via: '10.0.0.1',
    interface: 'wan',
    metric: 4096,
    protocol: 'static',
    blackhole: false,
    from_kernel: false,
    in_force: true,
  });
});

const dataplane = {
  connected: true,
  generationWanted: 4,
  generationApplied: 4,
  pid: 7,
  workers: 2,
  memory: 'no-huge',
  uptimeMs: 90_061_000,
};

test('status: well, behind, away', async (t) => {
  const well = await director(t, {
    getStatus: async () => ({ version: '0.1.0', pid: 5, services: 2, servers: 3, dataplane }),
  });
  const outcome = await run('status', well);
  t.is(outcome.exitCode, 0);
  t.regex(outcome.output, /^in force: +yes, generation 4$/m);
  t.regex(outcome.output, /up 1d 01:01:01/);
  t.like(JSON.parse((await run('status -o json', well)).output), {
    pid: 5,
    dataplane: { connected: true, workers: 2 },
  });
  t.notRegex(outcome.output, /^overload/m);
  const overloads = [
    { worker: 0, reason: 'new_connection_budget' },
    { worker: 1, reason: 'table_full', family: 'ADDRESS_FAMILY_IPV6' as const },
  ];
  const full = await director(t, { getStatus: async () => ({ dataplane: { ...dataplane, overloads } }) });
  const told = await run('status', full);
  t.is(told.exitCode, 0);
  t.regex(told.output, /^overload: +worker 0: new_connection_budget\noverload: +worker 1: table_full, ipv6$/m);
  t.deepEqual(JSON.parse((await run('status -o json', full)).output).dataplane.overloads, [
    { worker: 0, reason: 'new_connection_budget' },
    { worker: 1, reason: 'table_full', family: 'ipv6' },
  ]);
  const behind = await director(t, { getStatus: async () => ({ dataplane: { ...dataplane, generationWanted: 5 } }) });
  t.like(await run('status', behind), { exitCode: 3 });
  const away = await director(t, {
    getStatus: async () => ({ dataplane: { lastError: 'connect ENOENT', retryInMs: 200 } }),
  });
  const lost = await run('status', away);
  t.is(lost.exitCode, 4);
  t.regex(lost.output, /^dataplane: +not connected: connect ENOENT; next attempt in 200 ms$/m);
});

async function* events() {
  yield { revision: 'r1', service: web };
  yield { revision: 'r1', vip: { address: '192.0.2.1', announce: 'ANNOUNCE_ARP', state: 'VIP_STATE_ACTIVE' } as const };
  yield { revision: 'r1', timeouts: { tcpS: 900, tcpFinS: 120, udpS: 300 } };
  yield { revision: 'r1', tunables: { sloppyTcp: 1, amDroprate: 5 } };
  yield { revision: 'r1', markRules: { rules: [{ mark: 7, destination: '203.0.113.0/24' }] } };
  yield { revision: 'r1', endOfSnapshot: {} };
  yield { revision: 'r2', happened: { time: '2026-01-01T00:00:00Z', kind: 'dataplane_lost', message: 'gone' } };
  yield { revision: 'r3', serviceRemoved: { key: web?.key ?? null } };
}

test('watch: a line an event', async (t) => {
  const fake = await director(t, { watch: () => events() });
  t.is(
    (await run('watch', fake)).output,
    `service tcp:192.0.2.1:80 wrr 10.0.3.10:80/tun/2 10.0.2.12:80/dr/1 10.0.2.11:80/dr/3
vip 192.0.2.1 announce arp active
timeouts tcp 900 tcp_fin 120 udp 300
tunables sloppy_tcp 1 am_droprate 5
mark rules 1
-- end of snapshot, revision r1
2026-01-01T00:00:00Z dataplane_lost: gone
service removed tcp:192.0.2.1:80
`,
  );
});

test('watch: JSON lines and YAML documents', async (t) => {
  const fake = await director(t, { watch: () => events() });
  const lines = (await run('watch -o json', fake)).output
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  t.deepEqual(
    lines.map(({ event, revision }) => [event, revision]),
    [
      ['service', 'r1'],
      ['vip', 'r1'],
      ['timeouts', 'r1'],
      ['tunables', 'r1'],
      ['mark_rules', 'r1'],
      ['end_of_snapshot', 'r1'],
      ['happened', 'r2'],
      ['service_removed', 'r3'],
    ],
  );
  t.deepEqual(lines[3].tunables, { sloppy_tcp: 1, am_droprate: 5 });
  t.deepEqual(lines[4].mark_rules, [{ mark: 7, destination: '203.0.113.0/24' }]);
  t.is(lines[7].address, 'tcp:192.0.2.1:80');
  const documents = parseAllDocuments((await run('watch -o yaml', fake)).output);
  t.deepEqual(
    documents.map((document) => document.toJS()),
    lines,
  );
});

test('watch --once ends after the snapshot', async (t) => {
  const fake = await director(t, { watch: () => events() });
  t.is((await run('watch --once', fake)).output.trimEnd().split('\n').length, 6);
});
