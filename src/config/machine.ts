// SPDX-License-Identifier: Apache-2.0
// What a configuration can refer to on this machine: CPUs, kernel interfaces of this network namespace, PCI devices.

import { readdirSync, readFileSync } from 'node:fs';

export interface PortNumbers {
  readonly first: number;
  readonly last: number;
}

export interface Machine {
  readonly cpus: readonly number[];
  readonly kernelInterfaces: readonly string[];
  readonly pciDevices: readonly string[];
  /** What this namespace's kernel chooses the ports of its own sockets from; undefined: unknown. */
  readonly localPorts?: PortNumbers | undefined;
}

/** "0-2,5" → 0, 1, 2, 5. */
export function parseCpuList(text: string): readonly number[] {
  return text
    .trim()
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first = 0, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

/** /proc/self is used because it follows the namespace of this process; /sys may have been mounted in another. */
function kernelInterfaces(): readonly string[] {
  const lines = readFileSync('/proc/self/net/dev', 'utf8').split('\n').slice(2);
  return lines.map((line) => line.split(':')[0]?.trim() ?? '').filter((name) => name !== '');
}

function pciDevices(): readonly string[] {
  try {
    return readdirSync('/sys/bus/pci/devices');
  } catch {
    return [];
  }
}

function localPorts(): PortNumbers | undefined {
  try {
    const [first, last] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
      .trim()
      .split(/\s+/)
      .map(Number);
    return first === undefined || last === undefined ? undefined : { first, last };
  } catch {
    return undefined;
  }
}

export function thisMachine(): Machine {
  return {
    cpus: parseCpuList(readFileSync('/sys/devices/system/cpu/online', 'utf8')),
    kernelInterfaces: kernelInterfaces(),
    pciDevices: pciDevices(),
    localPorts: localPorts(),
  };
}
