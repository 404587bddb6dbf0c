// SPDX-License-Identifier: Apache-2.0
// Listings and saved rules, character by character as a real ipvsadm printed them.
import test from 'ava';
import { connectionLine, connectionTitleLines } from '../../../src/cli/ipvsadm/connections.js';
import { type ListingStyle, serviceLines, titleLines, versionLine } from '../../../src/cli/ipvsadm/listing.js';
import { compareAddresses, joinStatistics, type ListedService, sortServices } from '../../../src/cli/ipvsadm/model.js';
import { NameBook, type Names, numericNames, parseServicesFile } from '../../../src/cli/ipvsadm/names.js';
import { exactNumber, scaledNumber } from '../../../src/cli/ipvsadm/numbers.js';
import { ruleLines } from '../../../src/cli/ipvsadm/save.js';
import { connections, fixture, portNames, services, statistics, tableSize } from './support/sample_state.js';

const listed = joinStatistics(services, statistics);
const nobody = async (): Promise<undefined> => undefined;
const named = new NameBook(portNames, nobody);

const text = (lines: readonly string[]): string => `${lines.join('\n')}\n`;

function listing(entries: readonly ListedService[], style: Partial<ListingStyle>): string {
  const full: ListingStyle = { columns: 'plain', exact: false, names: numericNames, ...style };
  const rows = entries.flatMap((entry) => serviceLines(entry, full));
  return text([versionLine(tableSize), ...titleLines(full.columns), ...rows]);
}

const cases: readonly (readonly [file: string, style: Partial<ListingStyle>])[] = [
  ['list-numeric.txt', {}],
  ['list-names.txt', { names: named }],
  ['list-stats.txt', { columns: 'stats' }],
  ['list-stats.txt', { columns: 'stats', exact: true }],
  ['list-rate.txt', { columns: 'rate' }],
  ['list-rate.txt', { columns: 'rate', exact: true }],
  ['list-thresholds.txt', { columns: 'thresholds' }],
  ['list-persistent-conn.txt', { columns: 'persistent-conn' }],
  ['list-tun-info.txt', { columns: 'tun-info' }],
];
for (const [file, style] of cases) {
  test(`sorted listing: ${file}${style.exact ? ' --exact' : ''}`, (t) => {
    t.is(listing(sortServices(listed), style), fixture(file));
  });
}

test('--nosort keeps the order of creation, and the list order of servers', (t) => {
  t.is(listing(listed, {}), fixture('list-nosort.txt'));
});

test('one service has no version line', (t) => {
  const web = sortServices(listed).filter(({ key }) => key.port === 80 && key.address === '192.0.2.1');
  const style: ListingStyle = { columns: 'plain', exact: false, names: numericNames };
  t.is(
    text([...titleLines('plain'), ...web.flatMap((entry) => serviceLines(entry, style))]),
    fixture('list-one-service.txt'),
  );
});

test('saved rules, numeric and by name', (t) => {
  const rules = (names: Names): string => text(sortServices(listed).flatMap((service) => ruleLines(service, names)));
  t.is(rules(numericNames), fixture('save-numeric.txt'));
  t.is(rules(named), fixture('save-names.txt'));
});

test('connections, numeric and by name', (t) => {
  const table = (names: Names): string =>
    text([...connectionTitleLines(false), ...connections.map((row) => connectionLine(row, names, false))]);
  t.is(table(numericNames), fixture('connections-numeric.txt'));
  t.is(table(named), fixture('connections-names.txt'));
});

test('connections with --persistent-conn: engine and data where there are any', (t) => {
  const lines = connections.map((row) => connectionLine(row, numericNames, true));
  t.is(text([...connectionTitleLines(true), ...lines]), fixture('connections-persistent.txt'));
});

test('a template of a fwmark service: protocol IP, and the mark as an address', (t) => {
  const [first] = connections;
  if (first === undefined) throw new Error('the sample is empty');
  const template = {
    ...first,
    protocol: 'PROTOCOL_UNSPECIFIED',
    clientPort: 0,
    virtualPort: 0,
    serverPort: 0,
    state: 'NONE',
  } as const;
  t.is(
    connectionLine({ ...template, virtualAddress: '0.0.0.7', fwmark: 7 }, numericNames, false),
    'IP  00:57  NONE        198.51.100.1:0     0.0.0.7:0          10.0.2.11:0',
  );
  const six = { ...template, clientAddress: '2001:db8::1', virtualAddress: '0:7::', serverAddress: '2001:db8::b' };
  t.is(
    connectionLine({ ...six, fwmark: 7 }, named, false),
    'IP  00:57  NONE        [2001:db8::1]:0    [0:7::]:0          [2001:db8::b]:0',
  );
});

test('marks from 2^31 on are negative in listings, and sorted so; saved rules can be restored', (t) => {
  const mark = listed.find(({ key }) => key.fwmark === 7);
  if (mark === undefined) throw new Error('the sample has no mark');
  const high = { ...mark, key: { ...mark.key, fwmark: 4_294_967_295 }, servers: [] };
  const style: ListingStyle = { columns: 'plain', exact: false, names: numericNames };
  t.deepEqual(serviceLines(high, style), ['FWM  -1 lblc']);
  t.deepEqual(
    sortServices([mark, high]).map(({ key }) => key.fwmark),
    [4_294_967_295, 7],
  );
  t.deepEqual(ruleLines(high, numericNames), ['-A -f 4294967295 -s lblc']);
});

