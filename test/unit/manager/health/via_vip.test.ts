// SPDX-License-Identifier: Apache-2.0
// Checks that go to the VIP: from which ports, what is said when they fail there but not on the server's own address, and
// which checks cannot go there.
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import type { Check__Output } from '../../../../src/generated/fulcrum/v1/Check.js';
import type { ForwardingMethod__Output } from '../../../../src/generated/fulcrum/v1/ForwardingMethod.js';
import { FulcrumError } from '../../../../src/grpc/errors.js';
import { prepareCheck } from '../../../../src/manager/health/prepare.js';
import type { ClientWay, Result, Target } from '../../../../src/manager/health/prober.js';
import { checkVias } from '../../../../src/manager/health/via_vip.js';
import type { ServiceKey } from '../../../../src/manager/nouns.js';
import { dnsCheck, httpCheck, path, pingCheck, tcpCheck, udpCheck } from './support/checks.js';
import { answering, closedPort, listen, tcpServer, udpServer } from './support/servers.js';

const service: ServiceKey = {
  protocol: 'PROTOCOL_TCP',
  address: '192.0.2.1',
  port: 80,
  fwmark: 0,
  family: 'ADDRESS_FAMILY_UNSPECIFIED',
};
const viaVip = (check: Check__Output): Check__Output => ({ ...check, via: 'CHECK_VIA_VIP' });

interface Given {
  readonly method?: ForwardingMethod__Output;
  /** Where the VIP leads to. */
  readonly vip: Target;
  readonly own: Target;
  readonly timeoutMs?: number;
  readonly isOpen?: () => boolean;
  readonly firstPort?: number;
}

function ask(check: Check__Output, given: Given): Promise<Result> {
  const {
    vip,
    own,
    method = 'FORWARDING_METHOD_DR',
    timeoutMs = 2_000,
    isOpen = () => true,
    firstPort = 61_000,
  } = given;
  const way: ClientWay = {
    ...vip,
    source: '127.0.0.1',
    sourcePorts: { first: firstPort, count: 4 },
    method,
    isOpen,
  };
  const target = { ...own, clientWay: async () => way };
  return prepareCheck(viaVip(check), path).prober.probe(target, timeoutMs, new AbortController().signal);
}

async function reason(check: Check__Output, given: Given): Promise<string> {
  const result = await ask(check, given);
  return result.ok ? 'passed' : result.reason;
}

/** Takes connections, and says nothing; or does not even take them. */
const silent = (t: ExecutionContext) => tcpServer(t, () => undefined);
const page = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok';
const broken = 'HTTP/1.1 500 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n';

test('it comes from one of its ports, and ends with a reset, so that the port is free again', async (t) => {
  const server = createServer();
  const vip = await listen(t, server);
  const own = await closedPort();
  const seen = new Set<number>();
  // More often than there are ports: none of them stays behind in TIME-WAIT.
  for (let count = 0; count < 24; count++) {
    const came = once(server, 'connection').then(async ([socket]: Socket[]) => {
      seen.add(socket?.remotePort ?? 0);
      const closed = new Promise<string>((resolve) => {
        socket?.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
        socket?.on('end', () => resolve('end')).resume();
      });
      return closed;
    });
    t.true((await ask(tcpCheck(), { vip, own, firstPort: 61_100 })).ok);
    t.is(await came, 'ECONNRESET');
  }
  for (const port of seen) t.true(port >= 61_100 && port < 61_104, `${port}`);
  t.true(seen.size > 1);
});

test('so do an exchange of HTTP and one of datagrams', async (t) => {
  const vip = await answering(t, page);
  const own = await closedPort();
  for (let count = 0; count < 12; count++) t.is(await reason(httpCheck(), { vip, own, firstPort: 61_200 }), 'passed');
  // Nor does one that never ends its connections leave any to this host.
  const lazy = await tcpServer(t, (socket) => socket.once('data', () => socket.write(page)));
  for (let count = 0; count < 12; count++)
    t.is(await reason(httpCheck(), { vip: lazy, own, firstPort: 61_204 }), 'passed');
  const ports = new Set<number>();
  const answers = await udpServer(t, (_message, from, socket) => {
    ports.add(from.port);
    socket.send('01', from.port, from.address);
  });
  const check = udpCheck({ payload: '00', requireReply: true });
  // Several at a time: each has a port of its own.
  const all = Array.from({ length: 4 }, () => reason(check, { vip: answers, own: answers, firstPort: 61_300 }));
  t.deepEqual(await Promise.all(all), ['passed', 'passed', 'passed', 'passed']);
  t.deepEqual([...ports].toSorted(), [61_300, 61_301, 61_302, 61_303]);
});

