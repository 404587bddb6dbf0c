// SPDX-License-Identifier: Apache-2.0
// fulcrum tunable, timeout and mark: what they print, and what they ask of the director.
import test, { type ExecutionContext } from 'ava';
import { parse } from 'yaml';
import { defaultTimeouts, keptTimeouts, timeouts } from '../../../src/config/timeouts.js';
import { tunables, tunableValues, withDefaults } from '../../../src/config/tunables.js';
import type { MarkRule } from '../../../src/generated/fulcrum/v1/MarkRule.js';
import { FulcrumError } from '../../../src/grpc/errors.js';
import { director, run } from './support/run_fulcrum.js';

const tuned = { ...withDefaults({}), connReuseMode: 0, secureTcp: 2 };

const withTunables = (t: ExecutionContext) =>
  director(t, {
    getTunables: async () => ({ tunables: tuned }),
    setTunables: async ({ tunables: given }) => ({
      tunables: { ...tuned, ...tunableValues(given ?? {}) },
      inForce: true,
    }),
  });

test('tunable list: all of them, or those that were changed', async (t) => {
  const fake = await withTunables(t);
  const all = (await run('tunable list', fake)).output.trimEnd().split('\n');
  t.is(all.length, 1 + tunables.length);
  t.regex(all[0] ?? '', /^NAME +VALUE +DEFAULT +MEANING$/);
  const changed = (await run('tunable list --changed', fake)).output.trimEnd().split('\n');
  t.deepEqual(
    changed.slice(1).map((line) => line.split(/ +/).slice(0, 3)),
    [
      ['conn_reuse_mode', '0', '1'],
      ['secure_tcp', '2', '0'],
    ],
  );
  const json = JSON.parse((await run('tunable list -o json', fake)).output);
  t.like(json.tunables[2], { name: 'conn_reuse_mode', value: 0, default: 1, minimum: 0, maximum: 3 });
});

test('tunable get: values, a line each; by name for programs', async (t) => {
  const fake = await withTunables(t);
  t.is((await run('tunable get conn_reuse_mode net.ipv4.vs.amemthresh', fake)).output, '0\n1024\n');
  t.deepEqual(JSON.parse((await run('tunable get secure_tcp pmtu_disc -o json', fake)).output), {
    secure_tcp: 2,
    pmtu_disc: 1,
  });
  t.deepEqual(parse((await run('tunable get secure_tcp -o yaml', fake)).output), { secure_tcp: 2 });
});

test('tunable set sends what is given, together', async (t) => {
  const fake = await withTunables(t);
  t.is((await run('tunable set sloppy_tcp=1 net.ipv4.vs.am_droprate=5', fake)).output, '');
  await run('tunable set sloppy_tcp=0 --dry-run --revision r7', fake);
  const [first, second] = fake.requests('setTunables');
  t.deepEqual(tunableValues(first?.tunables ?? {}), { sloppyTcp: 1, amDroprate: 5 });
  t.false(first?.validateOnly);
  t.like(second, { validateOnly: true, revision: 'r7' });
  const json = JSON.parse((await run('tunable set sloppy_tcp=1 -o json', fake)).output);
  t.like(json, { sloppy_tcp: 1, conn_reuse_mode: 0 });
});

test('tunable: those of the synchronisation are known, and refused', async (t) => {
  for (const line of ['tunable get sync_threshold', 'tunable set net.ipv4.vs.sync_ports=2']) {
    const { exitCode, complaints } = await run(line);
    t.is(exitCode, 1);
    t.regex(complaints, /^fulcrum: sync_\w+ is known to LVS, but connection synchronisation is not available yet\n$/);
  }
});

test('timeout list: all of them, or those that were changed', async (t) => {
  const fake = await director(t, { getTimeouts: async () => ({ timeouts: { ...defaultTimeouts, tcpSynRecvS: 5 } }) });
  t.is((await run('timeout list', fake)).output.trimEnd().split('\n').length, 1 + timeouts.length);
  t.is(
    (await run('timeout list --changed', fake)).output,
    'NAME          SECONDS  DEFAULT  STATE\ntcp_syn_recv        5       60  TCP SYN_RECV\n',
  );
  const json = JSON.parse((await run('timeout list -o json', fake)).output);
  t.deepEqual(json.timeouts[0], { name: 'tcp', state: 'TCP ESTABLISHED', seconds: 900, default: 900 });
});

