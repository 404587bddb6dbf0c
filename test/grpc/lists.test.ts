// SPDX-License-Identifier: Apache-2.0
// Lists by pages, while what is listed changes.
import test from 'ava';
import type { DirectorClient } from '../../src/grpc/client.js';
import { failure, startRig, tcp, webService } from './support/director.js';

async function createServices(client: DirectorClient, count: number): Promise<void> {
  const services = Array.from({ length: count }, (_, index) => webService(`192.0.2.${index + 1}`));
  await client.apply({ configuration: { services } });
}

async function addresses(
  client: DirectorClient,
  pageSize: number,
  meanwhile: () => Promise<unknown>,
): Promise<string[]> {
  const seen: string[] = [];
  for (let pageToken = ''; ; ) {
    const page = await client.listVirtualServices({ pageSize, pageToken });
    seen.push(...page.services.map((service) => service.key?.address ?? ''));
    pageToken = page.nextPageToken;
    if (pageToken === '') return seen;
    await meanwhile();
  }
}

test('services by pages, in the order of creation', async (t) => {
  const { client } = await startRig(t);
  await createServices(client, 25);
  const expected = Array.from({ length: 25 }, (_, index) => `192.0.2.${index + 1}`);
  for (const size of [1, 10, 24, 25, 26, 0]) t.deepEqual(await addresses(client, size, async () => {}), expected);
});

test('services that live during the listing appear exactly once, whatever else is done', async (t) => {
  const { client } = await startRig(t);
  await createServices(client, 30);
  let step = 0;
  const seen = await addresses(client, 4, async () => {
    step++;
    await client.deleteVirtualService({ key: tcp(`192.0.2.${step * 2}`) });
    await client.createVirtualService({ service: webService(`198.51.100.${step}`) });
  });
  const lived = Array.from({ length: 30 }, (_, index) => index + 1).filter(
    (index) => index % 2 === 1 || index > step * 2,
  );
  for (const index of lived)
    t.is(seen.filter((address) => address === `192.0.2.${index}`).length, 1, `192.0.2.${index}`);
  t.is(new Set(seen).size, seen.length);
});

test('servers by pages, the newest first, across changes', async (t) => {
  const { client } = await startRig(t);
  const names = Array.from({ length: 12 }, (_, index) => `10.0.0.${index + 1}`);
  await client.createVirtualService({ service: webService('192.0.2.1', ...names) });
  const seen: string[] = [];
  for (let pageToken = ''; ; ) {
    const page = await client.listRealServers({ service: tcp('192.0.2.1'), pageSize: 5, pageToken });
    seen.push(...page.servers.map((server) => server.key?.address ?? ''));
    if (page.nextPageToken === '') break;
    pageToken = page.nextPageToken;
    // A new one goes to the head, before what has been read; the last one read goes away.
    const extra = {
      key: { address: '10.0.1.1', port: seen.length },
      spec: { method: 'FORWARDING_METHOD_NAT' },
    } as const;
    await client.createRealServer({ service: tcp('192.0.2.1'), server: extra });
    await client.deleteRealServer({ service: tcp('192.0.2.1'), key: { address: seen.at(-1) ?? '', port: 8080 } });
  }
  t.deepEqual(seen, names.toReversed());
});

test('page tokens of another list, or of nobody, are refused', async (t) => {
  const { client } = await startRig(t);
  await client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1', '10.0.0.2') });
  await client.createVirtualService({ service: webService('192.0.2.2', '10.0.0.1') });
  const { nextPageToken } = await client.listRealServers({ service: tcp('192.0.2.1'), pageSize: 1 });
  const expected = 'INVALID_ARGUMENT REASON_INVALID page_token';
  t.is(await failure(client.listVirtualServices({ pageToken: nextPageToken })), expected);
  t.is(await failure(client.listRealServers({ service: tcp('192.0.2.2'), pageToken: nextPageToken })), expected);
  t.is(await failure(client.listVirtualServices({ pageToken: 'xyz' })), expected);
  t.is(await failure(client.listConnections({ pageToken: nextPageToken })), expected);
});

function connection(index: number) {
  return {
    clientAddress: `198.51.100.${index & 255}`,
    clientPort: index,
    serverAddress: `10.0.0.${index % 4}`,
    serverPort: 80,
  };
}

