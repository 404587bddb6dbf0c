// SPDX-License-Identifier: Apache-2.0
// What all measurements of a run have in common, and how their programs are started.

import { writeFileSync } from 'node:fs';
import { type Command, Task } from '../lab/command.js';

export interface Setup {
  readonly workerCpu: number;
  readonly housekeepingCpu: number;
  /** The second worker's; on a machine of two CPUs it shares the housekeeping's. */
  readonly secondCpu: number;
  readonly hugepages: boolean;
  /** For capture files. */
  readonly directory: string;
  /** Programs that run now, to be ended when the run is interrupted. */
  readonly children: Set<Task>;
}

/** The CPUs of so many workers. */
export const placesOf = (setup: Setup, workers: number): readonly number[] =>
  [setup.workerCpu, setup.secondCpu].slice(0, workers);

const highest = -19;

/** Others on the machine wait while it runs: at the highest priority that we may give, in its session and for it. */
export async function withTask<T>(setup: Setup, command: Command, use: (task: Task) => Promise<T>): Promise<T> {
  const task = new Task(['nice', '-n', String(highest), ...command]);
  setup.children.add(task);
  try {
    writeFileSync(`/proc/${task.pid}/autogroup`, String(highest));
  } catch {
    // No sched_autogroup, or not root: the windows say whether it had its CPU.
  }
  try {
    return await use(task);
  } finally {
    if (task.running) await task.stop();
    setup.children.delete(task);
  }
}
