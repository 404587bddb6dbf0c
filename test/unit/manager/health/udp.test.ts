// SPDX-License-Identifier: Apache-2.0
// UDP and DNS checks: replies, silence, ICMP, and payloads that cannot be sent.
import test, { type ExecutionContext } from 'ava';
import { FulcrumError } from '../../../../src/grpc/errors.js';
import { dnsCheck, outcome, refusal, tryOnce, udpCheck } from './support/checks.js';
import { closedUdpPort, udpServer } from './support/servers.js';

const replying = (t: ExecutionContext, reply: Buffer | string, address?: string) =>
  udpServer(t, (_, from, socket) => socket.send(reply, from.port, from.address), address);

const silent = (t: ExecutionContext) => udpServer(t, () => undefined);

test('without a reply that is required, silence until the time limit is enough', async (t) => {
  const result = await tryOnce(udpCheck({ payload: '00' }), await silent(t), 150);
  t.true(result.ok);
  t.true(result.latencyUs >= 149_000, `${result.latencyUs} µs`);
});

for (const address of ['127.0.0.1', '::1']) {
  test(`nobody has the port of ${address}`, async (t) => {
    const target = await closedUdpPort(address);
    t.is(await outcome(udpCheck(), target), 'ICMP port unreachable');
    t.is(await outcome(udpCheck({ requireReply: true }), target), 'ICMP port unreachable');
    t.is(await outcome(dnsCheck(), target), 'ICMP port unreachable');
  });
}

test('the payload arrives, and its reply is a success at once', async (t) => {
  const target = await udpServer(t, (message, from, socket) => socket.send(message, from.port, from.address), '::1');
  const check = udpCheck({
    payload: '48 65 6c6C 6f',
    requireReply: true,
    reply: '48656c6c6f',
    leastReplyBytes: 5,
    mostReplyBytes: 5,
  });
  t.is(await outcome(check, target), 'passed');
  t.is(await outcome(udpCheck({ payload: '00' }), target, 60_000), 'passed');
});

test('a reply is compared as far as both go, and x is any digit', async (t) => {
  const target = await replying(t, Buffer.from('0a41ff', 'hex'));
  const reply = (pattern: string) => outcome(udpCheck({ requireReply: true, reply: pattern }), target);
  t.is(await reply('0a'), 'passed');
  t.is(await reply('0A4xXxbeef'), 'passed');
  t.is(await reply('0a5x'), 'byte 1 of the reply is 41, not 5x');
  t.is(await reply('0a41fe'), 'byte 2 of the reply is ff, not fe');
  t.is(await reply(''), 'passed');
});

test('a reply is of the right length', async (t) => {
  const target = await replying(t, Buffer.alloc(300));
  t.is(await outcome(udpCheck({ requireReply: true }), target), 'reply of 300 bytes, not 0-255');
  t.is(await outcome(udpCheck({ requireReply: true, mostReplyBytes: 300 }), target), 'passed');
  t.is(
    await outcome(udpCheck({ requireReply: true, leastReplyBytes: 256 }), target),
    'reply of 300 bytes, not 256-256',
  );
});

test('a required reply that does not come', async (t) => {
  t.is(await outcome(udpCheck({ requireReply: true }), await silent(t), 100), 'no answer in 100 ms');
});

test('a source that this host does not have', async (t) => {
  const target = { ...(await silent(t)), source: '192.0.2.1' };
  const error = await t.throwsAsync(tryOnce(udpCheck(), target), { instanceOf: FulcrumError });
  t.is(error?.message, 'the source is not an address of this host, or has no free port');
});

test('a source that it has', async (t) => {
  let from = '';
  const target = await udpServer(t, (message, sender, socket) => {
    from = sender.address;
    socket.send(message, sender.port, sender.address);
  });
  t.is(await outcome(udpCheck({ requireReply: true }), { ...target, source: '127.0.0.78' }), 'passed');
  t.is(from, '127.0.0.78');
});

