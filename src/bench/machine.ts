// SPDX-License-Identifier: Apache-2.0
// The machine that figures belong to, and its huge pages: reserved for a run, given back at its end.

import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { run } from '../lab/command.js';

export interface Machine {
  readonly cpu: string;
  readonly cpus: number;
  readonly memoryGb: number;
  readonly kernel: string;
  readonly dpdk: string;
  readonly date: string;
  readonly memory: 'hugepages' | 'no-huge';
}

export async function describeMachine(memory: Machine['memory']): Promise<Machine> {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() ?? 'unknown',
    cpus: processors.length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    // Without what its builder appended.
    kernel: release().replace(/-.*/, ''),
    dpdk: (await run(['pkg-config', '--modversion', 'libdpdk'])).trim(),
    date: new Date().toISOString(),
    memory,
  };
}

const reservedPath = '/proc/sys/vm/nr_hugepages';
const freePath = '/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages';
const pageBytes = 2 * 2 ** 20;

const readNumber = (path: string): number => Number(readFileSync(path, 'utf8'));

/** What the rig of a case holds at once. */
export interface Needs {
  /** In capture files, which net_pcap keeps in packet buffers. */
  readonly frames: number;
  readonly connections: number;
  readonly workers: number;
}

/** Beyond those that hold a capture file, for each worker; dataplane_bench has as many. */
const spareBuffers = 16_383;

export const packetBuffers = ({ frames, workers }: Needs): number => frames + workers * spareBuffers;

/** Packet buffers, DPDK's own tables, and the connections of both families with their index. */
export function bytesNeeded(needs: Needs): number {
  const bytesPerBuffer = 2560;
  const bytesPerConnection = 320;
  const fixed = 320 * 2 ** 20;
  return packetBuffers(needs) * bytesPerBuffer + needs.connections * bytesPerConnection + fixed;
}

export const megabytesOf = (needs: Needs): number => Math.ceil(bytesNeeded(needs) / 2 ** 20);

/** Huge pages beyond those that others have reserved; given back by release(), at the latest when this process exits. */
export class HugePages {
  readonly available: boolean;
  readonly #former: number | undefined;

  constructor(bytes: number) {
    const pages = Math.ceil(bytes / pageBytes);
    try {
      const missing = pages - readNumber(freePath);
      if (missing > 0) {
        this.#former = readNumber(reservedPath);
        process.once('exit', this.release);
        writeFileSync(reservedPath, String(this.#former + missing));
      }
      this.available = readNumber(freePath) >= pages;
    } catch {
      this.available = false;
    }
    if (!this.available) this.release();
  }

  readonly release = (): void => {
    process.off('exit', this.release);
    if (this.#former !== undefined) writeFileSync(reservedPath, String(this.#former));
  };
}
