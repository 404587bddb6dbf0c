// SPDX-License-Identifier: Apache-2.0
// keepalived.conf piece by piece: what comes before parsing, grammar, inheritance, defaults, corrections.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { ConfigurationError } from '../../../src/config/document.js';
import type { CheckEntry } from '../../../src/config/health_check.js';
import type { ServiceEntry } from '../../../src/config/services.js';
import { UnreadableFile } from '../../../src/import/files.js';
import type { Import } from '../../../src/import/finish.js';
import { importKeepalived } from '../../../src/import/keepalived/import.js';
import { defaultConfigId } from '../../../src/import/keepalived/lines.js';
import { formatWarning } from '../../../src/import/source.js';

type Files = Readonly<Record<string, string>>;

interface Outcome extends Import {
  readonly lines: readonly string[];
  readonly errors: readonly string[];
}

/** Imports k.conf of a directory that is gone afterwards; messages have paths relative to it. */
function read(t: ExecutionContext, files: string | Files, id = 'lb1'): Outcome {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-import-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  for (const [name, text] of Object.entries(typeof files === 'string' ? { 'k.conf': files } : files)) {
    mkdirSync(dirname(join(directory, name)), { recursive: true });
    writeFileSync(join(directory, name), text);
  }
  const short = (text: string): string => text.replaceAll(`${directory}/`, '');
  try {
    const result = importKeepalived(join(directory, 'k.conf'), id);
    return { ...result, lines: result.warnings.map((one) => short(formatWarning(one))), errors: [] };
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    return { configuration: {}, warnings: [], lines: [], errors: short(error.message).split('\n') };
  }
}

const services = ({ configuration }: Outcome): readonly ServiceEntry[] => configuration.services ?? [];
const addresses = (outcome: Outcome): readonly string[] => services(outcome).map(({ address }) => address);

/** A service in which nothing is left to a default. */
const service = (inside: string, key = '203.0.113.1 80'): string =>
  `virtual_server ${key} {\n lvs_sched wlc\n lvs_method NAT\n protocol TCP\n${inside}\n}\n`;

/** The one check that a checker becomes, and what is said about it. */
function checkOf(
  t: ExecutionContext,
  checker: string,
  outer = '',
): { check: CheckEntry | undefined; lines: readonly string[] } {
  const outcome = read(t, service(`${outer}\n real_server 10.0.0.1 80 {\n${checker}\n}`));
  t.deepEqual(outcome.errors, []);
  const health = services(outcome)[0]?.health;
  t.true((health?.checks?.length ?? 0) <= 1);
  return { check: health?.checks?.[0], lines: outcome.lines };
}

const quiet = 'real_server 10.0.0.1 80 {\n}\n';

// Before parsing.

test('comments begin with # or ! outside of quotes', (t) => {
  const outcome = read(
    t,
    service('quorum_up "/bin/echo #1 ! two" # said\n! nothing\n real_server 10.0.0.1 80 { ! here\n } # there'),
  );
  t.deepEqual(outcome.lines, []);
  t.deepEqual(services(outcome)[0]?.health?.quorum_up, ['/bin/echo', '#1', '!', 'two']);
});

test('@id and @^id', (t) => {
  const text = `@lb1 ${service(quiet).replaceAll('\n', '\n@lb1 ')}\n@^lb1 this is not for us {\n`;
  t.deepEqual(addresses(read(t, text, 'lb1')), ['tcp:203.0.113.1:80']);
  t.deepEqual(read(t, text, 'lb2').errors, ['k.conf:10:7: the block of "this" is not closed: "}" is missing']);
  t.false(defaultConfigId().includes('.'));
});

