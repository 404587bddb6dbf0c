// SPDX-License-Identifier: Apache-2.0
// The CPU, its clock, and the versions that everything runs on.
import type { HostFacts } from '../facts.js';
import { type Finding, ok, problem, warning } from '../finding.js';

export function checkProcessor({ cpuFlags, clockSource }: HostFacts): readonly Finding[] {
  const findings: Finding[] = [];
  if (cpuFlags.size > 0) {
    const has = cpuFlags.has('sse4_2');
    const why = 'DPDK is compiled for it and ends with an illegal instruction';
    findings.push(
      has
        ? ok('CPU', 'has SSE4.2')
        : problem('CPU', 'without SSE4.2', why, 'another machine, or a CPU model of the hypervisor that has it (host)'),
    );
  }
  if (clockSource !== undefined) {
    const isSteady = clockSource === 'tsc' || clockSource === 'kvm-clock' || clockSource.startsWith('arch_');
    const why = 'reading the time costs a microsecond instead of some nanoseconds';
    findings.push(
      isSteady
        ? ok('clock', clockSource)
        : warning(
            'clock',
            clockSource,
            why,
            'look for "clocksource" in dmesg; tsc=reliable on the command line of the kernel',
          ),
    );
  }
  return findings;
}

const leastNode = [20, 19] as const;

export function checkNode(version: string): Finding {
  const [major = 0, minor = 0] = version.replace(/^v/, '').split('.').map(Number);
  const isNew = major > leastNode[0] || (major === leastNode[0] && minor >= leastNode[1]);
  if (isNew) return ok('Node.js', version);
  return problem(
    'Node.js',
    version,
    `at least ${leastNode.join('.')} is needed`,
    'apt-get install nodejs, or nodejs.org',
  );
}
