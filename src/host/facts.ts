// SPDX-License-Identifier: Apache-2.0
// What is known of this machine, as plain data: gathered once from /sys, /proc and iproute2, judged elsewhere.
// What could not be learnt is undefined or empty, never guessed.

import { parseCpuList } from '../config/machine.js';
import type { Host } from './host.js';
import { gatherInterfaces, type InterfaceFacts } from './interface_facts.js';

export interface CpuFacts {
  readonly cpu: number;
  readonly node: number;
  /** Hardware threads of its core, itself among them. */
  readonly siblings: readonly number[];
  /** Undefined: the clock is the hypervisor's or the firmware's affair. */
  readonly governor: string | undefined;
}

/** Of 2 MB, which is what the director takes. */
export interface HugepageFacts {
  readonly node: number;
  readonly total: number;
  readonly free: number;
  /** Of ordinary memory. */
  readonly freeMb: number;
}

export interface PciFacts {
  readonly address: string;
  /** "8086:10fb" */
  readonly id: string;
  /** "0200": Ethernet */
  readonly class: string;
  readonly driver: string | undefined;
  readonly iommuGroup: string | undefined;
  /** -1: the machine does not say. */
  readonly node: number;
  /** Kernel interfaces on it. */
  readonly interfaces: readonly string[];
}

export interface IrqFacts {
  readonly irq: number;
  readonly cpus: readonly number[];
}

export interface HostFacts {
  readonly cpus: readonly CpuFacts[];
  readonly cpuFlags: ReadonlySet<string>;
  readonly isVirtual: boolean;
  readonly isContainer: boolean;
  /** Words of the kernel's command line. */
  readonly commandLine: readonly string[];
  readonly isolatedCpus: readonly number[];
  readonly hugepages: readonly HugepageFacts[];
  /** IOMMU groups that there are; 0: it is off, or there is none. */
  readonly iommuGroups: number;
  /** vfio without an IOMMU; undefined: vfio is not loaded. */
  readonly noIommuMode: boolean | undefined;
  /** Loaded, or built in with something to see in /sys/module; names with "_". */
  readonly modules: ReadonlySet<string>;
  readonly pci: readonly PciFacts[];
  readonly interfaces: readonly InterfaceFacts[];
  readonly irqs: readonly IrqFacts[];
  readonly clockSource: string | undefined;
  readonly sysctls: ReadonlyMap<string, string>;
  /** Soft limits of this process; undefined: unlimited. */
  readonly limits: { readonly memlockKb: number | undefined; readonly files: number | undefined };
  /** Bits of CapEff; undefined: unknown. */
  readonly capabilities: bigint | undefined;
  readonly hasNft: boolean;
  readonly hasDevbind: boolean;
  readonly hasGrub: boolean;
  readonly hasTun: boolean;
}

/** Those that are looked at. */
export const watchedSysctls = ['vm.nr_hugepages', 'kernel.numa_balancing', 'kernel.nmi_watchdog'] as const;

export const sysctlPath = (name: string): string => `/proc/sys/${name.replaceAll('.', '/')}`;

const numbersOf = (names: readonly string[], pattern: RegExp): readonly number[] =>
  names.flatMap((name) => {
    const number = pattern.exec(name)?.[1];
    return number === undefined ? [] : [Number(number)];
  });

/**
 * Interrupts that cannot be moved are left out. Only an attempt tells which, with what they have already: it is made with
 * `probe`, and known until the next boot.
 */
export async function gatherFacts(host: Host, probe = false): Promise<HostFacts> {
  const cpuFlags = new Set(/^flags\s*:\s*(.*)$/m.exec(host.read('/proc/cpuinfo') ?? '')?.[1]?.split(' ') ?? []);
  const noIommu = host.read('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode');
  return {
    cpus: gatherCpus(host),
    cpuFlags,
    isVirtual: cpuFlags.has('hypervisor'),
    isContainer: isContainer(host),
    commandLine: (host.read('/proc/cmdline') ?? '').split(/\s+/),
    isolatedCpus: parseCpuList(host.read('/sys/devices/system/cpu/isolated') ?? ''),
    hugepages: gatherHugepages(host),
    iommuGroups: host.list('/sys/kernel/iommu_groups').length,
    noIommuMode: noIommu === undefined ? undefined : /^[Y1]/.test(noIommu),
    modules: new Set(host.list('/sys/module')),
    pci: host.list('/sys/bus/pci/devices').map((address) => gatherPci(host, address)),
    interfaces: await gatherInterfaces(host),
    irqs: gatherMovableIrqs(host, probe),
    clockSource: host.read('/sys/devices/system/clocksource/clocksource0/current_clocksource'),
    sysctls: new Map(
      watchedSysctls.flatMap((name) => {
        const value = host.read(sysctlPath(name));
        return value === undefined ? [] : [[name, value] as const];
      }),
    ),
    limits: gatherLimits(host),
    capabilities: capabilitiesOf(host.read('/proc/self/status') ?? ''),
    hasNft: (await host.ask('nft', '--version')) !== undefined,
    hasDevbind: (await host.ask('dpdk-devbind.py', '--help')) !== undefined,
    hasGrub: host.list('/etc/default').includes('grub'),
    hasTun: host.list('/dev/net').includes('tun'),
  };
}

