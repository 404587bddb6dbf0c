// SPDX-License-Identifier: Apache-2.0
// PCI devices to the driver that DPDK takes them from: vfio-pci with an IOMMU, its unsafe mode without one, and nothing at
// all where kernel and DPDK share the device.
import type { HostFacts, PciFacts } from '../facts.js';
import type { Needs } from '../needs.js';
import { type Action, command, type SetupStep, write } from '../step.js';

/** Mellanox and Microsoft: DPDK works beside their kernel drivers. */
export const sharedDrivers: readonly string[] = ['mlx4_core', 'mlx5_core', 'mana'];
export const userDrivers: readonly string[] = ['vfio-pci', 'uio_pci_generic', 'igb_uio'];

const noIommuPath = '/sys/module/vfio/parameters/enable_unsafe_noiommu_mode';

export function deviceSteps(facts: HostFacts, needs: Needs, force: boolean): readonly SetupStep[] {
  const devices = needs.ports.flatMap(({ name, pci }) => {
    const device = facts.pci.find(({ address }) => address === pci);
    return pci === undefined ? [] : [{ name, address: pci, device }];
  });
  const needsVfio = devices.some(({ device }) => device !== undefined && !isShared(device));
  return [
    ...(needsVfio ? [vfioStep(facts), ...(facts.iommuGroups === 0 ? [noIommuStep(facts)] : [])] : []),
    ...devices.map(({ name, address, device }) => bindingStep(facts, name, address, device, force)),
  ];
}

const isShared = ({ driver, id }: PciFacts): boolean =>
  (driver !== undefined && sharedDrivers.includes(driver)) || id.startsWith('15b3:');

function vfioStep(facts: HostFacts): SetupStep {
  const isLoaded = facts.modules.has('vfio_pci');
  return {
    subject: 'module vfio-pci',
    state: isLoaded ? 'done' : 'todo',
    is: isLoaded ? 'loaded' : 'not loaded',
    wanted: 'loaded',
    why: 'by it DPDK reaches a device from user space',
    actions: isLoaded ? [] : [command('modprobe', 'vfio-pci')],
    undo: isLoaded ? '' : 'modprobe -r vfio-pci',
  };
}

function noIommuStep({ noIommuMode, isVirtual }: HostFacts): SetupStep {
  const isOn = noIommuMode === true;
  const advice = isVirtual
    ? 'this machine has no IOMMU (a virtual machine)'
    : 'no IOMMU is on: better switch it on (VT-d or AMD-Vi in the firmware, intel_iommu=on), and this is not needed';
  return {
    subject: 'vfio without an IOMMU',
    state: isOn ? 'done' : 'todo',
    is: isOn ? 'allowed' : 'not allowed',
    wanted: 'allowed',
    why: `${advice}; without one a device can write anywhere in memory`,
    actions: isOn ? [] : [write(noIommuPath, 'Y')],
    undo: isOn ? '' : `echo N > ${noIommuPath}`,
  };
}

function bindingStep(
  facts: HostFacts,
  port: string,
  address: string,
  device: PciFacts | undefined,
  force: boolean,
): SetupStep {
  const base = { subject: `device ${address} of port ${port}`, actions: [], undo: '' };
  if (device === undefined)
    return {
      ...base,
      state: 'manual',
      is: 'not there',
      wanted: 'a PCI device',
      why: 'the address is wrong, or the slot is empty: dpdk-devbind.py --status-dev net',
    };
  const group = device.iommuGroup === undefined ? '' : `, IOMMU group ${device.iommuGroup}`;
  const is = `driver ${device.driver ?? 'none'}${group}`;
  if (isShared(device)) return { ...base, ...sharedState(device), is };
  const wanted = 'driver vfio-pci';
  if (device.driver === 'vfio-pci') return { ...base, state: 'done', is, wanted, why: 'DPDK takes it from there' };
  const danger = dangerOf(facts, device);
  if (danger !== undefined && !force) return { ...base, state: 'refused', is, wanted, why: danger };
  if (!facts.hasDevbind)
    return { ...base, state: 'manual', is, wanted, why: 'dpdk-devbind.py is missing: apt-get install dpdk' };
  return {
    ...base,
    state: 'todo',
    is,
    wanted,
    why: danger ?? 'DPDK takes it from there; the kernel loses its interface meanwhile',
    actions: bindActions(device),
    undo: `dpdk-devbind.py --bind=${device.driver ?? 'none'} ${address}`,
  };
}

function sharedState({ driver, id }: PciFacts): Pick<SetupStep, 'state' | 'wanted' | 'why'> {
  if (driver !== undefined && sharedDrivers.includes(driver))
    return { state: 'done', wanted: `driver ${driver}`, why: 'DPDK works beside it: nothing is to be bound' };
  const wanted = 'its kernel driver';
  const why = `DPDK works beside the kernel's driver of ${id}, and needs it: echo ADDRESS > /sys/bus/pci/drivers_probe`;
  return { state: 'manual', wanted, why };
}

/** Several actions in order: interfaces down, as dpdk-devbind.py wants them, and the binding. */
function bindActions({ address, interfaces }: PciFacts): readonly Action[] {
  return [
    ...interfaces.map((name) => command('ip', 'link', 'set', name, 'down')),
    command('dpdk-devbind.py', '--bind=vfio-pci', address),
  ];
}

/** What would be cut off. */
export function dangerOf(facts: HostFacts, { interfaces: names }: PciFacts): string | undefined {
  const reasons = facts.interfaces
    .filter(({ name }) => names.includes(name))
    .flatMap(({ name, isDefaultRoute, ssh }) => [
      ...(isDefaultRoute ? [`the default route leaves by ${name}`] : []),
      ...(ssh.length > 0 ? [`somebody is logged in by ssh at ${ssh.join(', ')} on ${name}`] : []),
    ]);
  return reasons.length === 0 ? undefined : `${reasons.join('; ')}: --force does it all the same`;
}