for (const [method, question] of [
  ['FORWARDING_METHOD_DR', 'is the VIP on lo, arp_ignore set?'],
  ['FORWARDING_METHOD_TUN', 'does it decapsulate?'],
  ['FORWARDING_METHOD_NAT', 'is its gateway the director?'],
] as const) {
  test(`${method}: silence on the VIP only`, async (t) => {
    const { port } = await udpServer(t, () => undefined);
    const own = await udpServer(t, (_message, from, socket) => socket.send('00', from.port, from.address));
    const begun = performance.now();
    const given = { vip: { address: '127.0.0.1', port }, own, method, timeoutMs: 300 };
    t.is(
      await reason(udpCheck({ payload: '00', requireReply: true }), given),
      `answers on its own address but not on the VIP: ${question}`,
    );
    // Both have been asked in the time of one.
    t.true(performance.now() - begun < 550, `${performance.now() - begun}`);
  });
}

test('what else can be wrong', async (t) => {
  const good = await answering(t, page);
  const bad = await answering(t, broken);
  const closed = await closedPort();
  const cases: readonly [Given, string][] = [
    [{ vip: good, own: closed }, 'passed'],
    [{ vip: closed, own: good }, 'answers on its own address but refuses on the VIP: does it listen there?'],
    [{ vip: bad, own: good }, 'is well on its own address, but on the VIP: status 500, not 200-299'],
    [{ vip: bad, own: bad }, 'status 500, not 200-299'],
    [{ vip: bad, own: closed }, 'connection refused'],
    [{ vip: closed, own: closed }, 'connection refused'],
    [
      { vip: await silent(t), own: good, timeoutMs: 300 },
      'is well on its own address, but on the VIP: connected, but no answer in 300 ms',
    ],
    // Its own address cannot be asked from here.
    [{ vip: bad, own: { address: '127.0.0.1', port: 0 } }, 'on the VIP: status 500, not 200-299'],
  ];
  for (const [index, [given, expected]] of cases.entries())
    t.is(await reason(httpCheck(), { ...given, firstPort: 61_400 + 4 * index }), expected);
});

test('a failure says nothing of a server once the dataplane is another one', async (t) => {
  const closed = await closedPort();
  const good = await answering(t, page);
  const lost = ask(httpCheck(), { vip: closed, own: good, isOpen: () => false, firstPort: 61_500 });
  t.is((await t.throwsAsync(lost))?.message, 'the way to the VIP has gone meanwhile');
  t.true((await ask(httpCheck(), { vip: good, own: good, isOpen: () => false, firstPort: 61_504 })).ok);
});

test('aborted, it leaves nothing behind', async (t) => {
  const vip = await silent(t);
  const controller = new AbortController();
  const way: ClientWay = {
    ...vip,
    source: '127.0.0.1',
    sourcePorts: { first: 61_600, count: 4 },
    method: 'FORWARDING_METHOD_DR',
    isOpen: () => true,
  };
  const { prober } = prepareCheck(viaVip(httpCheck()), path);
  const trying = prober.probe({ ...vip, clientWay: async () => way }, 60_000, controller.signal);
  setImmediate(() => controller.abort(new Error('over')));
  t.is((await t.throwsAsync(trying))?.message, 'over');
});

function refused(check: Check__Output, key: ServiceKey): string {
  try {
    checkVias([check], key, 'health');
  } catch (error) {
    if (error instanceof FulcrumError) return error.describe();
    throw error;
  }
  return 'not refused';
}

test('checks that cannot be sent to a VIP are refused by their field', (t) => {
  const udp: ServiceKey = { ...service, protocol: 'PROTOCOL_UDP' };
  const every: ServiceKey = { ...service, port: 0 };
  const mark: ServiceKey = { ...service, address: '', port: 0, fwmark: 7 };
  const cases: readonly [Check__Output, ServiceKey, string][] = [
    [viaVip(pingCheck()), service, 'health.checks[0].via: a ping check cannot be sent to a VIP'],
    [viaVip(tcpCheck()), mark, 'health.checks[0].via: a service by mark has no VIP that a check could be sent to'],
    [viaVip(tcpCheck()), udp, 'health.checks[0].via: a tcp check does not speak the protocol of the service'],
    [viaVip(dnsCheck()), service, 'health.checks[0].via: a dns check does not speak the protocol of the service'],
    [
      viaVip(tcpCheck({ address: '10.0.0.1' })),
      service,
      'health.checks[0].address: must not be given: the check goes to the VIP',
    ],
    [
      viaVip(tcpCheck({ source: '10.0.0.1' })),
      service,
      'health.checks[0].source: must not be given: the dataplane chooses it for a VIP',
    ],
    [
      viaVip(tcpCheck({ port: 81 })),
      service,
      'health.checks[0].port: must not be given: the check goes to the port of the service',
    ],
    [
      viaVip(tcpCheck()),
      every,
      'health.checks[0].port: must be given: the service has none that a check could be sent to',
    ],
    [
      viaVip(udpCheck({ payload: '00' })),
      udp,
      'health.checks[0].udp.require_reply: must be set: to a VIP, silence says nothing',
    ],
  ];
  for (const [check, key, expected] of cases) t.is(refused(check, key), expected);
  t.notThrows(() => checkVias([viaVip(tcpCheck()), pingCheck(), tcpCheck({ port: 81 })], service, 'health'));
  t.notThrows(() => checkVias([viaVip(tcpCheck({ port: 81 }))], every, 'health'));
  t.notThrows(() => checkVias([viaVip(dnsCheck())], udp, 'health'));
});
