// SPDX-License-Identifier: Apache-2.0
// What receiving and sending cost at all: dpdk-testpmd on the same capture files, devices and cores, driven through its
// command line and measured by its own counters.

import { type Command, run, type Task } from '../lab/command.js';
import { megabytesOf, type Needs, packetBuffers } from './machine.js';
import { placesOf, type Setup, withTask } from './setup.js';
import { measure, readBorder, type WindowPlan, workerSchedstats } from './windows.js';

const answerMs = 60_000;

export const forwardModes = ['io', 'macswap'] as const;
export type ForwardMode = (typeof forwardModes)[number];

export async function checkTestpmd(): Promise<void> {
  await run(['sh', '-c', 'command -v dpdk-testpmd']).catch(() => {
    throw new Error('dpdk-testpmd is not installed (Debian: dpdk-dev; "npm run bench" installs it)');
  });
}

function command(setup: Setup, captures: readonly string[], needs: Needs): Command {
  const places = placesOf(setup, captures.length).map((cpu, worker) => `,${worker + 1}@${cpu}`);
  return [
    // Its answers are to come when they are printed, not when a buffer is full.
    'stdbuf',
    '-oL',
    'dpdk-testpmd',
    `--lcores=0@${setup.housekeepingCpu}${places.join('')}`,
    ...(setup.hugepages ? ['--in-memory'] : ['--no-huge', '--no-shconf', '-m', String(megabytesOf(needs))]),
    '--no-pci',
    '--no-telemetry',
    // Ports are numbered in this order, and neighbours forward to each other.
    ...captures.flatMap((capture, pair) => [
      `--vdev=net_pcap${pair},rx_pcap=${capture},infinite_rx=1`,
      `--vdev=net_null${pair},no-rx=1`,
    ]),
    '--',
    '--interactive',
    `--nb-cores=${captures.length}`,
    `--total-num-mbufs=${packetBuffers(needs)}`,
  ];
}

/** Windows of ns per packet in each forward mode, over all pairs of devices, each with a core. */
export async function measureTestpmd(
  setup: Setup,
  captures: readonly string[],
  needs: Needs,
  plan: WindowPlan,
): Promise<Readonly<Record<ForwardMode, readonly number[]>>> {
  return withTask(setup, command(setup, captures, needs), async (task) => {
    const sample = (): Promise<number> => nsPerPacket(task, captures.length);
    await sample();
    const schedstats = workerSchedstats(task.pid ?? 0, captures.length);
    const windows: Record<ForwardMode, readonly number[]> = { io: [], macswap: [] };
    for (const mode of forwardModes) {
      task.write(`set fwd ${mode}\nstart\n`);
      windows[mode] = await measure(() => readBorder(schedstats), plan, sample);
      task.write('stop\n');
      await sample();
    }
    task.write('quit\n');
    await task.ended;
    return windows;
  });
}

/** Since it was asked before, by testpmd's own counters and clock. */
async function nsPerPacket(task: Task, pairs: number): Promise<number> {
  let perSecond = 0;
  for (let pair = 0; pair < pairs; pair++) {
    const answer = task.line((line) => line.includes('Rx-pps:'), answerMs);
    task.write(`show port stats ${2 * pair}\n`);
    perSecond += Number(/Rx-pps:\s*(\d+)/.exec(await answer)?.[1]);
  }
  return 1e9 / perSecond;
}
