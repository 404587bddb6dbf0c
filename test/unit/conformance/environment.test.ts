// SPDX-License-Identifier: Apache-2.0
// Events of the environment against the manager's own model: which tunables, mark rules and VIP ranges they become, what
// is part of the start, and what is refused with a word on why.
import { join } from 'node:path';
import test from 'ava';
import type { MarkRule__Output } from '../../../src/generated/fulcrum/v1/MarkRule.js';
import type { Operation } from '../../../src/generated/fulcrum/v1/Operation.js';
import type { DirectorClient } from '../../../src/grpc/client.js';
import { projectRoot } from '../../../src/grpc/loader.js';
import { applyOperations, emptyModel, type Model } from '../../../src/manager/model.js';
import { Environment, startSettings } from '../../conformance/environment.js';
import { markRules } from '../../conformance/iptables.js';
import { readScenario, type Scenario, type ScenarioEvent, scenarioNames } from '../../conformance/scenario.js';
import { markRule } from '../manager/support/operations.js';

/** A director that is only its model, and interfaces that are only their MTUs. */
class ModelWorld {
  model: Model = emptyModel;
  readonly mtus: string[] = [];

  async edit(make: (director: DirectorClient) => Promise<{ readonly inForce: boolean }>): Promise<void> {
    const operate = async (operation: Operation) => {
      this.model = applyOperations(this.model, [
        { ...operation, action: Object.keys(operation)[0] } as Parameters<typeof applyOperations>[1][number],
      ]).model;
      return { inForce: true };
    };
    const director = {
      setTunables: ({ tunables }: Operation & { tunables: never }) => operate({ setTunables: tunables }),
      setMarkRules: ({ markRules: given }: { markRules: { rules: MarkRule__Output[] } }) =>
        operate({ setMarkRules: { rules: given.rules.map(markRule) } }),
      setVip: ({ vip }: { vip: { address: string; announce: 'ANNOUNCE_NONE' } }) =>
        operate({ setVip: { state: 'VIP_STATE_ACTIVE', services: 0, ...vip } }),
      deleteVip: ({ address }: { address: string }) => operate({ deleteVip: address }),
    };
    await make(director as unknown as DirectorClient);
  }

  async setMtu(dev: string, mtu: number): Promise<void> {
    this.mtus.push(`${dev} ${mtu}`);
  }
}

function scenarioOf(...events: ScenarioEvent[]): Scenario {
  return { name: 'made up', ipv6: false, guePorts: [], config: [], events, golden: events.map(() => ({})) };
}

async function play(...events: ScenarioEvent[]): Promise<ModelWorld> {
  const world = new ModelWorld();
  const environment = new Environment(scenarioOf(...events), world);
  for (const [index, event] of events.entries()) {
    if (event.op !== 'list') await environment.play(event, index);
  }
  return world;
}

/** "7 203.0.113.0/24 local", in order. */
function rulesOf({ model }: ModelWorld): string[] {
  return model.markRules.map(({ mark, destination, local }) =>
    [mark, destination || 'any', ...(local ? ['local'] : [])].join(' '),
  );
}

const list = { op: 'list' };
const sysctl = (key: string, value: unknown): ScenarioEvent => ({ op: 'sysctl', key, value });
const ip = (args: string): ScenarioEvent => ({ op: 'ip', args });
const fwmark = (match: string, mark: number): ScenarioEvent => ({ op: 'fwmark', match, mark });

const directory = join(projectRoot, 'test/conformance');

test('every event of the environment in the recorded scenarios can be carried out', async (t) => {
  let played = 0;
  for (const name of scenarioNames(directory)) {
    const scenario = readScenario(directory, name);
    const environment = new Environment(scenario, new ModelWorld());
    for (const [index, event] of scenario.events.entries()) {
      if (!['mtu', 'sysctl', 'fwmark', 'ip'].includes(event.op)) continue;
      const { i: _index, op: _op, ...recorded } = scenario.golden[index] ?? {};
      t.deepEqual(await environment.play(event, index), recorded, `${name}: event ${index}`);
      played++;
    }
  }
  t.true(played >= 15, `${played} played`);
});

