// SPDX-License-Identifier: Apache-2.0
// Huge pages, and what a process may take of them.
import type { HostFacts } from '../facts.js';
import { type Finding, ok, problem, warning } from '../finding.js';
import { hugepageMb } from '../memory.js';
import type { Needs } from '../needs.js';

/** A director that runs has taken its pages already. */
export function checkHugepages(
  { hugepages }: HostFacts,
  needs: Needs,
  must: boolean,
  isRunning: boolean,
): readonly Finding[] {
  if (needs.pages.size === 0) return [ok('huge pages', 'switched off by the configuration')];
  const have = hugepages.reduce((sum, { free, total }) => sum + (isRunning ? total : free), 0);
  const wanted = [...needs.pages.values()].reduce((sum, pages) => sum + pages, 0);
  const found = `${have} of ${hugepageMb} MB ${isRunning ? 'reserved' : 'free'}, ${wanted} wanted`;
  if (have >= wanted) return [ok('huge pages', found)];
  const why = must
    ? 'memory.hugepages is on: the director does not start without them'
    : 'the director takes ordinary memory, and each packet costs more';
  return [(must ? problem : warning)('huge pages', found, why, 'fulcrum setup --config FILE --apply')];
}

const leastFiles = 4096;

export function checkLimits({ limits }: HostFacts, { ports }: Needs, isRoot: boolean): readonly Finding[] {
  const findings: Finding[] = [];
  const { memlockKb, files } = limits;
  const usesVfio = ports.some(({ pci }) => pci !== undefined);
  if (memlockKb !== undefined && usesVfio && !isRoot)
    findings.push(
      problem(
        'limit of locked memory',
        `${memlockKb} kB`,
        'vfio locks all memory that a device may reach',
        'LimitMEMLOCK=infinity in the unit, or ulimit -l unlimited',
      ),
    );
  if (files !== undefined && files < leastFiles)
    findings.push(
      warning(
        'limit of open files',
        String(files),
        'each check in flight and each client of the API takes one',
        `LimitNOFILE=65536 in the unit, or ulimit -n 65536`,
      ),
    );
  return findings.length > 0 ? findings : [ok('limits', 'enough memory to lock, enough files')];
}
