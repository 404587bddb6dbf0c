// SPDX-License-Identifier: Apache-2.0
// Everything by which a lab could be noticed after its end.

import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { run } from '../../src/lab/command.js';

const list = (directory: string, take = /./): readonly string[] => {
  try {
    return readdirSync(directory)
      .filter((name) => take.test(name))
      .map((name) => `${directory}/${name}`);
  } catch {
    return [];
  }
};

const ours = /fulcrum-lab-|decapsulate\.py|dist\/src\/(lab|dataplane|manager)\//;

export async function traces(): Promise<readonly string[]> {
  const processes = (await run(['ps', '-eo', 'pid=,args='])).split('\n').filter((line) => ours.test(line));
  return [
    ...list('/run/netns'),
    ...list('/run/fulcrum'),
    ...list('/run/fulcrum-lab'),
    ...list('/var/lib/fulcrum'),
    ...list('/dev/hugepages'),
    ...list('/var/run/dpdk'),
    ...list(tmpdir(), /^fulcrum-/),
    ...readFileSync('/proc/meminfo', 'utf8')
      .split('\n')
      .filter((line) => line.startsWith('HugePages_Free')),
    ...processes.map((line) => line.trim()),
  ];
}