test('timeout set: what is given; 0 is the default', async (t) => {
  const fake = await director(t, { apply: async () => ({ inForce: true }) });
  t.is((await run('timeout set tcp=3600 sctp_init1=5', fake)).exitCode, 0);
  t.deepEqual(JSON.parse((await run('timeout set udp=0 -o json --dry-run', fake)).output), { udp: 300 });
  const [first, second] = fake.requests('apply');
  t.deepEqual(first?.operations?.operations[0]?.setTimeouts, { ...keptTimeouts, tcpS: 3600, sctpInit1S: 5 });
  t.deepEqual(second?.operations?.operations[0]?.setTimeouts, { ...keptTimeouts, udpS: 300 });
  t.true(second?.validateOnly);
});

/** A director that holds mark rules, and after so many readings has somebody else change them. */
function withRules(t: ExecutionContext, before: readonly MarkRule[], meddling = 0) {
  let rules = [...before];
  let revision = 1;
  let left = meddling;
  return director(t, {
    getMarkRules: async () => {
      const answer = { markRules: { rules }, revision: `r-${revision}` };
      if (left-- > 0) {
        rules = [...rules, { mark: 100 + revision }];
        revision++;
      }
      return answer;
    },
    setMarkRules: async (request) => {
      if (request.revision !== `r-${revision}`) {
        throw new FulcrumError({ reason: 'REASON_STALE', field: 'revision', message: 'is not the current one' });
      }
      if (!request.validateOnly) {
        rules = request.markRules?.rules ?? [];
        revision++;
      }
      return { markRules: request.markRules, revision: `r-${revision}`, inForce: !request.validateOnly };
    },
  });
}

const marksOf = async (fake: Awaited<ReturnType<typeof director>>): Promise<unknown[]> =>
  JSON.parse((await run('mark list -o json', fake)).output).mark_rules.map(({ mark }: { mark: number }) => mark);

test('mark list: a table, and what a file would say', async (t) => {
  const fake = await withRules(t, [
    {
      family: 'ADDRESS_FAMILY_IPV4',
      protocol: 'PROTOCOL_TCP',
      destination: '203.0.113.0/24',
      destinationPorts: { first: 80, last: 80 },
      mark: 7,
    },
    { mark: 8, protocol: 'PROTOCOL_UDP', sourcePorts: { first: 1024, last: 65535 }, local: true },
  ]);
  t.is(
    (await run('mark list', fake)).output,
    `NUMBER  MARK  FAMILY  PROTOCOL  SOURCE  PORTS       DESTINATION     PORTS  LOCAL
     1     7  ipv4    tcp       any     any         203.0.113.0/24  80     no
     2     8  any     udp       any     1024-65535  any             any    yes
`,
  );
  t.deepEqual(JSON.parse((await run('mark list -o json', fake)).output), {
    mark_rules: [
      { mark: 7, protocol: 'tcp', destination: '203.0.113.0/24', destination_ports: 80 },
      { mark: 8, protocol: 'udp', source_ports: '1024-65535', local: true },
    ],
    revision: 'r-1',
  });
});

test('mark add: at the end, or where --at says', async (t) => {
  const fake = await withRules(t, [{ mark: 1 }, { mark: 2 }]);
  t.is((await run('mark add 3', fake)).exitCode, 0);
  await run('mark add 4 --at 1', fake);
  await run('mark add 5 --at 3', fake);
  await run('mark add 6 --at 99', fake);
  t.deepEqual(await marksOf(fake), [4, 1, 5, 2, 3, 6]);
});

test('mark add sends the whole rule; "--protocol tcp" is not half a service', async (t) => {
  const fake = await withRules(t, []);
  const line = 'mark add --source 198.51.100.0/24 --destination-ports 8000-8099 --local --protocol tcp 7 --dry-run';
  t.is((await run(line, fake)).exitCode, 0);
  const [request] = fake.requests('setMarkRules');
  t.true(request?.validateOnly);
  t.like(request?.markRules?.rules[0], {
    protocol: 'PROTOCOL_TCP',
    source: '198.51.100.0/24',
    destination: '',
    sourcePorts: null,
    destinationPorts: { first: 8000, last: 8099 },
    mark: 7,
    local: true,
  });
});