test('payloads and replies that are no bytes', (t) => {
  const field = 'health.checks[0].udp';
  t.is(
    refusal(udpCheck({ payload: 'hello' })),
    `${field}.payload: "hello" has other characters than hexadecimal digits`,
  );
  t.is(refusal(udpCheck({ payload: 'abc' })), `${field}.payload: "abc" ends in the middle of a byte`);
  t.regex(refusal(udpCheck({ payload: '00'.repeat(65_508) })), /payload: 65508 bytes are more than a datagram has/);
  const reply = (pattern: string) => refusal(udpCheck({ requireReply: true, reply: pattern }));
  t.is(reply('zz'), `${field}.reply: "zz" has other characters than hexadecimal digits and x`);
  t.is(reply('abx'), `${field}.reply: "abx" ends in the middle of a byte`);
  t.is(refusal(udpCheck({ reply: '00' })), `${field}.require_reply: must be set for a reply to be looked at`);
  t.is(
    refusal(udpCheck({ requireReply: true, leastReplyBytes: 10, mostReplyBytes: 9 })),
    `${field}.most_reply_bytes: 9 is not in 10 … 65507`,
  );
});

/** Answers with the question, its flags changed. */
const answering = (t: ExecutionContext, flags: number, id = 0) =>
  udpServer(t, (message, from, socket) => {
    const answer = Buffer.from(message);
    answer.writeUInt16BE(message.readUInt16BE(0) ^ id, 0);
    answer.writeUInt16BE(flags, 2);
    socket.send(answer, from.port, from.address);
  });

test('DNS: the question is the root by SOA, or what was asked for', async (t) => {
  const questions: string[] = [];
  const target = await udpServer(t, (message, from, socket) => {
    questions.push(message.subarray(2).toString('hex'));
    const answer = Buffer.from(message);
    answer.writeUInt16BE(0x8180, 2);
    socket.send(answer, from.port, from.address);
  });
  t.is(await outcome(dnsCheck(), target), 'passed');
  t.is(await outcome(dnsCheck('www.example.', 'aaaa'), target), 'passed');
  t.deepEqual(questions, [
    // RD, one question: root, SOA, IN.
    ['0100', '0001', '0000', '0000', '0000', '00', '0006', '0001'].join(''),
    ['0100', '0001', '0000', '0000', '0000', '03777777', '076578616d706c65', '00', '001c', '0001'].join(''),
  ]);
});

test('DNS: an answer says what is wrong', async (t) => {
  t.is(await outcome(dnsCheck(), await answering(t, 0x8183)), 'RCODE 3 (NXDOMAIN)');
  t.is(await outcome(dnsCheck(), await answering(t, 0x8185)), 'RCODE 5 (REFUSED)');
  t.is(await outcome(dnsCheck(), await answering(t, 0x818f)), 'RCODE 15');
  t.is(await outcome(dnsCheck(), await answering(t, 0x0100)), 'answer is a question: its QR bit is not set');
  t.is(await outcome(dnsCheck(), await replying(t, 'what?')), 'answer of 5 bytes is not DNS');
  t.is(await outcome(dnsCheck(), await silent(t), 100), 'no answer in 100 ms');
  t.is(await outcome(dnsCheck(), await answering(t, 0x8180, 1), 100), 'only answers to other questions in 100 ms');
});

test('DNS: names and types that there are not', (t) => {
  const field = 'health.checks[0].dns';
  t.is(refusal(dnsCheck('', 'BOGUS')), `${field}.type: "BOGUS" is not a type of DNS records`);
  t.is(refusal(dnsCheck('', 'UNKNOWN_0')), `${field}.type: "UNKNOWN_0" is not a type of DNS records`);
  t.is(refusal(dnsCheck('a..b')), `${field}.name: "a..b" is not a domain name`);
  t.is(refusal(dnsCheck('.a')), `${field}.name: ".a" is not a domain name`);
  t.is(refusal(dnsCheck('a b')), `${field}.name: "a b" is not a domain name`);
  t.regex(refusal(dnsCheck('a'.repeat(64))), /name: "a+" is longer than a label may be \(63\)$/);
  t.is(refusal(dnsCheck('a.'.repeat(128))), `${field}.name: 257 octets are more than a name may have (255)`);
  for (const type of 'A AAAA NS CNAME SOA MX TXT PTR SRV CAA DNSKEY'.split(' '))
    t.is(refusal(dnsCheck('example.com', type)), 'not refused', type);
});
