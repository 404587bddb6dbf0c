// SPDX-License-Identifier: Apache-2.0
// Machines for tests, as the files and answers by which setup and doctor would know them. What is written is there
// afterwards; programs that change something do it to the same files.
import type { Host } from '../../../../src/host/host.js';
import type { Command } from '../../../../src/lab/command.js';

export interface Tree {
  readonly files: Record<string, string>;
  /** Path of a symbolic link → what it points to. */
  readonly links: Record<string, string>;
  /** "ip -j route show default" → what it prints. */
  readonly answers: Record<string, string>;
}

export interface FixtureHost extends Host {
  readonly tree: Tree;
  /** Programs that were run, as text. */
  readonly ran: string[];
}

/** `running` changes the tree as the program would; it may throw, as a program may fail. */
export function fixtureHost(tree: Tree, running: (words: Command, tree: Tree) => void = () => {}): FixtureHost {
  const ran: string[] = [];
  return {
    tree,
    ran,
    runsPrograms: true,
    read: (path) => tree.files[path]?.trim(),
    link: (path) => tree.links[path]?.split('/').at(-1),
    list: (path) => {
      const below = `${path.replace(/\/$/, '')}/`;
      const all = [...Object.keys(tree.files), ...Object.keys(tree.links)];
      const names = all
        .filter((file) => file.startsWith(below))
        .map((file) => file.slice(below.length).split('/')[0] ?? '');
      return [...new Set(names)].sort();
    },
    write: (path, text) => {
      tree.files[path] = text;
      const free = path.replace(/nr_hugepages$/, 'free_hugepages');
      if (free !== path) tree.files[free] = text;
    },
    ask: async (...words) => tree.answers[words.join(' ')],
    run: async (...words) => {
      ran.push(words.join(' '));
      running(words, tree);
    },
  };
}

const cpuFiles = (cpu: number, node: number, siblings: string, governor?: string): Record<string, string> => ({
  [`/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`]: siblings,
  [`/sys/devices/system/cpu/cpu${cpu}/node${node}/x`]: '',
  ...(governor && { [`/sys/devices/system/cpu/cpu${cpu}/cpufreq/scaling_governor`]: governor }),
});

const nodeFiles = (node: number, pages: number, freeMb: number): Record<string, string> => ({
  [`/sys/devices/system/node/node${node}/hugepages/hugepages-2048kB/nr_hugepages`]: String(pages),
  [`/sys/devices/system/node/node${node}/hugepages/hugepages-2048kB/free_hugepages`]: String(pages),
  [`/sys/devices/system/node/node${node}/meminfo`]: `Node ${node} MemFree:        ${freeMb * 1024} kB\n`,
});

interface Device {
  readonly id: string;
  readonly driver: string;
  readonly node: number;
  readonly group?: number;
  readonly interface?: string;
}

function pciTree(
  address: string,
  { id, driver, node, group, interface: device }: Device,
): Pick<Tree, 'files' | 'links'> {
  const at = `/sys/bus/pci/devices/${address}`;
  const [vendor, number] = id.split(':');
  return {
    files: {
      [`${at}/vendor`]: `0x${vendor}`,
      [`${at}/device`]: `0x${number}`,
      [`${at}/class`]: '0x020000',
      [`${at}/numa_node`]: String(node),
      ...(device && { [`${at}/net/${device}/mtu`]: '1500' }),
    },
    links: {
      [`${at}/driver`]: `../../../../bus/pci/drivers/${driver}`,
      ...(group !== undefined && {
        [`${at}/iommu_group`]: `../../../../kernel/iommu_groups/${group}`,
        [`/sys/kernel/iommu_groups/${group}/devices`]: '',
      }),
    },
  };
}

const link = (ifname: string, address?: string, more: object = {}): object => ({
  ifname,
  flags: ['BROADCAST', 'UP', 'LOWER_UP'],
  mtu: 1500,
  addr_info: address === undefined ? [] : [{ local: address, scope: 'global' }],
  ...more,
});

const offloads = (...on: readonly string[]): string =>
  ['generic-receive-offload', 'large-receive-offload', 'tcp-segmentation-offload', 'rx-vlan-offload']
    .map((name) => `${name}: ${on.includes(name) ? 'on' : 'off [fixed]'}`)
    .join('\n');

const limits =
  'Max locked memory         8388608              8388608              bytes\nMax open files            1024                 524288               files';

