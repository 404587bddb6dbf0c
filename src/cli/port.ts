// SPDX-License-Identifier: Apache-2.0
// fulcrum port: the DPDK devices and the interfaces on them.
import type { Command } from 'commander';
import type { Port__Output } from '../generated/fulcrum/v1/Port.js';
import { type Cli, print, withDirector } from './cli.js';
import { tableLines, type View } from './output.js';

export function register(program: Command, cli: Cli): void {
  const port = program.command('port').description('DPDK devices and the interfaces on them');
  port
    .command('list')
    .description('list ports with their counters, then their interfaces')
    .addHelpText(
      'after',
      `
MISSED: dropped by the device for want of a descriptor. NO BUFFER: no packet buffer was left to receive into.

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
  };
}

async function list(cli: Cli, command: Command): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const { ports } = await director.listPorts({});
    await print(cli, command, { ports: ports.map(portView) }, () => [
      ...portTable(ports),
      '',
      ...interfaceTable(ports),
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
