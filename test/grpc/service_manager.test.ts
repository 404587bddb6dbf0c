// SPDX-License-Identifier: Apache-2.0
// What systemd is told by both processes, on a socket of the test's own: ready, stopping, and the watchdog's food, which
// stops when a worker does.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { Task } from '../../src/lab/command.js';
import { temporaryDirectory } from './support/director.js';
import { startProcess } from './support/processes.js';

const config = {
  housekeepingCpus: [0],
  workerCpus: [0],
  hugepages: 'HUGEPAGES_OFF',
  connections: 10_000,
  idle: 'IDLE_POLICY_SLEEP',
  testing: true,
  ports: [{ name: 'wan', device: 'memory' }],
  interfaces: [{ name: 'wan', port: 'wan', addresses: [{ prefix: '192.0.2.254/24' }] }],
};

/** A child of the test, ended with it. */
function python(t: ExecutionContext, program: string, ...parameters: readonly string[]): Task {
  const task = new Task(['python3', join(projectRoot, 'test/support', program), ...parameters]);
  t.teardown(() => task.stop());
  return task;
}

/** A service manager's end of the socket, and what it has been told so far. */
async function serviceManager(t: ExecutionContext, directory: string) {
  const socket = join(directory, 'notify.sock');
  const task = python(t, 'service_manager.py', socket);
  const told: string[] = [];
  await task.line((line) => line === 'listening', 20_000);
  task.onLine((line) => told.push(line));
  return { socket, task, told };
}

test.serial('the dataplane: ready, fed while its worker goes round, stopping', async (t) => {
  const directory = temporaryDirectory(t);
  const { socket, task, told } = await serviceManager(t, directory);
  const ready = task.line((line) => line === 'READY=1', 60_000);
  const args = ['--socket', join(directory, 'dataplane.sock')];
  const child = startProcess(t, 'src/dataplane/main.js', args, JSON.stringify(config), {
    NOTIFY_SOCKET: socket,
    WATCHDOG_USEC: '2000000',
  });
  const food = (): Promise<string> => task.line((line) => line === 'WATCHDOG=1', 20_000);
  await ready;
  await food();
  await food();

  const stop = python(t, 'stopped_thread.py', String(child.process.pid), 'rte-worker-1');
  await stop.line((line) => line === 'stopped', 20_000);
  // It has gone round since it was last fed: that is one more meal, and the last.
  await task.line((line) => line === 'WATCHDOG=1', 1_500).catch(() => {});
  const before = told.length;
  // Longer than systemd would wait; the control thread goes on all the while.
  await t.throwsAsync(
    task.line((line) => line === 'WATCHDOG=1', 3_000),
    { message: /nothing of what was expected in 3 s/ },
  );
  t.is(told.length, before);

  const again = food();
  await stop.stop();
  await again;
  const stopping = task.line((line) => line === 'STOPPING=1', 20_000);
  child.process.kill('SIGTERM');
  await stopping;
  t.is((await child.exited).code, 0);
});

test.serial('the manager: ready and stopping; a service manager that is gone changes nothing', async (t) => {
  const directory = temporaryDirectory(t);
  const { socket, task } = await serviceManager(t, directory);
  const place = (name: string): string => join(directory, name);
  const args = ['--socket', place('manager.sock'), '--dataplane', place('none.sock'), '--state-dir', place('state')];
  const ready = task.line((line) => line === 'READY=1', 60_000);
  const child = startProcess(t, 'src/manager/main.js', args, '', { NOTIFY_SOCKET: socket });
  await ready;
  await child.logged('ready');
  const stopping = task.line((line) => line === 'STOPPING=1', 20_000);
  child.process.kill('SIGTERM');
  await stopping;
  t.is((await child.exited).code, 0);

  await task.stop();
  rmSync(socket);
  const other = startProcess(t, 'src/manager/main.js', args, '', { NOTIFY_SOCKET: socket });
  await other.logged('the service manager was not told');
  other.process.kill('SIGTERM');
  t.is((await other.exited).code, 0);
});
