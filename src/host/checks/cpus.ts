// SPDX-License-Identifier: Apache-2.0
// The workers' CPUs: nobody else on them, their core not shared, near their ports, at full speed.
import type { HostFacts } from '../facts.js';
import { type Finding, note, ok, problem, warning } from '../finding.js';
import type { Needs } from '../needs.js';
import { cpuListText } from '../step.js';

export function checkCpus(facts: HostFacts, needs: Needs): readonly Finding[] {
  const { workers, housekeeping, polls } = needs;
  const findings = [
    ...overlap(workers, housekeeping, polls),
    ...siblings(facts, workers),
    ...isolation(facts, needs),
    ...governors(facts, needs),
    ...distance(facts, needs),
  ];
  return findings.length > 0 ? findings : [ok('CPUs of workers', cpuListText(workers))];
}

function overlap(workers: readonly number[], housekeeping: readonly number[], polls: boolean): readonly Finding[] {
  const both = workers.filter((cpu) => housekeeping.includes(cpu));
  const found: Finding[] = [];
  if (both.length > 0) {
    const say = polls ? problem : warning;
    const why = 'checks, the API and neighbours wait for the worker, and packets wait for them';
    found.push(
      say(
        'CPUs of workers',
        `${cpuListText(both)} for housekeeping, too`,
        why,
        'cpus: other ones in the configuration',
      ),
    );
  }
  if (workers.includes(0) && polls)
    found.push(
      warning(
        'CPUs of workers',
        'a worker on CPU 0',
        'the kernel does most of its own work there',
        'cpus.workers: not 0',
      ),
    );
  return found;
}

function siblings({ cpus }: HostFacts, workers: readonly number[]): readonly Finding[] {
  const pairs = cpus
    .filter(({ cpu }) => workers.includes(cpu))
    .map(({ siblings: threads }) => threads.filter((thread) => workers.includes(thread)))
    .filter((shared) => shared.length > 1)
    .map((shared) => cpuListText(shared));
  return [...new Set(pairs)].map((pair) =>
    warning(
      'CPUs of workers',
      `${pair} are threads of one core`,
      'two workers get little more done than one, and each is slower',
      'cpus.workers: one thread of each core (lscpu -e)',
    ),
  );
}

function isolation({ isolatedCpus }: HostFacts, { workers, polls }: Needs): readonly Finding[] {
  const open = workers.filter((cpu) => !isolatedCpus.includes(cpu));
  if (!polls || open.length === 0) return [];
  return [
    warning(
      'CPUs of workers',
      `${cpuListText(open)} not isolated`,
      'the scheduler puts other tasks there, and a worker that is not running loses packets',
      'fulcrum setup --config FILE --apply --persist, then reboot',
    ),
  ];
}

function governors({ cpus }: HostFacts, { workers }: Needs): readonly Finding[] {
  const slow = cpus.filter(
    ({ cpu, governor }) => workers.includes(cpu) && governor !== undefined && governor !== 'performance',
  );
  if (slow.length === 0) return [];
  const names = [...new Set(slow.map(({ governor }) => governor))].join(', ');
  const list = cpuListText(slow.map(({ cpu }) => cpu));
  const why = 'a CPU that slows down between bursts is late for the next one';
  return [
    warning('CPUs of workers', `governor ${names} on ${list}`, why, `cpupower -c ${list} frequency-set -g performance`),
  ];
}

function distance({ cpus, pci }: HostFacts, { ports, workers }: Needs): readonly Finding[] {
  const nodes = new Set(cpus.filter(({ cpu }) => workers.includes(cpu)).map(({ node }) => node));
  return ports.flatMap(({ name, pci: address }) => {
    const device = pci.find((one) => one.address === address);
    if (device === undefined || device.node < 0 || nodes.size === 0 || nodes.has(device.node)) return [];
    const near = cpus.filter(({ node }) => node === device.node).map(({ cpu }) => cpu);
    const why = 'each packet crosses from node to node';
    const change = `cpus.workers: of ${cpuListText(near)}, or another slot`;
    return [note(`port ${name}`, `on node ${device.node}, its workers on ${[...nodes].join(', ')}`, why, change)];
  });
}