test('a server that is the director itself is Local, and saved as -g', (t) => {
  const [first] = listed;
  const server = first?.servers[0];
  if (first === undefined || server === undefined) throw new Error('the sample is empty');
  const local = { ...first, servers: [{ ...server, key: { address: '127.0.0.1', port: 36412 } }] };
  t.regex(serviceLines(local, { columns: 'plain', exact: false, names: numericNames })[1] ?? '', / Local {3}1 /);
  t.regex(ruleLines(local, numericNames)[1] ?? '', /-r 127\.0\.0\.1:36412 -g -w 1$/);
});

test('flags: sh and mh do not name the third bit, other schedulers do', (t) => {
  const [first] = listed;
  if (first === undefined) throw new Error('the sample is empty');
  const line = (scheduler: string, schedulerFlags: number): string =>
    serviceLines(
      { ...first, servers: [], spec: { ...first.spec, scheduler, schedulerFlags } },
      { columns: 'plain', exact: false, names: numericNames },
    )[0] ?? '';
  t.is(line('sh', 4), 'SCTP 192.0.2.2:36412 sh ()');
  t.is(line('mh', 7), 'SCTP 192.0.2.2:36412 mh (mh-fallback,mh-port)');
  t.is(line('wlc', 7), 'SCTP 192.0.2.2:36412 wlc (flag-1,flag-2,flag-3)');
});

test('long IPv4 host names are cut at the column, IPv6 ones are not', async (t) => {
  const host = 'a-host-name-that-is-longer-than-the-column.example.org';
  const names = new NameBook(portNames, async () => host);
  await names.learn(['192.0.2.1', '10.0.2.11', '2001:db8:ff::1', '2001:db8:2::c']);
  const lines = listed.flatMap((entry) => serviceLines(entry, { columns: 'stats', exact: false, names }));
  const numbers = '        2        2        0       80        0';
  t.true(lines.includes(`TCP  ${host.slice(0, 28)}${numbers}`));
  t.true(lines.includes(`  -> ${host.slice(0, 28)}${numbers}`));
  t.true(lines.includes(`TCP  ${host}:http        2        4        2      240      120`));
  t.true(lines.includes(`  -> ${host}:http-alt        2        4        2      240      120`));
});

test('numbers are cut to K, M, G and T', (t) => {
  const scaled: readonly (readonly [bigint, string])[] = [
    [0n, '        0'],
    [99_999_999n, ' 99999999'],
    [100_000_000n, '  100000K'],
    [123_456_789n, '  123456K'],
    [999_999_999n, '  999999K'],
    [1_000_000_000n, '    1000M'],
    [99_999_999_999n, '   99999M'],
    [100_000_000_000n, '     100G'],
    [99_999_999_999_999n, '   99999G'],
    [100_000_000_000_000n, '     100T'],
    [18_446_744_073_709_551_615n, '18446744T'],
  ];
  for (const [value, expected] of scaled) t.is(scaledNumber(value), expected);
});

test('--exact prints every digit and keeps columns apart', (t) => {
  t.is(exactNumber(0n), '        0');
  t.is(exactNumber(12_345_678n), ' 12345678');
  t.is(exactNumber(123_456_789n), ' 123456789');
  t.is(exactNumber(18_446_744_073_709_551_615n), ' 18446744073709551615');
});

test('addresses compare by family, then by signed 32-bit differences', (t) => {
  t.true(compareAddresses('10.0.2.9', '10.0.2.11') < 0);
  t.true(compareAddresses('255.255.255.255', '::1') < 0);
  t.true(compareAddresses('2001:db8::1', '2001:db8::2') < 0);
  t.true(compareAddresses('2001:db8:1::', '2001:db8::ffff:1') > 0);
  t.is(compareAddresses('2001:db8::1', '2001:db8:0:0::0:1'), 0);
  t.is(compareAddresses('::ffff:10.0.0.1', '::ffff:a00:1'), 0);
  // 128.0.0.0 apart and more: the difference turns negative, as it does in LVS.
  t.true(compareAddresses('200.0.0.1', '10.0.0.1') < 0);
});

test('services(5): comments, aliases, the first line wins, protocols are apart', (t) => {
  const ports = parseServicesFile(fixture('services.txt'));
  t.is(ports.name(8080, 'PROTOCOL_TCP'), 'http-alt');
  t.is(ports.number('webcache', 'PROTOCOL_TCP'), 8080);
  t.is(ports.number('www', 'PROTOCOL_TCP'), 80);
  t.is(ports.name(80, 'PROTOCOL_UDP'), undefined);
  t.is(ports.name(36412, 'PROTOCOL_SCTP'), undefined);
  t.is(ports.number('nosuchport', 'PROTOCOL_TCP'), undefined);
});
