// SPDX-License-Identifier: Apache-2.0
// The memory of a process, from /proc.

import { readFileSync } from 'node:fs';

export interface MemoryUse {
  readonly residentMb: number;
  /** The most that it ever was. */
  readonly peakMb: number;
}

export function memoryOf(pid: number): MemoryUse {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const megabytes = (name: string): number =>
    Math.round(Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1] ?? 0) / 1024);
  return { residentMb: megabytes('VmRSS'), peakMb: megabytes('VmHWM') };
}
