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
    text([...connectionTitleLines(false), ...connections.map((row) => connectionLine(row, names))]);
  t.is(table(numericNames), fixture('connections-numeric.txt'));
  t.is(table(named), fixture('connections-names.txt'));
});

test('connections with --persistent-conn have two more titles', (t) => {
  const [, title] = connectionTitleLines(true);
  t.is(
    title,
    'pro expire state       source             virtual            destination        pe name          pe_data',
  );
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
