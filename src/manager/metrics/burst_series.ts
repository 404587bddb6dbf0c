// SPDX-License-Identifier: Apache-2.0
// The histogram of bursts, in Prometheus's text format: it is counted elsewhere, and prom-client's histograms can only
// be observed into.
import type { WorkerStatistics__Output } from '../../generated/fulcrum/v1/WorkerStatistics.js';
import { definitions, fullName } from './definitions.js';

type Worker = Pick<WorkerStatistics__Output, 'worker' | 'cpu' | 'bursts' | 'rxPackets'>;

/** Most packets of a burst, by its place in WorkerStatistics.bursts. */
const bounds = [1, 2, 4, 8, 16, 32] as const;

export function burstText(workers: readonly Worker[]): string {
  const { help, type } = definitions.worker_burst_packets;
  const name = fullName('worker_burst_packets');
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${workers.map((of) => samples(name, of)).join('')}`;
}

function samples(name: string, { worker, cpu, bursts, rxPackets }: Worker): string {
  const labels = `worker="${worker}",cpu="${cpu}"`;
  let count = 0n;
  const buckets = bounds.map((bound, at) => {
    count += BigInt(bursts[at] ?? 0);
    return `${name}_bucket{${labels},le="${bound}"} ${count}\n`;
  });
  const end = `${name}_bucket{${labels},le="+Inf"} ${count}\n${name}_sum{${labels}} ${rxPackets}\n${name}_count{${labels}} ${count}\n`;
  return buckets.join('') + end;
}