test('includes: patterns in order, nested, relative to the file that has them', (t) => {
  const outcome = read(t, {
    'k.conf': 'include conf.d/[ab]*.conf\ninclude {x,y}.conf\n',
    'conf.d/b.conf': service('include ../pools/p?.inc', '203.0.113.2 80'),
    'conf.d/a.conf': service(quiet, '203.0.113.1 80'),
    'conf.d/c.conf': service(quiet, '203.0.113.3 80'),
    'pools/p1.inc': 'real_server 10.0.0.1 80 {\n}\n',
    'pools/p2.inc': 'real_server 10.0.0.2 80 {\n wait\n}\n',
    'y.conf': service(quiet, '203.0.113.4 80'),
  });
  t.deepEqual(addresses(outcome), ['tcp:203.0.113.1:80', 'tcp:203.0.113.2:80', 'tcp:203.0.113.4:80']);
  t.is(services(outcome)[1]?.servers?.length, 2);
  t.deepEqual(outcome.lines, ['pools/p2.inc:2: unknown keyword "wait" in real_server; skipped']);
});

test('a file that includes itself is refused, and one that is not there told', (t) => {
  const endless = read(t, { 'k.conf': 'include a.conf\n', 'a.conf': '\n include k.conf\n' });
  t.deepEqual(endless.errors, ['a.conf:2:1: k.conf includes itself']);
  t.deepEqual(read(t, 'include nowhere/*.conf\n').lines, ['k.conf:1: include: no file matches nowhere/*.conf']);
  t.throws(() => importKeepalived('/nonexistent/k.conf'), {
    instanceOf: UnreadableFile,
    message: '/nonexistent/k.conf: no such file',
  });
});

test('definitions are expanded at use, also in each other and in other names', (t) => {
  const first = service(`real_server $HOST \${PORT} {\n}`);
  const second = service(`real_server \${HOST} 80 {\n}`, '203.0.113.2 80');
  const text = `$PORT = 8080\n$NET=10.9\n$HOST = $NET.0.7\n${first}$NET=10.8\n${second}`;
  const outcome = read(t, text);
  t.deepEqual(
    services(outcome).map(({ servers }) => servers?.[0]?.address),
    ['10.9.0.7:8080', '10.8.0.7:80'],
  );
});

test('definitions without end, and sequences that get nowhere, are refused with their place', (t) => {
  t.deepEqual(read(t, '$A=$B x\n$B=$A\n$A {\n}\n').errors, ['k.conf:3:1: definitions refer to each other without end']);
  t.deepEqual(read(t, '$A=$A$A\n$A\n').errors, ['k.conf:2:1: definitions refer to each other without end']);
  t.deepEqual(read(t, '~SEQ(I, 1, 0, 3) x\n').errors, ['k.conf:1:1: ~SEQ does not get from 1 to 3 by steps of 0']);
  t.deepEqual(read(t, '~SEQ(I, 3, 1, 1) x\n').errors, ['k.conf:1:1: ~SEQ does not get from 3 to 1 by steps of 1']);
  t.deepEqual(read(t, '~SEQ(I, a) x\n').errors, ['k.conf:1:1: ~SEQ needs whole numbers: START, STEP, END; not "a"']);
  t.deepEqual(read(t, '~SEQ(I) x\n').errors, ['k.conf:1:1: this is not ~SEQ(NAME, START, STEP, END)']);
});

test('sequences count up and down, within each other, with definitions as bounds', (t) => {
  const text = `$N=2\nvirtual_server_group G {\n~SEQ(I, 1, $N) ~SEQ(J, 5, -2, 1) 203.0.$I.$J 80\n~SEQ(K, 2) 198.51.100.$K 80\n}\n${service(quiet, 'group G')}`;
  t.deepEqual(
    addresses(read(t, text)).map((address) => address.slice('tcp:'.length, -':80'.length)),
    ['203.0.1.5', '203.0.1.3', '203.0.1.1', '203.0.2.5', '203.0.2.3', '203.0.2.1', '198.51.100.1', '198.51.100.2'],
  );
});

// Grammar.

const syntax: readonly (readonly [text: string, error: string])[] = [
  ['global_defs {\n', 'k.conf:1:1: the block of "global_defs" is not closed: "}" is missing'],
  ['global_defs {\n}\n  }\n', 'k.conf:3:3: "}" closes nothing'],
  ['{\n}\n', 'k.conf:1:1: "{" has no keyword in front of it'],
  ['a {\n}\n{\n}\n', 'k.conf:3:1: "{" has no keyword in front of it'],
  ['global_defs {\n  router_id "lb\n}\n', 'k.conf:2:13: a quote is not closed'],
];

