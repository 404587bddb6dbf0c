// SPDX-License-Identifier: Apache-2.0
// fulcrum port: the DPDK devices and the interfaces on them.
import type { Command } from 'commander';
import type { KernelInterface__Output } from '../generated/fulcrum/v1/KernelInterface.js';
import type { Port__Output } from '../generated/fulcrum/v1/Port.js';
import { type Cli, print, withDirector } from './cli.js';
import { tableLines, type View } from './output.js';

export function register(program: Command, cli: Cli): void {
  const port = program.command('port').description('DPDK devices and the interfaces on them');
  port
    .command('list')
    .description('list ports with their counters, their interfaces, and those of the kernel')
    .addHelpText(
      'after',
      `
MISSED: dropped by the device for want of a descriptor. NO BUFFER: no packet buffer was left to receive into.
LIMITED: packets for the kernel beyond the rate of their class. FULL: the kernel did not come after them.

Example:
  fulcrum port list -o json | jq '.ports[] | {name, rx_missed}'`,
    )
    .action((_, command) => list(cli, command));
}

function portView(port: Port__Output): View {
  return {
    name: port.name,
    device: port.device,
    driver: port.driver,
    mac: port.mac,
    link_up: port.linkUp,
    speed_mbps: port.speedMbps,
    rss_aligned: port.rssAligned,
    rx_queues: port.rxQueues,
    tx_queues: port.txQueues,
    mtu: port.mtu,
    rx_packets: BigInt(port.rxPackets),
    tx_packets: BigInt(port.txPackets),
    rx_bytes: BigInt(port.rxBytes),
    tx_bytes: BigInt(port.txBytes),
    rx_missed: BigInt(port.rxMissed),
    rx_errors: BigInt(port.rxErrors),
    tx_errors: BigInt(port.txErrors),
    rx_no_buffer: BigInt(port.rxNoBuffer),
    offloads: port.offloads,
    interfaces: port.interfaces.map(({ name, vlan, mac, mtu, addresses }) => ({ name, vlan, mac, mtu, addresses })),
    kernel: port.kernel.map(kernelView),
  };
}

function kernelView(kernel: KernelInterface__Output): View {
  return {
    name: kernel.name,
    interface: kernel.interface,
    to_kernel_packets: BigInt(kernel.toKernelPackets),
    to_kernel_bytes: BigInt(kernel.toKernelBytes),
    from_kernel_packets: BigInt(kernel.fromKernelPackets),
    from_kernel_bytes: BigInt(kernel.fromKernelBytes),
    refused_packets: BigInt(kernel.refusedPackets),
    classes: kernel.classes.map((of) => ({
      name: of.name,
      limit_per_second: of.limitPerSecond,
      passed_packets: BigInt(of.passedPackets),
      rate_limited_packets: BigInt(of.rateLimitedPackets),
      queue_full_packets: BigInt(of.queueFullPackets),
    })),
  };
}

async function list(cli: Cli, command: Command): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const { ports } = await director.listPorts({});
    await print(cli, command, { ports: ports.map(portView) }, () => [
      ...portTable(ports),
      '',
      ...interfaceTable(ports),
      ...kernelTable(ports),
    ]);
  });
}

function portTable(ports: readonly Port__Output[]): readonly string[] {
  return tableLines(
    [
      { title: 'PORT', value: ({ name }) => name },
      { title: 'DRIVER', value: ({ driver }) => driver },
      {
        title: 'LINK',
        value: ({ linkUp, speedMbps }) => (linkUp ? (speedMbps > 0 ? `${speedMbps} Mbit/s` : 'up') : 'down'),
      },
      { title: 'QUEUES', value: ({ rxQueues, txQueues }) => `${rxQueues}/${txQueues}`, right: true },
      { title: 'RX', value: ({ rxPackets }) => rxPackets, right: true },
      { title: 'TX', value: ({ txPackets }) => txPackets, right: true },
      { title: 'MISSED', value: ({ rxMissed }) => rxMissed, right: true },
      { title: 'NO BUFFER', value: ({ rxNoBuffer }) => rxNoBuffer, right: true },
      { title: 'ERRORS', value: ({ rxErrors, txErrors }) => BigInt(rxErrors) + BigInt(txErrors), right: true },
      { title: 'DEVICE', value: ({ device }) => device },
    ],
    ports,
  );
}

function interfaceTable(ports: readonly Port__Output[]): readonly string[] {
  return tableLines(
    [
      { title: 'INTERFACE', value: ({ name }) => name },
      { title: 'PORT', value: ({ port }) => port },
      { title: 'VLAN', value: ({ vlan }) => (vlan === 0 ? '-' : vlan), right: true },
      { title: 'MAC', value: ({ mac }) => mac },
      { title: 'MTU', value: ({ mtu }) => mtu, right: true },
      { title: 'ADDRESSES', value: ({ addresses }) => addresses.join(' ') },
    ],
    ports.flatMap(({ interfaces }) => interfaces),
  );
}

/** Nothing, if no port has a kernel port. */
function kernelTable(ports: readonly Port__Output[]): readonly string[] {
  const all = ports.flatMap(({ kernel }) => kernel);
  if (all.length === 0) return [];
  const sum = (numbers: readonly string[]): string => String(numbers.reduce((total, of) => total + BigInt(of), 0n));
  const lines = tableLines(
    [
      { title: 'KERNEL', value: ({ name }) => name },
      { title: 'INTERFACE', value: (kernel) => kernel.interface },
      { title: 'TO', value: ({ toKernelPackets }) => toKernelPackets, right: true },
      { title: 'FROM', value: ({ fromKernelPackets }) => fromKernelPackets, right: true },
      {
        title: 'LIMITED',
        value: ({ classes }) => sum(classes.map(({ rateLimitedPackets }) => rateLimitedPackets)),
        right: true,
      },
      {
        title: 'FULL',
        value: ({ classes }) => sum(classes.map(({ queueFullPackets }) => queueFullPackets)),
        right: true,
      },
      { title: 'REFUSED', value: ({ refusedPackets }) => refusedPackets, right: true },
    ],
    all,
  );
  return ['', ...lines];
}