test('connections: every one, by pages of the dataplane', async (t) => {
  const { client, dataplane } = await startRig(t);
  dataplane.connections = Array.from({ length: 2_500 }, (_, index) => connection(index));
  const seen: number[] = [];
  let pages = 0;
  for (let pageToken = ''; pages === 0 || pageToken !== ''; pages++) {
    const page = await client.listConnections({ pageSize: 300, pageToken });
    seen.push(...page.connections.map((one) => one.clientPort));
    pageToken = page.nextPageToken;
  }
  t.is(pages, 9);
  t.deepEqual(
    seen,
    Array.from({ length: 2_500 }, (_, index) => index),
  );
});

test('connections: pages that the filter empties are passed over', async (t) => {
  const { client, dataplane } = await startRig(t);
  dataplane.connections = Array.from({ length: 400 }, (_, index) => ({
    ...connection(index),
    serverAddress: index === 399 ? '10.0.0.9' : '10.0.0.1',
  }));
  const seen: number[] = [];
  let pages = 0;
  for (let pageToken = ''; pages === 0 || pageToken !== ''; pages++) {
    const page = await client.listConnections({ pageSize: 10, filter: { serverAddress: '10.0.0.9' }, pageToken });
    seen.push(...page.connections.map((one) => one.clientPort));
    pageToken = page.nextPageToken;
  }
  t.deepEqual(seen, [399]);
  t.true(pages < 40);
  t.is(
    await failure(client.listConnections({ filter: { serverAddress: '10.0.0' } })),
    'INVALID_ARGUMENT REASON_INVALID filter.server_address',
  );
});

test('connections: a token of a dataplane that was restarted is stale', async (t) => {
  const { client, dataplane } = await startRig(t);
  dataplane.connections = Array.from({ length: 20 }, (_, index) => connection(index));
  const { nextPageToken } = await client.listConnections({ pageSize: 10 });
  await dataplane.restart();
  await dataplane.until(() => dataplane.applied.length === 2);
  t.is(await failure(client.listConnections({ pageToken: nextPageToken })), 'ABORTED REASON_STALE page_token');
});

test('statistics: what is configured, with what was counted, and sums over the workers', async (t) => {
  const { client, dataplane } = await startRig(t);
  await client.createVirtualService({ service: webService('192.0.2.1', '10.0.0.1', '10.0.0.2') });
  await client.createVirtualService({ service: webService('192.0.2.2') });
  const counters = { connections: 5, inPackets: '18446744073709551615', inBytes: 1, outPackets: 2, outBytes: 3 };
  dataplane.statistics = {
    services: [
      { key: tcp('192.0.2.9'), counters },
      {
        key: tcp('192.0.2.1'),
        counters,
        servers: [
          { key: { address: '10.0.0.1', port: 8080 }, counters, activeConnections: 4, inactiveConnections: 1 },
          { key: { address: '10.0.0.7', port: 8080 }, counters },
        ],
      },
    ],
    workers: [0, 1].map((worker) => ({
      worker,
      verdicts: [
        { verdict: 'forwarded_nat', packets: '9007199254740993' },
        { verdict: 'no_service', packets: worker, drop: true },
      ],
    })),
  };
  const { services, workers, verdicts } = await client.getStatistics({});
  t.deepEqual(
    services.map((one) => [one.key?.address, one.counters?.connections, one.counters?.inPackets]),
    [
      ['192.0.2.1', '5', '18446744073709551615'],
      ['192.0.2.2', '0', '0'],
    ],
  );
  t.deepEqual(
    services[0]?.servers.map((one) => [one.key?.address, one.activeConnections, one.counters?.outBytes]),
    [
      ['10.0.0.2', '0', '0'],
      ['10.0.0.1', '4', '3'],
    ],
  );
  t.is(workers.length, 2);
  t.deepEqual(verdicts, [
    { verdict: 'forwarded_nat', packets: '18014398509481986', drop: false },
    { verdict: 'no_service', packets: '1', drop: true },
  ]);
  const one = await client.getStatistics({ service: tcp('192.0.2.1') });
  t.deepEqual([one.services.length, one.workers.length, one.verdicts.length], [1, 0, 0]);
  t.is(
    await failure(client.getStatistics({ service: tcp('192.0.2.8') })),
    'NOT_FOUND REASON_SERVICE_NOT_FOUND service',
  );
});

test('neighbours, ports and routes are the dataplane’s', async (t) => {
  const { client } = await startRig(t);
  await client.createVirtualService({ service: webService('192.0.2.1') });
  t.like((await client.listNeighbors({})).neighbors[0], { address: '10.0.0.1', mac: '02:00:00:00:00:01' });
  t.like((await client.listPorts({})).ports[0], { name: 'wan', linkUp: true });
  t.like((await client.listRoutes({})).routes[0], { destination: '0.0.0.0/0', via: '10.0.0.1' });
});