function gatherCpus(host: Host): readonly CpuFacts[] {
  return parseCpuList(host.read('/sys/devices/system/cpu/online') ?? '').map((cpu) => {
    const directory = `/sys/devices/system/cpu/cpu${cpu}`;
    const siblings = parseCpuList(host.read(`${directory}/topology/thread_siblings_list`) ?? '');
    return {
      cpu,
      node: numbersOf(host.list(directory), /^node(\d+)$/)[0] ?? 0,
      siblings: siblings.length > 0 ? siblings : [cpu],
      governor: host.read(`${directory}/cpufreq/scaling_governor`),
    };
  });
}

export const hugepagesPath = (node: number): string =>
  `/sys/devices/system/node/node${node}/hugepages/hugepages-2048kB`;

function gatherHugepages(host: Host): readonly HugepageFacts[] {
  return numbersOf(host.list('/sys/devices/system/node'), /^node(\d+)$/).flatMap((node) => {
    const total = host.read(`${hugepagesPath(node)}/nr_hugepages`);
    if (total === undefined) return [];
    const free = host.read(`${hugepagesPath(node)}/free_hugepages`) ?? '0';
    const memory = host.read(`/sys/devices/system/node/node${node}/meminfo`) ?? '';
    const freeKb = /MemFree:\s*(\d+) kB/.exec(memory)?.[1] ?? '0';
    return [{ node, total: Number(total), free: Number(free), freeMb: Math.floor(Number(freeKb) / 1024) }];
  });
}

function gatherPci(host: Host, address: string): PciFacts {
  const directory = `/sys/bus/pci/devices/${address}`;
  const hex = (name: string): string => (host.read(`${directory}/${name}`) ?? '').replace(/^0x/, '');
  // A virtio device has its interface one level further down.
  const below = host.list(directory).filter((name) => /^virtio\d+$/.test(name));
  const places = [directory, ...below.map((name) => `${directory}/${name}`)];
  return {
    address,
    id: `${hex('vendor')}:${hex('device')}`,
    class: hex('class').slice(0, 4),
    driver: host.link(`${directory}/driver`),
    iommuGroup: host.link(`${directory}/iommu_group`),
    node: Number(host.read(`${directory}/numa_node`) ?? -1),
    interfaces: places.flatMap((place) => host.list(`${place}/net`)),
  };
}

function gatherIrqs(host: Host): readonly IrqFacts[] {
  return numbersOf(host.list('/proc/irq'), /^(\d+)$/).flatMap((irq) => {
    const cpus = host.read(`/proc/irq/${irq}/smp_affinity_list`);
    return cpus === undefined ? [] : [{ irq, cpus: parseCpuList(cpus) }];
  });
}

export const fixedIrqsPath = '/run/fulcrum/fixed-interrupts';

function gatherMovableIrqs(host: Host, probe: boolean): readonly IrqFacts[] {
  const all = gatherIrqs(host);
  if (probe) {
    const fixed = all.filter(({ irq }) => !isMovable(host, irq)).map(({ irq }) => irq);
    remember(host, fixed);
  }
  const fixed = new Set((host.read(fixedIrqsPath) ?? '').split(' ').map(Number));
  return all.filter(({ irq }) => !fixed.has(irq));
}

/** Who may not write there may not move them either, and is told so then. */
function remember(host: Host, fixed: readonly number[]): void {
  try {
    host.write(fixedIrqsPath, `${fixed.join(' ')}\n`);
  } catch {
    return;
  }
}

/** What a driver manages refuses every mask. */
function isMovable(host: Host, irq: number): boolean {
  const path = `/proc/irq/${irq}/smp_affinity_list`;
  try {
    host.write(path, host.read(path) ?? '');
    return true;
  } catch (error) {
    return ['EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '');
  }
}

function isContainer(host: Host): boolean {
  const marks = [...host.list('/').filter((name) => name === '.dockerenv'), ...host.list('/run')];
  return (
    marks.includes('.dockerenv') || marks.includes('.containerenv') || host.read('/run/systemd/container') !== undefined
  );
}

function gatherLimits(host: Host): HostFacts['limits'] {
  const limits = host.read('/proc/self/limits') ?? '';
  const soft = (name: string): number | undefined => {
    const value = new RegExp(`^${name}\\s+(\\S+)`, 'm').exec(limits)?.[1];
    return value === undefined || value === 'unlimited' ? undefined : Number(value);
  };
  const memlock = soft('Max locked memory');
  return { memlockKb: memlock === undefined ? undefined : memlock / 1024, files: soft('Max open files') };
}

function capabilitiesOf(status: string): bigint | undefined {
  const bits = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return bits === undefined ? undefined : BigInt(`0x${bits}`);
}