/** Two nodes of four CPUs with two threads a core, an IOMMU, two ixgbe ports and a mlx5; management by eno1. */
export function bareMetal(): Tree {
  const wan = pciTree('0000:03:00.0', { id: '8086:10fb', driver: 'ixgbe', node: 0, group: 12, interface: 'ens1f0' });
  const lan = pciTree('0000:03:00.1', { id: '8086:10fb', driver: 'vfio-pci', node: 0, group: 13 });
  const mlx = pciTree('0000:81:00.0', { id: '15b3:101d', driver: 'mlx5_core', node: 1, group: 40, interface: 'ens4' });
  const eno = pciTree('0000:01:00.0', { id: '8086:1521', driver: 'igb', node: 0, group: 5, interface: 'eno1' });
  const cpus = [0, 1, 2, 3, 4, 5, 6, 7].map((cpu) =>
    cpuFiles(cpu, cpu % 4 < 2 ? 0 : 1, `${cpu % 4},${(cpu % 4) + 4}`, 'performance'),
  );
  return {
    files: {
      ...Object.assign({}, ...cpus),
      ...nodeFiles(0, 0, 60_000),
      ...nodeFiles(1, 0, 60_000),
      ...wan.files,
      ...lan.files,
      ...mlx.files,
      ...eno.files,
      '/sys/devices/system/cpu/online': '0-7',
      '/sys/devices/system/cpu/isolated': '',
      '/sys/devices/system/clocksource/clocksource0/current_clocksource': 'tsc',
      '/proc/cpuinfo': 'flags\t\t: fpu sse4_1 sse4_2 avx2 constant_tsc nonstop_tsc',
      '/proc/cmdline': 'BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro quiet',
      '/proc/self/limits': limits,
      '/proc/self/status': 'CapEff:\t000001ffffffffff',
      '/proc/irq/40/smp_affinity_list': '0-7',
      '/proc/irq/41/smp_affinity_list': '0',
      '/proc/sys/kernel/numa_balancing': '1',
      '/proc/sys/kernel/nmi_watchdog': '1',
      '/proc/sys/vm/nr_hugepages': '0',
      '/etc/default/grub': '',
      '/dev/net/tun': '',
    },
    links: { ...wan.links, ...lan.links, ...mlx.links, ...eno.links },
    answers: {
      'ip -j -d address show': JSON.stringify([link('eno1', '192.0.2.10'), link('ens1f0'), link('ens4')]),
      'ip -j route show default': '[{"dst":"default","gateway":"192.0.2.1","dev":"eno1"}]',
      'ip -j -6 route show default': '[]',
      'ss -Htn state established ( sport = :22 )': '0 0 192.0.2.10:22 198.51.100.9:50022\n',
      'ethtool -k eno1': offloads('generic-receive-offload'),
      'dpdk-devbind.py --help': 'usage',
      'nft --version': 'nftables v1.0.6',
    },
  };
}

/** No IOMMU, a virtio device for the director and one with the default route; frames are merged on eth1. */
export function virtualMachine(): Tree {
  const eth0 = pciTree('0000:00:03.0', { id: '1af4:1041', driver: 'virtio-pci', node: -1 });
  const eth1 = pciTree('0000:00:04.0', { id: '1af4:1041', driver: 'virtio-pci', node: -1 });
  return {
    files: {
      ...cpuFiles(0, 0, '0'),
      ...cpuFiles(1, 0, '1'),
      ...nodeFiles(0, 0, 3_000),
      ...eth0.files,
      ...eth1.files,
      '/sys/bus/pci/devices/0000:00:03.0/virtio0/net/eth0/mtu': '1500',
      '/sys/bus/pci/devices/0000:00:04.0/virtio1/net/eth1/mtu': '1500',
      '/sys/devices/system/cpu/online': '0-1',
      '/sys/devices/system/clocksource/clocksource0/current_clocksource': 'kvm-clock',
      '/proc/cpuinfo': 'flags\t\t: fpu sse4_1 sse4_2 hypervisor',
      '/proc/cmdline': 'BOOT_IMAGE=/vmlinuz root=/dev/vda1',
      '/proc/self/limits': limits,
      '/proc/self/status': 'CapEff:\t000001ffffffffff',
      '/etc/default/grub': '',
    },
    links: { ...eth0.links, ...eth1.links },
    answers: {
      'ip -j -d address show': JSON.stringify([link('eth0', '192.0.2.10'), link('eth1', undefined, { mtu: 1400 })]),
      'ip -j route show default': '[{"dst":"default","dev":"eth0"}]',
      'ip -j -6 route show default': '[]',
      'ethtool -k eth0': offloads('generic-receive-offload'),
      'ethtool -k eth1': offloads('generic-receive-offload', 'tcp-segmentation-offload'),
      'dpdk-devbind.py --help': 'usage',
      'nft --version': 'nftables v1.0.6',
    },
  };
}

/** A veth pair's end, nothing of PCI, capabilities of an ordinary container. */
export function container(): Tree {
  return {
    files: {
      ...cpuFiles(0, 0, '0-1'),
      ...cpuFiles(1, 0, '0-1'),
      ...nodeFiles(0, 0, 2_000),
      '/.dockerenv': '',
      '/sys/devices/system/cpu/online': '0-1',
      '/proc/cpuinfo': 'flags\t\t: fpu sse4_1 sse4_2',
      '/proc/cmdline': 'BOOT_IMAGE=/vmlinuz',
      '/proc/self/limits': limits,
      '/proc/self/status': 'CapEff:\t00000000a80425fb',
    },
    links: {},
    answers: {
      'ip -j -d address show': JSON.stringify([
        link('eth0', '172.17.0.2', { linkinfo: { info_kind: 'veth' } }),
        link('wan0', undefined, { linkinfo: { info_kind: 'veth' }, flags: ['BROADCAST'] }),
      ]),
      'ip -j route show default': '[{"dst":"default","dev":"eth0"}]',
      'ethtool -k wan0': offloads(),
    },
  };
}
