// SPDX-License-Identifier: Apache-2.0
// Workers' CPUs for the workers alone: interrupts elsewhere now, the scheduler's and the kernel's own work by the kernel's
// command line, which takes a boot.
import type { HostFacts } from '../facts.js';
import type { Needs } from '../needs.js';
import { cpuListText, type SetupStep, write } from '../step.js';

export const grubPath = '/etc/default/grub.d/80-fulcrum.cfg';

const shared = { wanted: 'anything', why: 'workers sleep when idle (idle: sleep): a shared machine' } as const;

export function irqStep(facts: HostFacts, needs: Needs): SetupStep {
  const online = facts.cpus.map(({ cpu }) => cpu);
  const others = online.filter((cpu) => !needs.workers.includes(cpu));
  const wrong = facts.irqs.filter(({ cpus }) => cpus.some((cpu) => needs.workers.includes(cpu)));
  const base = {
    subject: 'interrupts',
    is: wrong.length === 0 ? 'none on the CPUs of workers' : `${wrong.length} may come to the CPUs of workers`,
    wanted: `on CPUs ${cpuListText(others)} only`,
    why: 'each one stops a worker for some microseconds; those that their driver manages stay (isolcpus=managed_irq)',
    actions: [],
    undo: '',
  };
  if (wrong.length === 0) return { ...base, state: 'done' };
  if (!needs.polls) return { ...base, state: 'done', ...shared };
  if (others.length === 0) return { ...base, state: 'manual', wanted: 'elsewhere', why: 'every CPU has a worker' };
  const path = (irq: number): string => `/proc/irq/${irq}/smp_affinity_list`;
  return {
    ...base,
    state: 'todo',
    actions: wrong.map(({ irq }) => write(path(irq), cpuListText(others))),
    undo: wrong.map(({ irq, cpus }) => `echo ${cpuListText(cpus)} > ${path(irq)}`).join('; '),
  };
}

/** Words that the kernel is to be started with. */
export function wantedWords({ pci }: HostFacts, { workers, ports }: Needs, isVirtual: boolean): readonly string[] {
  const list = cpuListText(workers);
  const hasPci = ports.some((port) => port.pci !== undefined) && pci.length > 0;
  return [
    `isolcpus=managed_irq,domain,${list}`,
    `nohz_full=${list}`,
    `rcu_nocbs=${list}`,
    // AMD's IOMMU is on without asking.
    ...(hasPci && !isVirtual ? ['intel_iommu=on', 'iommu=pt'] : []),
  ];
}

export function grubText(words: readonly string[]): string {
  return `# Written by fulcrum setup.\nGRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX ${words.join(' ')}"\n`;
}

export function kernelStep(facts: HostFacts, needs: Needs, written: string | undefined, persist: boolean): SetupStep {
  const words = wantedWords(facts, needs, facts.isVirtual);
  const missing = words.filter((word) => !facts.commandLine.includes(word));
  const base = {
    subject: 'command line of the kernel',
    is: missing.length === 0 ? 'as wanted' : `without ${missing.join(' ')}`,
    wanted: words.join(' '),
    why: 'no task, tick or callback of the kernel interrupts a worker that polls',
    actions: [],
    undo: '',
  };
  if (missing.length === 0) return { ...base, state: 'done' };
  if (!needs.polls) return { ...base, state: 'done', ...shared };
  if (!facts.hasGrub)
    return { ...base, state: 'manual', why: 'this machine has no GRUB: its boot loader or hypervisor' };
  if (written === grubText(words).trim()) return { ...base, state: 'reboot', why: `${grubPath} has it: reboot` };
  if (!persist)
    return { ...base, state: 'manual', why: `${base.why}: --persist writes ${grubPath}, and the next boot takes it` };
  return {
    ...base,
    state: 'todo',
    actions: [write(grubPath, grubText(words)), { kind: 'run', command: ['update-grub'] }],
    undo: `rm ${grubPath}; update-grub`,
  };
}
