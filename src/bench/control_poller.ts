// SPDX-License-Identifier: Apache-2.0
// A thread that asks the director for one service again and again, and says in the end what the longest answer took.

import { parentPort, workerData } from 'node:worker_threads';
import type { ServiceKey } from '../generated/fulcrum/v1/ServiceKey.js';
import { connectDirector } from '../grpc/client.js';

const { socket, key } = workerData as { readonly socket: string; readonly key: ServiceKey };
const client = connectDirector(socket);
await client.getVirtualService({ key });
let stopped = false;
parentPort?.once('message', () => {
  stopped = true;
});
parentPort?.postMessage('ready');
let longest = 0;
while (!stopped) {
  const begun = performance.now();
  await client.getVirtualService({ key }, { timeoutMs: 60_000 });
  longest = Math.max(longest, performance.now() - begun);
}
client.close();
parentPort?.postMessage(longest);