test('sysctl: names of LVS, and paths below /proc/sys', async (t) => {
  const { model } = await play(
    sysctl('sloppy_tcp', 1),
    sysctl('net/ipv4/vs/conn_reuse_mode', '0'),
    sysctl('/proc/sys/net/ipv4/ipfrag_time', 5),
    sysctl('net/ipv6/ip6frag_time', 6),
    sysctl('net/ipv4/icmp_ratelimit', 0),
    sysctl('net/ipv4/conf/all/rp_filter', 0),
  );
  t.deepEqual(model.tunables, { sloppyTcp: 1, connReuseMode: 0, ipfragTime: 5, ip6fragTime: 6 });
});

test('ip route add local: a VIP range, until it is deleted', async (t) => {
  const add = [
    ip('route add local 203.0.113.0/24 dev lo'),
    ip('-6 route add local 2001:db8:9::/64 dev lo table local'),
  ];
  const { model } = await play(...add, ip('addr add 192.0.2.77/32 dev lo'));
  t.deepEqual([...model.vips.keys()], ['203.0.113.0/24', '2001:db8:9::/64', '192.0.2.77']);
  t.is(model.vips.get('203.0.113.0/24')?.announce, 'ANNOUNCE_NONE');
  const { model: without } = await play(...add, ip('route del local 203.0.113.0/24 dev lo'));
  t.deepEqual([...without.vips.keys()], ['2001:db8:9::/64']);
});

test('marks: a later rule wins', async (t) => {
  t.deepEqual(rulesOf(await play(fwmark('-d 192.0.2.1', 1), fwmark('-d 192.0.2.0/28', 2))), [
    '2 192.0.2.0/28',
    '1 192.0.2.1/32',
  ]);
});

test('a mark that is looked up in a table where everything is local, in whatever order this is said', async (t) => {
  const events = [
    fwmark('-d 203.0.113.0/24 -p tcp --dport 80', 7),
    ip('rule add fwmark 7 lookup 100'),
    ip('route add local 0.0.0.0/0 dev lo table 100'),
  ] as const;
  const expected = ['7 203.0.113.0/24 local', '7 203.0.113.0/24'];
  t.deepEqual(rulesOf(await play(...events)), expected);
  t.deepEqual(rulesOf(await play(...[...events].reverse())), expected);
  t.deepEqual(rulesOf(await play(...events, ip('rule del fwmark 7 lookup 100'))), ['7 203.0.113.0/24']);
  t.deepEqual(rulesOf(await play(...events.slice(0, 2), ip('route add local default dev lo table 101'))), [
    '7 203.0.113.0/24',
  ]);
});

test('a table with a narrower prefix makes local only what goes there', async (t) => {
  const events = [ip('rule add fwmark 7 table 100'), ip('route add local 203.0.113.0/24 dev lo table 100')];
  t.deepEqual(rulesOf(await play(...events, fwmark('-p udp', 7))), ['7 203.0.113.0/24 local', '7 any']);
  t.deepEqual(rulesOf(await play(...events, fwmark('-d 203.0.113.7', 7))), [
    '7 203.0.113.7/32 local',
    '7 203.0.113.7/32',
  ]);
  t.deepEqual(rulesOf(await play(...events, fwmark('-d 203.0.0.0/16', 7))), [
    '7 203.0.113.0/24 local',
    '7 203.0.0.0/16',
  ]);
  t.deepEqual(rulesOf(await play(...events, fwmark('-d 198.51.100.0/24', 7))), ['7 198.51.100.0/24']);
});

test('what is fixed at the start comes from the events before the first packet', (t) => {
  const early = [
    { op: 'mtu', dev: 'rs', mtu: 1400 },
    ip('link set dev cl mtu 1300'),
    ip('route add 10.9.0.0/16 via 10.0.2.254 dev rs'),
    ip('neigh add 10.0.2.99 lladdr 02:00:00:00:02:63 dev rs'),
    sysctl('net/ipv4/ip_forward', 0),
  ];
  t.deepEqual(startSettings(scenarioOf(...early, list)), {
    mtu: { cl: 1300, rs: 1400 },
    forwarding: false,
    routes: [{ prefix: '10.9.0.0/16', via: '10.0.2.254', interface: 'rs' }],
    neighbors: [{ address: '10.0.2.99', interface: 'rs', mac: '02:00:00:00:02:63' }],
  });
  const late = startSettings(scenarioOf(list, ...early));
  t.deepEqual(late, { mtu: { cl: 1500, rs: 1500 }, forwarding: true, routes: [], neighbors: [] });
});

