// SPDX-License-Identifier: Apache-2.0
// ipvsadm against a manager that runs: what a restore of many rules costs, with everything but the engine.
import test from 'ava';
import { type Host, ipvsadm } from '../../src/cli/ipvsadm/run.js';
import { connectDirector } from '../../src/grpc/client.js';
import { startRig } from './support/director.js';

const rules = 10_000;

function restoreText(): string {
  const servers = Array.from({ length: rules - 1 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
  const lines = servers.map((address) => `-a -t 192.0.2.1:80 -r ${address}:80 -m -w 1\n`);
  return `-A -t 192.0.2.1:80 -s wlc\n${lines.join('')}`;
}

test('ten thousand lines are restored, durable and in the dataplane, within five seconds', async (t) => {
  const { socket, dataplane } = await startRig(t);
  const complaints: string[] = [];
  const host: Host = {
    write: async () => {},
    complain: (line) => complaints.push(line),
    input: async function* () {
      yield restoreText();
    },
    inputIsTerminal: false,
    connect: async () => connectDirector(socket),
    portNames: { name: () => undefined, number: () => undefined },
    resolver: { host: async () => undefined, port: () => undefined },
    reverseLookup: async () => async () => undefined,
  };
  // Of this process: other ones may keep the machine busy.
  const began = process.cpuUsage();
  t.is(await ipvsadm(['-R'], host), 0);
  const { user, system } = process.cpuUsage(began);
  t.log(`${(user + system) / 1000} ms`);
  t.true(user + system < 5_000_000);
  t.deepEqual(complaints, []);
  t.is(dataplane.services.get('192.0.2.1:80')?.size, rules - 1);
});
