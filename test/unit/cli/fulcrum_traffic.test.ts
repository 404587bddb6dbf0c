// SPDX-License-Identifier: Apache-2.0
// fulcrum prefix-list and service traffic: what they print, and what they ask of the director.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { FulcrumError } from '../../../src/grpc/errors.js';
import { director, run } from './support/run_fulcrum.js';

const key = { protocol: 'PROTOCOL_TCP', address: '203.0.113.10', port: 80 } as const;
const lists = [{ list: { name: 'bad', prefixes: ['10.0.0.0/8', '192.0.2.7/32'] }, prefixes: 2, services: [key] }];

function temporaryFile(t: ExecutionContext, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-traffic-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'list');
  writeFileSync(file, text);
  return file;
}

const withLists = (t: ExecutionContext) =>
  director(t, {
    listPrefixLists: async ({ name, namesOnly }) => ({
      lists: lists
        .filter(({ list }) => name === '' || list.name === name)
        .map((entry) => (namesOnly ? { ...entry, list: { name: entry.list.name } } : entry)),
      revision: 'r-7',
    }),
    apply: async () => ({ inForce: true }),
  });

test('prefix-list list and show', async (t) => {
  const fake = await withLists(t);
  t.is((await run('prefix-list list', fake)).output, 'NAME  PREFIXES  SERVICES\nbad          2  tcp:203.0.113.10:80\n');
  t.is((await run('prefix-list show bad', fake)).output, '10.0.0.0/8\n192.0.2.7/32\n');
});

test('prefix-list set, add, remove, delete', async (t) => {
  const fake = await withLists(t);
  const file = temporaryFile(t, '# those of RFC 1918\n10.0.0.0/8\n\n  172.16.0.0/12  # and these\n');
  await run(`prefix-list set new 198.51.100.7 --file ${file}`, fake);
  await run('prefix-list add bad 2001:db8::/32 --dry-run', fake);
  await run('prefix-list remove bad 192.0.2.7', fake);
  await run('prefix-list delete bad', fake);
  const [set, add, remove, deletion] = fake
    .requests('apply')
    .map(({ operations, validateOnly, revision }) => ({ ...operations?.operations[0], validateOnly, revision }));
  t.deepEqual(set?.setPrefixList, { name: 'new', prefixes: ['198.51.100.7', '10.0.0.0/8', '172.16.0.0/12'] });
  t.deepEqual(add?.setPrefixList?.prefixes, ['10.0.0.0/8', '192.0.2.7/32', '2001:db8::/32']);
  t.like(add, { validateOnly: true, revision: 'r-7' });
  t.deepEqual(remove?.setPrefixList?.prefixes, ['10.0.0.0/8']);
  t.is(deletion?.deletePrefixList, 'bad');
});

test('prefix-list: what is wrong is told with its place', async (t) => {
  const fake = await withLists(t);
  const file = temporaryFile(t, '10.0.0.0/8\n10.0.0.1/8\n');
  for (const [line, exitCode, complaint] of [
    [`prefix-list set bad --file ${file}`, 2, `fulcrum: ${file}:2: 10.0.0.1/8 has bits set behind its prefix length\n`],
    ['prefix-list set bad', 2, 'fulcrum: give prefixes, or --file\n'],
    ['prefix-list add worse 10.0.0.0/8', 1, 'fulcrum: there is no prefix list "worse"\n'],
    ['prefix-list remove bad 10.0.0.0/9', 1, 'fulcrum: 10.0.0.0/9 is not in the list\n'],
  ] as const) {
    const outcome = await run(line, fake);
    t.is(outcome.complaints, complaint);
    t.is(outcome.exitCode, exitCode, line);
  }
  t.is(fake.requests('apply').length, 0);
});

const before = { allow: ['bad'], connectionsPerSecond: 5, connectionsBurst: 9 };

test('service traffic: what is not given stays', async (t) => {
  let stale = 1;
  const fake = await director(t, {
    listVirtualServices: async () => ({ revision: 'r-7' }),
    getVirtualService: async () => ({ service: { key, spec: { scheduler: 'rr' }, traffic: before } }),
    apply: async () => {
      if (stale-- > 0) throw new FulcrumError({ reason: 'REASON_STALE', field: 'revision', message: 'it has changed' });
      return { inForce: true };
    },
  });
  const shown = (await run('service traffic tcp:203.0.113.10:80', fake)).output;
  t.is(shown, 'allow:                   bad\nconnections_per_second:  5\nconnections_burst:       9\n');
  await run('service traffic tcp:203.0.113.10:80 --deny bad,10.0.0.0/8 --max-connections 7 --mss auto', fake);
  await run('service traffic tcp:203.0.113.10:80 --mss 1360 --connections-per-second 0 --dry-run', fake);
  const [again, first, second] = fake.requests('apply');
  t.deepEqual(again, first);
  t.is(first?.revision, 'r-7');
  t.like(first?.operations?.operations[0]?.setTraffic?.traffic, {
    allow: ['bad'],
    deny: ['bad', '10.0.0.0/8'],
    maxConnections: 7,
    connectionsPerSecond: 5,
    connectionsBurst: 9,
    mss: 0,
    mssAuto: true,
  });
  t.true(second?.validateOnly);
  t.like(second?.operations?.operations[0]?.setTraffic?.traffic, {
    connectionsPerSecond: 0,
    connectionsBurst: 0,
    mss: 1360,
    mssAuto: false,
  });
  t.is((await run('service traffic tcp:203.0.113.10:80 --mss large', fake)).exitCode, 2);
});
