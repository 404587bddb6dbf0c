// SPDX-License-Identifier: Apache-2.0
// What a configuration asks of its machine: CPUs, memory by node, the device of each port.

import type { StartConfig } from '../generated/fulcrum/dataplane/v1/StartConfig.js';
import type { HostFacts } from './facts.js';
import { hugepageMb, memoryNeed } from './memory.js';

export interface PortNeed {
  readonly name: string;
  /** "0000:03:00.0"; undefined: no PCI device. */
  readonly pci: string | undefined;
  /** Of the kernel, that the director takes over (AF_PACKET, AF_XDP, libpcap); undefined: none. */
  readonly interface: string | undefined;
  readonly mtu: number;
  readonly hasKernelPort: boolean;
}

export interface Needs {
  readonly workers: readonly number[];
  readonly housekeeping: readonly number[];
  /** Busy workers: a machine of the director's own. */
  readonly polls: boolean;
  /** Huge pages of 2 MB by node; empty: the configuration switches them off. */
  readonly pages: ReadonlyMap<number, number>;
  readonly memoryText: string;
  readonly ports: readonly PortNeed[];
}

const pciAddress = /^(?:([0-9a-f]{4}):)?([0-9a-f]{2}:[0-9a-f]{2}\.[0-7])$/i;

export function needsOf(config: StartConfig, facts: HostFacts): Needs {
  const workers = config.workerCpus ?? [];
  const need = memoryNeed(config);
  return {
    workers: [...new Set(workers)],
    housekeeping: config.housekeepingCpus ?? [],
    polls: config.idle === 'IDLE_POLICY_POLL',
    pages: config.hugepages === 'HUGEPAGES_OFF' ? new Map() : pagesByNode(config, facts),
    memoryText: `${need.dpdkMb} MB for packets and routes, ${need.workerMb} MB of connection tables for each of ${need.workers} workers`,
    ports: (config.ports ?? []).map(({ name = '', device = '', mtu = 0, kernel }) => ({
      name,
      pci: pciOf(device),
      interface: /^net_(?:af_packet|af_xdp|pcap)/.test(device) ? /,iface=([^,]+)/.exec(device)?.[1] : undefined,
      mtu: mtu || 1500,
      hasKernelPort: Boolean(kernel),
    })),
  };
}

function pciOf(device: string): string | undefined {
  const [, domain = '0000', rest] = pciAddress.exec(device.split(',')[0] ?? '') ?? [];
  return rest === undefined ? undefined : `${domain}:${rest}`.toLowerCase();
}

/** Tables where their workers are; the rest in equal parts on the workers' nodes. */
function pagesByNode(config: StartConfig, facts: HostFacts): ReadonlyMap<number, number> {
  const need = memoryNeed(config);
  const nodeOf = (cpu: number): number => facts.cpus.find((known) => known.cpu === cpu)?.node ?? 0;
  const nodes = (config.workerCpus ?? []).map(nodeOf);
  const distinct = [...new Set(nodes)];
  return new Map(
    distinct.map((node) => {
      const tables = nodes.filter((other) => other === node).length * (need.workerMb / hugepageMb);
      return [node, tables + Math.ceil(need.dpdkMb / hugepageMb / distinct.length)];
    }),
  );
}