test("an MTU that changes later is the interface's", async (t) => {
  t.deepEqual((await play({ op: 'mtu', dev: 'rs', mtu: 1400 }, list, { op: 'mtu', dev: 'rs', mtu: 1500 })).mtus, [
    'rs 1500',
  ]);
});

const unavailable: readonly (readonly [title: string, events: readonly ScenarioEvent[], message: RegExp])[] = [
  ['a tunable that there is not', [sysctl('debug_level', 1)], /the tunable debug_level/],
  ['one of the synchronisation', [sysctl('sync_threshold', '3 50')], /connection synchronisation \(sync_threshold\)/],
  ['a value that is none', [sysctl('sloppy_tcp', 'on')], /the value "on" of sloppy_tcp/],
  ['another sysctl', [sysctl('net/ipv4/tcp_syncookies', 1)], /the sysctl net\/ipv4\/tcp_syncookies = 1/],
  ['a rate limit of Linux', [sysctl('net/ipv4/icmp_ratelimit', 1000)], /icmp_ratelimit = 1000/],
  ['forwarding that changes later', [list, sysctl('net/ipv4/ip_forward', 0)], /ip_forward = 0/],
  ['a route that comes later', [list, ip('route add 10.9.0.0/16 via 10.0.2.254')], /while the director runs/],
  ['a route that goes', [ip('route del 10.9.0.0/16 via 10.0.2.254')], /ip route del/],
  ['another object', [ip('tunnel add mode ipip')], /ip tunnel add/],
  ['a mark with a mask', [ip('rule add fwmark 7/0xff lookup 100')], /ip rule add/],
  ['a rule by source', [ip('rule add from 10.0.0.0/8 fwmark 7 lookup 100')], /ip rule add from/],
  ['an interface that there is not', [{ op: 'mtu', dev: 'eth0', mtu: 1400 }], /the interface eth0/],
  ['a negated match', [fwmark('! -d 192.0.2.1', 1)], /iptables "!"/],
  ['a match by interface', [fwmark('-i cl', 1)], /iptables "-i"/],
  ['a match by ICMP', [fwmark('-p icmp', 1)], /protocol icmp/],
  ['a match by module', [fwmark('-m length --length 100', 1)], /iptables -m length/],
];

for (const [title, events, message] of unavailable) {
  test(`says that it is not available: ${title}`, async (t) => {
    t.notThrows(() => startSettings(scenarioOf(...events)));
    const error = await t.throwsAsync(play(...events), { message });
    t.regex(error?.message ?? '', /^not available: /);
  });
}

test('iptables matches: addresses, ports and their lists', (t) => {
  const short = (match: string) =>
    markRules(match, 7).map(({ protocol, source, destination, sourcePorts, destinationPorts }) =>
      [protocol, source, destination, sourcePorts, destinationPorts]
        .map((part) => (typeof part === 'object' && part !== null ? `${part.first}-${part.last}` : part || 'any'))
        .join(' '),
    );
  t.deepEqual(short('-d 203.0.113.0/24 -p tcp --dport 80'), ['PROTOCOL_TCP any 203.0.113.0/24 any 80-80']);
  t.deepEqual(short('-p udp -m udp --sport 1024: --dport :1023'), ['PROTOCOL_UDP any any 1024-65535 0-1023']);
  t.deepEqual(short('-p tcp -m multiport --dports 80,8000:8099'), [
    'PROTOCOL_TCP any any any 80-80',
    'PROTOCOL_TCP any any any 8000-8099',
  ]);
  t.deepEqual(short('--src 10.1.2.3/8 --dst 192.0.2.1,192.0.2.2'), [
    'PROTOCOL_UNSPECIFIED 10.0.0.0/8 192.0.2.1 any any',
    'PROTOCOL_UNSPECIFIED 10.0.0.0/8 192.0.2.2 any any',
  ]);
  t.deepEqual(short('-d 2001:db8:ff::1'), ['PROTOCOL_UNSPECIFIED any 2001:db8:ff::1 any any']);
});
