// SPDX-License-Identifier: Apache-2.0
// Huge pages of 2 MB on the nodes of the workers: as many as the configuration takes, never fewer than there are.
import { type HostFacts, hugepagesPath } from '../facts.js';
import { hugepageMb } from '../memory.js';
import type { Needs } from '../needs.js';
import { type SetupStep, write } from '../step.js';

/** Left of a node's memory for everything else. */
const spareMb = 256;

export function hugepageSteps(facts: HostFacts, needs: Needs): readonly SetupStep[] {
  return [...needs.pages].map(([node, wanted]) => stepOf(facts, needs, node, wanted));
}

function stepOf(facts: HostFacts, needs: Needs, node: number, wanted: number): SetupStep {
  const known = facts.hugepages.find((page) => page.node === node);
  const total = known?.total ?? 0;
  const missingMb = (wanted - total) * hugepageMb;
  const tooMuch = known !== undefined && missingMb + spareMb > known.freeMb;
  const base = {
    subject: `huge pages of node ${node}`,
    is: known === undefined ? 'the kernel has none of 2 MB' : `${total} of 2 MB, ${known.free} free`,
    wanted: `${wanted} of 2 MB`,
    actions: [],
    undo: '',
  };
  const why = `${needs.memoryText}; without them each packet costs more TLB misses, and a PCI device may not start`;
  if (total >= wanted) return { ...base, state: 'done', why };
  if (known === undefined) return { ...base, state: 'manual', why: 'CONFIG_HUGETLBFS is missing in this kernel' };
  if (tooMuch)
    return {
      ...base,
      state: 'manual',
      why: `${missingMb} MB more, and the node has ${known.freeMb} MB free: lower memory.connections, or add memory`,
    };
  const path = `${hugepagesPath(node)}/nr_hugepages`;
  return { ...base, state: 'todo', why, actions: [write(path, String(wanted))], undo: `echo ${total} > ${path}` };
}
