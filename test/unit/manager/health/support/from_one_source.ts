// SPDX-License-Identifier: Apache-2.0
// Six hundred TCP checks of sixty targets from one source, in the network namespace that it is started in; prints how
// often each came out how.
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { outcome, tcpCheck } from './checks.js';

const server = createServer((socket) => void socket.on('error', () => undefined).resume());
server.listen({ port: 0, host: '0.0.0.0', backlog: 1024 });
await once(server, 'listening');
const { port } = server.address() as AddressInfo;
const outcomes: Record<string, number> = {};
const checkOften = async (index: number): Promise<void> => {
  for (let made = 0; made < 10; made++) {
    const target = { address: `127.78.0.${index + 1}`, port, source: '127.0.0.79' };
    const came = await outcome(tcpCheck(), target).catch((error: Error) => error.message);
    outcomes[came] = (outcomes[came] ?? 0) + 1;
  }
};
await Promise.all(Array.from({ length: 60 }, (_, index) => checkOften(index)));
server.close();
process.stdout.write(JSON.stringify(outcomes));
