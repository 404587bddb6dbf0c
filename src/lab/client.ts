// SPDX-License-Identifier: Apache-2.0
// The lab's client, a process in the client's namespace: GET requests one after another, each a connection of its own.
// client.js COUNT INTERVAL_MS SERVICE=ADDRESS…: COUNT requests to each address in turn, or, with COUNT 0, one to each in
// every interval until it is ended. Writes a JSON line for every request.

import { get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

const requestTimeoutMs = 5000;

export interface RequestResult {
  readonly service: string;
  /** Name of the server that answered. */
  readonly server?: string;
  readonly error?: string;
}

interface Target {
  readonly service: string;
  readonly address: string;
}

function request({ service, address }: Target): Promise<RequestResult> {
  return new Promise((resolve) => {
    const fail = (error: string): void => resolve({ service, error });
    // agent: false is a connection for this request alone.
    const call = get({ host: address, port: 80, path: '/', agent: false, timeout: requestTimeoutMs }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text;
      });
      response.on('error', (error) => fail(error.message));
      response.on('end', () => {
        if (response.statusCode === 200) resolve({ service, server: body.trim() });
        else fail(`status ${response.statusCode}`);
      });
    });
    call.on('timeout', () => call.destroy(new Error(`no answer in ${requestTimeoutMs / 1000} s`)));
    call.on('error', (error) => fail(error.message));
  });
}

const report = (result: RequestResult): void => {
  process.stdout.write(`${JSON.stringify(result)}\n`);
};

async function requestInTurn(targets: readonly Target[], count: number): Promise<void> {
  for (const target of targets) for (let number = 0; number < count; number++) report(await request(target));
}

/** A target that does not answer does not hold up the others. */
async function requestForever(target: Target, intervalMs: number): Promise<never> {
  for (;;) {
    const pause = delay(intervalMs);
    report(await request(target));
    await pause;
  }
}

async function main(): Promise<void> {
  const [count = 0, intervalMs = 0] = process.argv.slice(2, 4).map(Number);
  const targets = process.argv.slice(4).map((word) => {
    const [service = '', address = ''] = word.split('=');
    return { service, address };
  });
  if (count > 0) await requestInTurn(targets, count);
  else await Promise.all(targets.map((target) => requestForever(target, intervalMs)));
}

await main();