test('mark add: somebody else edits meanwhile, and nothing is lost', async (t) => {
  const fake = await withRules(t, [{ mark: 1 }], 3);
  t.is((await run('mark add 7', fake)).exitCode, 0);
  t.deepEqual(await marksOf(fake), [1, 101, 102, 103, 7]);
});

test('mark delete: by number, all of them; a list that changed meanwhile is refused', async (t) => {
  const fake = await withRules(t, [{ mark: 1 }, { mark: 2 }, { mark: 3 }]);
  t.is((await run('mark delete 1 3', fake)).exitCode, 0);
  t.deepEqual(await marksOf(fake), [2]);
  t.like(await run('mark delete 2', fake), { exitCode: 1, complaints: 'fulcrum: there is no rule 2; there are 1\n' });
  t.is((await run('mark delete --all', fake)).exitCode, 0);
  t.deepEqual(await marksOf(fake), []);
  const meddled = await withRules(t, [{ mark: 1 }, { mark: 2 }], 1);
  t.is((await run('mark delete 1', meddled)).exitCode, 1);
  t.deepEqual(await marksOf(meddled), [1, 2, 101]);
});

const wrong: readonly (readonly [line: string, complaint: RegExp])[] = [
  ['tunable set sloppy_tcp', /NAME=VALUE is needed/],
  ['tunable set sloppy_tcp=2', /sloppy_tcp needs a whole number from 0 to 1/],
  ['tunable set sloppy_tcp=', /sloppy_tcp needs a whole number/],
  ['tunable get slopy_tcp', /There is no tunable "slopy_tcp"; did you mean "sloppy_tcp"\?/],
  ['tunable get', /missing required argument 'name'/],
  ['timeout set tcp', /NAME=SECONDS is needed/],
  ['timeout set tcp=2678401', /tcp needs a whole number of seconds from 0 to 2678400/],
  ['timeout set tcp_syn=5', /There is no timeout "tcp_syn"/],
  ['mark add', /missing required argument 'mark'/],
  ['mark add 4294967296', /whole number from 0 to 4294967295/],
  ['mark add 7 --source 10.0.0.1/8', /10\.0\.0\.1\/8 has bits set behind its prefix length/],
  ['mark add 7 --destination lan', /"lan" is not an address or a prefix/],
  ['mark add 7 --source 10.0.0.0/8 --destination 2001:db8::/32', /not of the source's address family/],
  ['mark add 7 --destination-ports 80', /ports need a protocol: tcp, udp or sctp/],
  ['mark add 7 --protocol tcp --destination-ports 80-79', /80-79 ends before it begins/],
  ['mark add 7 --protocol icmp', /Allowed choices are tcp, udp, sctp/],
  ['mark delete', /give the numbers of the rules, or --all/],
  ['mark delete 1 --all', /give the numbers of the rules, or --all/],
  ['mark delete 0', /whole number from 1/],
  ['vip set 203.0.113.1/24', /has bits set behind its prefix length/],
  ['vip set 203.0.113.0/33', /or a range such as/],
];

for (const [line, complaint] of wrong) {
  test(`wrong usage: fulcrum ${line}`, async (t) => {
    const { exitCode, output, complaints } = await run(line);
    t.is(exitCode, 2);
    t.is(output, '');
    t.regex(complaints, complaint);
    t.is(complaints.trimEnd().split('\n').length, 1);
  });
}

test('vip set takes a range', async (t) => {
  const fake = await director(t, { setVip: async ({ vip }) => ({ vip, inForce: true }) });
  t.is((await run('vip set 203.0.113.0/24 --announce route', fake)).exitCode, 0);
  t.is(fake.requests('setVip')[0]?.vip?.address, '203.0.113.0/24');
});

test('help of the nouns: examples, options, exit codes', async (t) => {
  for (const noun of ['tunable', 'timeout', 'mark']) {
    const { output, exitCode } = await run(`${noun} --help`);
    t.is(exitCode, 0);
    t.regex(output, /Examples:\n {2}fulcrum /);
    t.regex(output, /Exit status:/);
  }
});
