// SPDX-License-Identifier: Apache-2.0
// What can be known of the guest without starting one: the order of its modules, and which fields of its packets are
// random, by the recordings.
import { join } from 'node:path';
import test from 'ava';
import { projectRoot } from '../../../src/grpc/loader.js';
import type { OutItem } from '../../conformance/frames.js';
import { AgentLine, GuestLost } from '../../conformance/live/line.js';
import { loadOrder, readDependencies } from '../../conformance/live/modules.js';
import { randomFields } from '../../conformance/live/record.js';
import { readScenario, scenarioNames } from '../../conformance/scenario.js';
import { duplexPair } from './support/duplex_pair.js';

const directory = join(projectRoot, 'test/conformance');

test('modules come behind those that they need', (t) => {
  const dependencies = readDependencies('net/a-b.ko: net/c.ko net/d.ko\nnet/c.ko: net/d.ko\nnet/d.ko:\nnet/e.ko.xz:\n');
  t.deepEqual(loadOrder(dependencies, ['a_b']), ['net/d.ko', 'net/c.ko', 'net/a-b.ko']);
  t.deepEqual(loadOrder(dependencies, ['e', 'd', 'built_in', 'c']), ['net/e.ko.xz', 'net/d.ko', 'net/c.ko']);
});

test('the fields that are random are those that the recordings have blanked', (t) => {
  let compared = 0;
  for (const name of scenarioNames(directory)) {
    const { golden, guePorts } = readScenario(directory, name);
    for (const { out } of golden) {
      for (const { hex, masked, sum } of (out ?? []) as readonly OutItem[]) {
        const fields = randomFields(Buffer.from(hex, 'hex'), guePorts);
        t.deepEqual([...fields].sort(), [...(masked ?? [])].sort(), `${name}: ${sum}`);
        compared++;
      }
    }
  }
  t.true(compared > 150, `${compared} compared`);
});

/** An answer of an agent: status, clock, body. */
function answer(status: number, microseconds: number, body: Buffer): Buffer {
  const head = Buffer.alloc(13);
  head.writeUInt32LE(9 + body.length, 0);
  head[4] = status;
  head.writeBigUInt64LE(BigInt(microseconds), 5);
  return Buffer.concat([head, body]);
}

test('a line puts answers together from whatever pieces they come in', async (t) => {
  const [here, there] = duplexPair();
  const line = new AgentLine(here);
  const greeted = line.hello();
  for (const byte of answer(0, 5_000, Buffer.alloc(0))) there.write(Buffer.from([byte]));
  await greeted;
  t.is(line.now, 5);
  const asked = line.run(['echo', 'hi'], 'in');
  const body = Buffer.from('03000000' + '02000000' + '6869' + '01000000' + '21', 'hex');
  there.write(answer(0, 6_500, body));
  t.deepEqual(await asked, { rc: 3, stdout: 'hi', stderr: '!' });
  t.is(line.now, 6.5);
});

test('a long request goes in pieces, each when it is asked for', async (t) => {
  const [here, there] = duplexPair();
  const line = new AgentLine(here);
  let received = Buffer.alloc(0);
  there.on('data', (bytes: Buffer) => {
    received = Buffer.concat([received, bytes]);
    const isWhole = received.length === 4 + received.readUInt32LE(0);
    if (isWhole) there.write(answer(0, 1, Buffer.alloc(0)));
    else if ((received.length - 4) % 2048 === 0 && received.length > 4) there.write(answer(2, 1, Buffer.alloc(0)));
  });
  const content = 'x'.repeat(5000);
  await line.writeFile('/file', content);
  t.is(received.toString().slice(-5000), content);
});

test('what the agent refuses fails with its words, and the line goes on', async (t) => {
  const [here, there] = duplexPair();
  const line = new AgentLine(here);
  const refused = line.writeFile('/nowhere', '1');
  there.write(answer(1, 1, Buffer.from('/nowhere: No such file or directory')));
  await t.throwsAsync(refused, { message: 'the guest refuses: /nowhere: No such file or directory' });
  const next = line.wait(0);
  there.write(answer(0, 2, Buffer.alloc(0)));
  t.deepEqual(await next, []);
});

test('when the guest ends, who waits hears of it, and so does who asks later', async (t) => {
  const [here, there] = duplexPair();
  const line = new AgentLine(here);
  const waiting = line.newWorld();
  there.destroy();
  here.destroy();
  await t.throwsAsync(waiting, { instanceOf: GuestLost });
  t.true(line.isLost);
  await t.throwsAsync(line.newWorld(), { instanceOf: GuestLost });
});
