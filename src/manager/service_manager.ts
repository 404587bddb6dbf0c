// SPDX-License-Identifier: Apache-2.0
// Tells the service manager that started this process how it fares, if it was started by one that wants to know
// (sd_notify(3)). Node has no unix datagrams: systemd's own program sends them, 15 ms each, so it is for few occasions.
import { spawn } from 'node:child_process';
import type { Logger } from '../grpc/log.js';

/** A state is an assignment, "READY=1". Does not wait until it has been told. */
export function tellServiceManager(state: string, log: Logger): void {
  if (!process.env.NOTIFY_SOCKET) return;
  const child = spawn('systemd-notify', [state], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  child.once('error', (error) => log.warn({ err: error, state }, 'the service manager cannot be told'));
  child.once('close', (code) => {
    if (code !== 0) log.warn({ code, said: said.trim(), state }, 'the service manager was not told');
  });
}
