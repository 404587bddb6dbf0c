// SPDX-License-Identifier: Apache-2.0
// The fulcrum command against a manager that runs: settings go in, come out, and make a file that makes them again.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { runFulcrum } from './support/command.js';
import { type Rig, startRig } from './support/director.js';

/** Runs a command line; fails if it does not end with this status. */
async function run(t: ExecutionContext, rig: Rig, line: string, status = 0): Promise<string> {
  const ran = await runFulcrum(rig, line);
  t.is(ran.status, status, `${line}: ${ran.output}`);
  return ran.output;
}

function fileOf(t: ExecutionContext, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-cli-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'director.yaml');
  writeFileSync(path, text);
  return path;
}

test('tunables, timeouts and mark rules are set, read, and kept over a restart of the manager', async (t) => {
  const rig = await startRig(t);
  await run(t, rig, 'tunable set conn_reuse_mode=0 secure_tcp=1');
  await run(t, rig, 'timeout set tcp_syn_recv=5');
  await run(t, rig, 'mark add 7 --protocol tcp --destination 203.0.113.0/24 --destination-ports 80');
  await run(t, rig, 'mark add 8 --local --at 1');
  await rig.restartManager();
  await rig.dataplane.until(() => (rig.dataplane.calls.get('WatchEvents') ?? 0) > 1);
  rig.dataplane.active = { secureTcpActive: true };
  t.is(await run(t, rig, 'tunable get conn_reuse_mode secure_tcp'), '0\n2\n');
  t.regex(await run(t, rig, 'timeout list --changed'), /^tcp_syn_recv +5 +60 +TCP SYN_RECV$/m);
  const marks = (await run(t, rig, 'mark list'))
    .split('\n')
    .map((line) => line.trim().split(/ +/).slice(0, 2).join(' '));
  t.deepEqual(marks.slice(1, 3), ['1 8', '2 7']);
  await run(t, rig, 'mark delete 1');
  t.deepEqual(
    rig.dataplane.applied.at(-1)?.operations?.operations[0]?.setMarkRules?.rules.map(({ mark }) => mark),
    [7],
  );
});

test('what config show prints makes another director the same', async (t) => {
  const first = await startRig(t);
  for (const line of [
    'vip set 203.0.113.0/24 --announce route',
    'service add fwmark:7 --scheduler lblc',
    'server add fwmark:7 10.0.0.1',
    'service add fwmark:8:ipv6 --scheduler mh --flags mh-port',
    'server add fwmark:8:ipv6 10.0.0.2 --method tun --tunnel-type gue --tunnel-port 6080 --tunnel-checksum csum',
    'service add sctp:203.0.113.9:36412 --scheduler lc',
    'service add tcp:[2001:db8::1]:80 --persistence-timeout 60 --persistence-prefix 64',
    'server add tcp:[2001:db8::1]:80 2001:db8:2::1 --method nat',
    'tunable set sloppy_sctp=1 lblc_expiration=60',
    'timeout set sctp_init1=9 udp=30',
    'mark add 7 --destination 203.0.113.0/25',
    'mark add 8 --family ipv6 --protocol udp --source-ports 1024-65535 --local',
  ]) {
    t.is(await run(t, first, line), '', line);
  }
  const shown = await run(t, first, 'config show');
  const second = await startRig(t);
  const path = fileOf(t, shown);
  t.regex(await run(t, second, `config diff -f ${path} --prune`, 5), /^~ set_tunables /m);
  await run(t, second, `config apply -f ${path} --prune`);
  t.is(await run(t, second, 'config show'), shown);
  t.is(await run(t, second, `config diff -f ${path} --prune`), '');
  // Without the settings in the file, prune takes them back.
  const services = fileOf(t, shown.replace(/^(tunables|mark_rules):\n( .*\n)+/gm, ''));
  t.is(
    await run(t, second, `config apply -f ${services} --prune`),
    '~ set_tunables sloppy_sctp=0 lblc_expiration=86400\n~ set_mark_rules rules=\n',
  );
  t.is((await run(t, second, 'mark list')).split('\n').length, 2);
});

test('overload: what limits new connections is set, and status tells which worker has no room', async (t) => {
  const rig = await startRig(t);
  await run(t, rig, 'tunable set new_connections_per_second=50000 stateless_grace=0');
  t.like(rig.dataplane.applied.at(-1)?.operations?.operations[0]?.setTunables, {
    newConnectionsPerSecond: 50_000,
    statelessGrace: 0,
  });
  t.notRegex(await run(t, rig, 'status'), /^overload/m);
  rig.dataplane.overloads = [{ worker: 1, reason: 'table_full', family: 'ADDRESS_FAMILY_IPV4' }];
  t.regex(await run(t, rig, 'status'), /^overload: +worker 1: table_full, ipv4$/m);
});

test('a refusal of the manager points into the file', async (t) => {
  const rig = await startRig(t);
  const path = fileOf(t, 'tunables:\n  sloppy_tcp: 1\n  conntrack: 1\n');
  t.is(
    await run(t, rig, `config apply -f ${path}`, 1),
    `${path}:3:14: tunables.conntrack: conntrack stays 0: the director has no netfilter connection tracking\n`,
  );
  t.is(await run(t, rig, 'tunable get sloppy_tcp'), '0\n');
});

test('config apply --first: a manager takes the file once, and keeps what was edited since over a restart', async (t) => {
  const rig = await startRig(t);
  const file = fileOf(t, 'services: [{ address: tcp:203.0.113.10:80, scheduler: rr, servers: [] }]\n');
  await run(t, rig, `config apply -f ${file} --first`);
  await run(t, rig, 'service delete tcp:203.0.113.10:80');
  await rig.restartManager();
  t.is(await run(t, rig, `config apply -f ${file} --first`), '');
  t.false((await run(t, rig, 'service list')).includes('203.0.113.10'));
});
