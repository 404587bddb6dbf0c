// SPDX-License-Identifier: Apache-2.0
// What the health benches check: the servers of health_servers.js, on as many loopback addresses as are wanted.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Task } from '../lab/command.js';
import { builtProgram } from '../lab/director.js';
import type { Ports } from './health_servers.js';

export type { Ports } from './health_servers.js';

const startMs = 30_000;

export interface Servers {
  readonly ports: Ports;
  /** Of the certificate that the HTTPS server shows, and of its key. */
  readonly files: readonly [certificate: string, key: string];
  /** Closes the listener that fails; resolves when that is done. */
  readonly fail: () => Promise<void>;
}

/** `prefix` is what is to run them: nothing, or what enters a namespace. */
export async function withServers<T>(prefix: readonly string[], use: (servers: Servers) => Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-bench-'));
  let task: Task | undefined;
  try {
    const files = makeCertificate(directory);
    const program = [process.execPath, builtProgram('bench/health_servers'), ...files];
    const running = new Task([...prefix, ...program] as unknown as [string, ...string[]]);
    task = running;
    const ports = JSON.parse(await running.line((line) => line.startsWith('{'), startMs)) as Ports;
    const fail = async (): Promise<void> => {
      const closed = running.line((line) => line === 'closed', startMs);
      running.write('fail\n');
      await closed;
    };
    return await use({ ports, files, fail });
  } finally {
    await task?.stop();
    rmSync(directory, { recursive: true, force: true });
  }
}

function makeCertificate(directory: string): readonly [string, string] {
  const files = [join(directory, 'server.crt'), join(directory, 'server.key')] as const;
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  const rest = ['-x509', '-days', '1', '-subj', '/CN=localhost', '-batch', '-out', files[0], '-keyout', files[1]];
  execFileSync('openssl', ['req', ...key, ...rest], { stdio: 'ignore' });
  return files;
}

/** 127.1.0.1, 127.1.0.2, … */
export function loopback(index: number): string {
  const host = index + 1;
  return `127.${1 + (host >> 16)}.${(host >> 8) & 255}.${host & 255}`;
}