for (const [text, error] of syntax) {
  test(`refused: ${JSON.stringify(text)}`, (t) => {
    t.deepEqual(read(t, text).errors, [error]);
  });
}

test('braces may stand at the end of a line, alone, or around one statement', (t) => {
  const text = service(
    'real_server 10.0.0.1 80\n{\n TCP_CHECK{\n connect_timeout 1\n }\n}\nreal_server 10.0.0.2 80 {\n TCP_CHECK { connect_timeout 1 }\n}',
  );
  const outcome = read(t, text);
  t.deepEqual(outcome.lines, []);
  t.is(services(outcome)[0]?.health?.checks?.[0]?.timeout, 1);
});

test('an unknown keyword is skipped with its block', (t) => {
  const outcome = read(t, `teleport {\n  virtual_server {\n  }\n}\n${service(quiet)}`);
  t.deepEqual(outcome.lines, ['k.conf:1: unknown keyword "teleport" in the file; skipped with its block']);
  t.is(services(outcome).length, 1);
});

// Services.

test('a virtual server with nothing written is UDP, wlc and NAT, and says so', (t) => {
  const outcome = read(t, 'virtual_server 203.0.113.1 80 {\nreal_server 10.0.0.1 {\n}\n}\n');
  t.deepEqual(services(outcome), [
    {
      address: 'udp:203.0.113.1:80',
      scheduler: 'wlc',
      servers: [{ address: '10.0.0.1:80', method: 'nat', weight: 1 }],
    },
  ]);
  t.deepEqual(outcome.lines, [
    'k.conf:1: no lvs_sched: wlc, as keepalived has it',
    'k.conf:1: no lvs_method: NAT, as keepalived has it',
    'k.conf:1: no protocol: UDP, as keepalived has it',
  ]);
});

test('groups: addresses, ranges of both kinds, networks, both families, marks', (t) => {
  const group =
    'virtual_server_group G {\n 192.0.2.254-255 80\n 192.0.2.255-192.0.3.1 81\n 198.51.100.7/30 82\n 2001:db8::fe-100 83\n fwmark 3\n fwmark 4 inet6\n nonsense 5\n 10.0.0.9-3 80\n 10.0.0.0/8 80\n 10.0.0.1 x\n}\n';
  const outcome = read(
    t,
    `${group}${service('persistence_timeout 60\nreal_server 10.0.0.1 {\n}\nreal_server 2001:db8:1::1 {\n}', 'group G')}`,
  );
  t.deepEqual(addresses(outcome), [
    'tcp:192.0.2.254:80',
    'tcp:192.0.2.255:80',
    'tcp:192.0.2.255:81',
    'tcp:192.0.3.0:81',
    'tcp:192.0.3.1:81',
    'tcp:198.51.100.4:82',
    'tcp:198.51.100.5:82',
    'tcp:198.51.100.6:82',
    'tcp:198.51.100.7:82',
    'tcp:[2001:db8::fe]:83',
    'tcp:[2001:db8::ff]:83',
    'tcp:[2001:db8::100]:83',
    'fwmark:3',
    'fwmark:4:ipv6',
  ]);
  t.deepEqual(outcome.lines.slice(0, 4), [
    'k.conf:8: nonsense: not an address, a range or a network; skipped',
    'k.conf:9: 10.0.0.9-3: ends before it begins; skipped',
    'k.conf:10: 10.0.0.0/8: more than 65536 addresses; skipped',
    'k.conf:11: "x" is not a port; skipped',
  ]);
});

test('a service takes the ports that its method leaves', (t) => {
  const pool =
    'real_server 10.0.0.1 8080 {\n lvs_method NAT\n TCP_CHECK\n}\nreal_server 10.0.0.2 8080 {\n lvs_method DR\n TCP_CHECK\n}\nreal_server 10.0.0.3 {\n lvs_method TUN\n TCP_CHECK\n}';
  const ports = (outcome: Outcome): readonly unknown[] =>
    (services(outcome)[0]?.servers ?? []).map(({ address, health }) => [address, health?.checks?.[0]?.port]);
  t.deepEqual(ports(read(t, service(pool))), [
    ['10.0.0.1:8080', undefined],
    ['10.0.0.2:80', 8080],
    ['10.0.0.3:80', undefined],
  ]);
  t.deepEqual(ports(read(t, service(pool, 'fwmark 5'))), [
    ['10.0.0.1:8080', undefined],
    ['10.0.0.2:0', 8080],
    ['10.0.0.3:0', undefined],
  ]);
});

