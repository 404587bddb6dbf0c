// SPDX-License-Identifier: Apache-2.0
// Names of hosts: a name server that does not answer costs one wait, not one for every address.
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { NameBook, systemPortNames, systemReverseLookup } from '../../../src/cli/ipvsadm/names.js';
import { portNames } from './support/sample_state.js';

/** A name server on loopback that gives the answer made of each question, or none. */
async function nameServer(t: ExecutionContext, answer: (question: Buffer) => Buffer | undefined) {
  const socket: Socket = createSocket('udp4');
  const counted = { questions: 0 };
  socket.on('message', (question, from) => {
    counted.questions++;
    const bytes = answer(question);
    if (bytes) socket.send(bytes, from.port, from.address);
  });
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  t.teardown(() => socket.close());
  return { counted, address: `127.0.0.1:${(socket.address() as AddressInfo).port}` };
}

/** A reply to a PTR question (RFC 1035): the question again, and one answer "a.test". */
function pointer(question: Buffer): Buffer {
  const reply = Buffer.concat([question, Buffer.from('c00c000c00010000003c00080161047465737400', 'hex')]);
  reply.writeUInt16BE(0x8180, 2);
  reply.writeUInt16BE(1, 6);
  return reply;
}

/** The question alone, without the EDNS record that the resolver may append. */
function withoutExtras(question: Buffer): Buffer {
  let end = 12;
  while (question[end] !== 0) end += (question[end] ?? 0) + 1;
  const bare = Buffer.from(question.subarray(0, end + 5));
  bare.writeUInt16BE(0, 10);
  return bare;
}

test('addresses get the names that the name server knows', async (t) => {
  const { address } = await nameServer(t, (question) => pointer(withoutExtras(question)));
  const book = new NameBook(portNames, await systemReverseLookup(address));
  await book.learn(['198.51.100.1']);
  t.is(book.host('198.51.100.1'), 'a.test');
  t.is(book.host('198.51.100.2'), '198.51.100.2');
});

test('a silent name server is waited for once', async (t) => {
  const { address, counted } = await nameServer(t, () => undefined);
  const book = new NameBook(portNames, await systemReverseLookup(address));
  await book.learn(['198.51.100.1']);
  const asked = counted.questions;
  t.true(asked > 0);
  await book.learn(Array.from({ length: 1000 }, (_, index) => `198.18.${index >> 8}.${index & 255}`));
  t.is(counted.questions, asked);
  t.is(book.host('198.18.0.7'), '198.18.0.7');
});

test('a machine without services(5) has numbers for names', (t) => {
  const ports = systemPortNames('/nowhere/services');
  t.is(ports.name(80, 'PROTOCOL_TCP'), undefined);
  t.is(ports.number('http', 'PROTOCOL_TCP'), undefined);
});
