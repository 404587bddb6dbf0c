// SPDX-License-Identifier: Apache-2.0
// What receiving and sending cost at all: dpdk-testpmd on the same capture file, devices and core, driven through its
// command line and measured by its own counters.

import { type Command, run, type Task } from '../lab/command.js';
import { bytesNeeded, spareBuffers } from './machine.js';
import { type Setup, withTask } from './setup.js';
import { measure, readBorder, type WindowPlan, workerSchedstat } from './windows.js';

const answerMs = 60_000;

export const forwardModes = ['io', 'macswap'] as const;
export type ForwardMode = (typeof forwardModes)[number];

export async function checkTestpmd(): Promise<void> {
  await run(['sh', '-c', 'command -v dpdk-testpmd']).catch(() => {
    throw new Error('dpdk-testpmd is not installed (Debian: dpdk-dev; "npm run bench" installs it)');
  });
}

function command(setup: Setup, capture: string, flows: number): Command {
  const megabytes = Math.ceil(bytesNeeded(flows) / 2 ** 20);
  return [
    // Its answers are to come when they are printed, not when a buffer is full.
    'stdbuf',
    '-oL',
    'dpdk-testpmd',
    `--lcores=0@${setup.housekeepingCpu},1@${setup.workerCpu}`,
    ...(setup.hugepages ? ['--in-memory'] : ['--no-huge', '--no-shconf', '-m', String(megabytes)]),
    '--no-pci',
    '--no-telemetry',
    `--vdev=net_pcap0,rx_pcap=${capture},infinite_rx=1`,
    '--vdev=net_null0,no-rx=1',
    '--',
    '--interactive',
    '--nb-cores=1',
    `--total-num-mbufs=${flows + spareBuffers}`,
  ];
}

/** Windows of ns per packet in each forward mode. */
export async function measureTestpmd(
  setup: Setup,
  capture: string,
  flows: number,
  plan: WindowPlan,
): Promise<Readonly<Record<ForwardMode, readonly number[]>>> {
  return withTask(setup, command(setup, capture, flows), async (task) => {
    const sample = (): Promise<number> => nsPerPacket(task);
    await sample();
    const schedstat = workerSchedstat(task.pid ?? 0);
    const windows: Record<ForwardMode, readonly number[]> = { io: [], macswap: [] };
    for (const mode of forwardModes) {
      task.write(`set fwd ${mode}\nstart\n`);
      windows[mode] = await measure(() => readBorder(schedstat), plan, sample);
      task.write('stop\n');
      await sample();
    }
    task.write('quit\n');
    await task.ended;
    return windows;
  });
}

/** Since it was asked before, by testpmd's own counters and clock. */
async function nsPerPacket(task: Task): Promise<number> {
  const answer = task.line((line) => line.includes('Rx-pps:'), answerMs);
  task.write('show port stats 0\n');
  return 1e9 / Number(/Rx-pps:\s*(\d+)/.exec(await answer)?.[1]);
}