test('a check without any port is told', (t) => {
  const inside = 'lvs_method DR\nreal_server 10.0.0.1 {\n TCP_CHECK\n PING_CHECK\n}';
  t.deepEqual(read(t, service(inside, 'fwmark 5')).lines, [
    'k.conf:6: a check of type tcp has no port and fails: write connect_port',
  ]);
  t.deepEqual(read(t, service(inside)).lines, []);
});

test('persistence: bare, by granularity, by port 0', (t) => {
  const persistence = (inside: string, key?: string) => {
    const [first] = services(read(t, service(`${inside}\n${quiet}`, key)));
    return [first?.persistence_timeout, first?.persistence_prefix];
  };
  t.deepEqual(persistence(''), [undefined, undefined]);
  t.deepEqual(persistence('persistence_timeout'), [360, undefined]);
  t.deepEqual(persistence('persistence_timeout 2678400'), [2678400, undefined]);
  t.deepEqual(persistence('persistence_timeout 2678401'), [undefined, undefined]);
  t.deepEqual(persistence('persistence_granularity 255.255.0.0'), [360, 16]);
  t.deepEqual(persistence('persistence_granularity 255.0.255.0'), [undefined, undefined]);
  t.deepEqual(persistence('', '203.0.113.1 0'), [360, undefined]);
  t.deepEqual(persistence('', '203.0.113.1'), [360, undefined]);
  t.deepEqual(persistence('', 'fwmark 1'), [undefined, undefined]);
});

test('flags go by the scheduler, whatever the order', (t) => {
  const flags = (inside: string) => services(read(t, service(`${inside}\n${quiet}`)))[0]?.scheduler_flags;
  t.deepEqual(flags('sh-port\nflag-3\nlvs_sched sh'), ['sh-port', 'flag-3']);
  t.deepEqual(flags('flag-1\nlb_algo mh'), ['mh-fallback']);
});

test('the quorum is kept possible', (t) => {
  const quorum = (inside: string) => {
    const outcome = read(
      t,
      service(`${inside}\nreal_server 10.0.0.1 80 {\n weight 3\n}\nreal_server 10.0.0.2 80 {\n}`),
    );
    const { quorum: value, hysteresis } = services(outcome)[0]?.health ?? {};
    return [value, hysteresis, outcome.lines.length];
  };
  t.deepEqual(quorum('quorum 4\nhysteresis 3'), [4, 3, 0]);
  t.deepEqual(quorum('quorum 5'), [4, undefined, 1]);
  t.deepEqual(quorum('quorum 2\nhysteresis 2'), [2, 1, 1]);
  t.deepEqual(quorum('hysteresis 1'), [undefined, undefined, 1]);
});

test('weight, method and thresholds of servers', (t) => {
  const outcome = read(
    t,
    service(
      'weight 7\nreal_server 10.0.0.1 80 {\n}\nreal_server 10.0.0.2 80 {\n weight 2\n uthreshold 10\n lthreshold 5\n lb_kind TUN type gue port 6080 remcsum\n}',
    ),
  );
  t.deepEqual(services(outcome)[0]?.servers, [
    { address: '10.0.0.1:80', method: 'nat', weight: 7 },
    {
      address: '10.0.0.2:80',
      method: 'tun',
      weight: 2,
      upper_threshold: 10,
      lower_threshold: 5,
      tunnel_type: 'gue',
      tunnel_port: 6080,
      tunnel_checksum: 'remcsum',
    },
  ]);
});

