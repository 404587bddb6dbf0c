// SPDX-License-Identifier: Apache-2.0
// After hundreds of questions and streams, answered, refused and late, this process has what it had before: no descriptor,
// no timer more.
import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import test from 'ava';
import type { LoadSource__Output } from '../../../../src/generated/fulcrum/v1/LoadSource.js';
import type { Target } from '../../../../src/manager/health/prober.js';
import { closedPort, listen, tcpServer } from '../health/support/servers.js';
import { agentSource, askOnce, jsonSource, OrcaServer, orcaSource, Watcher } from './support/sources.js';

const rounds = 30;

const descriptors = (): number => readdirSync('/proc/self/fd').length;
const timers = (): number => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;

test('nothing is left behind', async (t) => {
  const agent = await tcpServer(t, (socket) => socket.resume().end('up 30%\n'));
  const half = await tcpServer(t, (socket) => socket.resume().end('up'));
  const silent = await tcpServer(t, (socket) => void socket.resume());
  const http = await listen(
    t,
    createServer((_, response) => void response.end('{"load":1}')),
  );
  const closed = await closedPort();
  const orca = await OrcaServer.start(t);
  const questions: readonly (readonly [LoadSource__Output, Target])[] = [
    [agentSource(), agent],
    [agentSource(), half],
    [agentSource(), silent],
    [agentSource(), closed],
    [jsonSource('/load'), http],
    [jsonSource('/nothing'), http],
    [jsonSource('/load'), silent],
    [jsonSource('/load'), agent],
  ];
  const round = async (): Promise<void> => {
    await Promise.all(questions.map(([source, target]) => askOnce(source, target, 20)));
    const watcher = new Watcher(t);
    watcher.set(orca.target, orcaSource({ smoothingMs: 0 }));
    const stream = await orca.stream();
    const cancelled = new Promise((resolve) => stream.once('cancelled', resolve));
    stream.write({ applicationUtilization: 0.5 });
    await watcher.next();
    await watcher.monitor.stop();
    await cancelled;
  };
  await round();
  const before = { descriptors: descriptors(), timers: timers() };
  for (let index = 0; index < rounds; index++) await round();
  // The servers' sides of the last connections end as soon as they have heard of it.
  while (descriptors() > before.descriptors) await new Promise((resolve) => setTimeout(resolve, 10));
  t.true(timers() <= before.timers, `${timers()} timers, ${before.timers} before`);
});