test('alpha is that of the checkers; a server that nothing checks is up', (t) => {
  const outcome = read(
    t,
    service(
      'alpha\nreal_server 10.0.0.1 80 {\n TCP_CHECK\n}\nreal_server 10.0.0.2 80 {\n alpha no\n TCP_CHECK\n PING_CHECK {\n alpha\n}\n}\nreal_server 10.0.0.3 80 {\n TCP_CHECK {\n alpha off\n}\n}\nreal_server 10.0.0.4 80 {\n}',
    ),
  );
  const [first] = services(outcome);
  t.true(first?.health?.alpha);
  t.deepEqual(
    first?.servers?.map((server) => server.health?.alpha),
    [undefined, undefined, false, false],
  );
  t.deepEqual(read(t, service(`alpha\n${quiet}`)).lines, ['k.conf:1: alpha has no effect without checkers; left out']);
});

test('a sorry server has the method of its service, or its own', (t) => {
  const sorry = (inside: string) => services(read(t, service(`${inside}\n${quiet}`)))[0]?.health;
  t.deepEqual(sorry('sorry_server 10.0.0.9'), { sorry_server: { address: '10.0.0.9:80', method: 'nat' } });
  t.deepEqual(sorry('sorry_server 10.0.0.9 81\nsorry_server_inhibit\nsorry_server_lvs_method DR'), {
    sorry_server: { address: '10.0.0.9:80', method: 'dr' },
    sorry_server_inhibit: true,
  });
});

test('addresses have one form, and must be those of hosts', (t) => {
  const outcome = read(
    t,
    service(
      'real_server 2001:0DB8::1 80 {\n}\nreal_server 2001:db8:0::1 80 {\n}\nreal_server 0.0.0.0 80 {\n}',
      '2001:DB8:0::9 80',
    ),
  );
  t.deepEqual(addresses(outcome), ['tcp:[2001:db8::9]:80']);
  t.deepEqual(
    services(outcome)[0]?.servers?.map(({ address }) => address),
    ['[2001:db8::1]:80'],
  );
  t.deepEqual(outcome.lines, [
    'k.conf:7: real_server [2001:db8::1]:80 is there already; the second one is dropped, as keepalived does',
    'k.conf:9: real_server: 0.0.0.0 names no host; skipped',
  ]);
});

test('timeouts are taken over, also one of them alone', (t) => {
  t.deepEqual(read(t, 'global_defs {\n lvs_timeouts udp 30\n}\n').configuration.timeouts, { udp: 30 });
  const wrong = read(t, 'global_defs {\n lvs_timeouts tcp 0 icmp 3\n}\n');
  t.is(wrong.lines.length, 2);
});

// Checkers: the times.

const times: readonly (readonly [checker: string, outer: string, expected: Partial<CheckEntry>])[] = [
  ['TCP_CHECK', '', { interval: 60, fall: 2, retry_interval: 1 }],
  ['TCP_CHECK', 'delay_loop 1', { interval: 1, fall: 2 }],
  [
    'TCP_CHECK',
    'delay_loop 2.5\nretry 3\nconnect_timeout 0.5\nwarmup 0',
    { interval: 2.5, fall: 4, timeout: 0.5, retry_interval: 1, warmup: 0 },
  ],
  ['delay_loop 4\nTCP_CHECK {\n delay_before_retry 4\n}', 'delay_loop 2', { interval: 4, fall: 2 }],
  ['TCP_CHECK {\n retry 0\n}', 'retry 9', { interval: 60 }],
  ['DNS_CHECK', '', { interval: 60, fall: 4 }],
  ['DNS_CHECK {\n delay_before_retry 2\n}', 'delay_loop 3', { interval: 3, fall: 4, retry_interval: 2 }],
  ['MISC_CHECK {\n misc_path /bin/true\n}', 'delay_loop 3', { interval: 3, timeout: 3 }],
  [
    'MISC_CHECK {\n misc_path /bin/true\n misc_timeout 2\n retry 1\n}',
    'delay_loop 3',
    { interval: 3, timeout: 2, fall: 2, retry_interval: 1 },
  ],
  ['HTTP_GET {\n url {\n }\n}', 'delay_loop 2', { interval: 2, fall: 2, retry_interval: 3 }],
  ['HTTP_GET {\n nb_get_retry 2\n url {\n }\n}', 'delay_loop 2', { interval: 2, fall: 3, retry_interval: 3 }],
  ['TCP_CHECK', 'delay_loop 100000', { interval: 86_400, fall: 2, retry_interval: 1 }],
];

for (const [checker, outer, expected] of times) {
  test(`times: ${JSON.stringify(checker)} within ${JSON.stringify(outer)}`, (t) => {
    const { check } = checkOf(t, checker, outer);
    const { interval, timeout, rise, fall, retry_interval, warmup } = check ?? {};
    const given = Object.entries({ interval, timeout, rise, fall, retry_interval, warmup });
    t.deepEqual(Object.fromEntries(given.filter(([, value]) => value !== undefined)), expected);
  });
}

test('the virtual host is the nearest one', (t) => {
  const host = (checker: string, outer: string) => checkOf(t, checker, outer).check?.host;
  t.is(host('HTTP_GET {\n url {\n }\n}', 'virtualhost a'), 'a');
  t.is(host('virtualhost b\nHTTP_GET {\n url {\n }\n}', 'virtualhost a'), 'b');
  t.is(host('HTTP_GET {\n virtualhost c\n url {\n }\n}', 'virtualhost a'), 'c');
  t.is(host('HTTP_GET {\n virtualhost c\n url {\n virtualhost d\n }\n}', ''), 'd');
  t.is(host('HTTP_GET {\n url {\n }\n}', ''), undefined);
});

test('what cannot be compared is told, and the rest is checked', (t) => {
  const { check, lines } = checkOf(
    t,
    'HTTP_GET {\n url {\n status_code 200 2xx 300-200\n digest 12\n regex "a\\Gb"\n }\n}',
  );
  t.deepEqual(check?.expected_status, [200]);
  t.is(check?.body_md5, undefined);
  t.is(check?.body_regex, undefined);
  t.deepEqual(lines, [
    'k.conf:9: status_code "2xx" is not a status or a range of them; ignored',
    'k.conf:9: status_code "300-200" is not a status or a range of them; ignored',
    'k.conf:10: digest "12" is not an MD5; ignored',
    'k.conf:11: regex: "a\\Gb" is not a regular expression of RE2: invalid escape sequence: \\G; the body is not compared',
  ]);
});

test('a reply that nobody looks at, and one that cannot be', (t) => {
  const udp = (inside: string) => checkOf(t, `UDP_CHECK {\n${inside}\n}`);
  t.deepEqual(udp('min_reply_length 3').check, { type: 'udp', interval: 60, fall: 2, retry_interval: 1 });
  t.deepEqual(udp('min_reply_length 3').lines, [
    'k.conf:7: lengths of a reply are of no use without require_reply; left out',
  ]);
  t.deepEqual(udp('require_reply\nmin_reply_length 300').lines, [
    'k.conf:7: min_reply_length 300 is above max_reply_length 255; both are left out',
  ]);
  t.deepEqual(udp('require_reply 0x\nmin_reply_length 300\nmax_reply_length 400').lines, []);
});

test('a type of DNS records has letters and digits', (t) => {
  t.deepEqual(checkOf(t, 'DNS_CHECK {\n type a-b\n}').lines, [
    'k.conf:8: type "A-B" is not a type of DNS records; ignored',
  ]);
});

test('a value that is none counts as not written', (t) => {
  const { check, lines } = checkOf(
    t,
    'TCP_CHECK {\n connect_ip here\n connect_port 99999\n retry many\n connect_timeout soon\n alpha perhaps\n}',
  );
  t.deepEqual(check, { type: 'tcp', interval: 60, fall: 2, retry_interval: 1 });
  t.deepEqual(lines, [
    'k.conf:8: connect_ip: "here" is not an IPv4 or IPv6 address; skipped',
    'k.conf:9: connect_port "99999" is not a number from 1 to 65535; ignored',
    'k.conf:10: retry "many" is not a number from 0 to 999; ignored',
    'k.conf:11: connect_timeout "soon" is not a number of seconds; ignored',
    'k.conf:12: alpha "perhaps" is neither on nor off; ignored',
  ]);
});
