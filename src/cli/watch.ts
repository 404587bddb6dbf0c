// SPDX-License-Identifier: Apache-2.0
// fulcrum watch: the configuration as it is, then every change and event as it happens.
import type { Command } from 'commander';
import { formatServiceKey } from '../config/keys.js';
import { serviceEntry, timeoutsEntry, vipEntry } from '../config/services.js';
import type { WatchResponse__Output } from '../generated/fulcrum/v1/WatchResponse.js';
import { type Cli, globalOptions, withDirector } from './cli.js';
import { jsonText, type View, yamlText } from './output.js';
import { serviceView } from './service.js';
import { vipView } from './vip.js';

interface WatchOptions {
  readonly once?: boolean;
}

export function register(program: Command, cli: Cli): void {
  program
    .command('watch')
    .description('print the configuration, then changes and events as they happen, until Ctrl-C')
    .option('--once', 'end after the configuration as it is now')
    .addHelpText(
      'after',
      `
First comes a line for each service, VIP and the timeouts, then "end_of_snapshot", then what happens.
-o json prints one JSON object a line for each event, not one document; -o yaml prints documents.

Examples:
  fulcrum watch
  fulcrum watch -o json | jq -c 'select(.event == "happened")'`,
    )
    .action((options, command) => watch(cli, command, options));
}

type Event = { readonly event: string; readonly [key: string]: View };

async function watch(cli: Cli, command: Command, options: WatchOptions): Promise<void> {
  const { output } = globalOptions(command);
  await withDirector(cli, command, async (director) => {
    for await (const message of director.watch({}, { signal: cli.signal })) {
      const event = eventOf(message);
      if (output === 'json') await cli.write(`${jsonText(event)}\n`);
      else if (output === 'yaml') await cli.write(`---\n${await yamlText(event)}`);
      else await cli.write(`${eventText(message, event)}\n`);
      if (options.once && event.event === 'end_of_snapshot') return;
    }
  });
}

function eventOf(message: WatchResponse__Output): Event {
  return { event: eventName(message), revision: message.revision, ...details(message) };
}

function eventName(message: WatchResponse__Output): string {
  return (message.event ?? 'unknown').replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function details(message: WatchResponse__Output): { readonly [key: string]: View } {
  const { service, serviceRemoved, vip, vipRemoved, timeouts, happened } = message;
  if (service) return { service: serviceView(service) };
  if (serviceRemoved?.key) return { address: formatServiceKey(serviceRemoved.key) };
  if (vip) return { vip: vipView(vip) };
  if (vipRemoved) return { address: vipRemoved.address };
  if (timeouts) return { timeouts: { ...timeoutsEntry(timeouts) } };
  if (happened) return { time: happened.time, kind: happened.kind, message: happened.message };
  return {};
}

function eventText(message: WatchResponse__Output, event: Event): string {
  const { service, serviceRemoved, vip, vipRemoved, timeouts, happened } = message;
  if (service) {
    const { address, scheduler, servers = [] } = serviceEntry(service);
    const list = servers.map((server) => `${server.address}/${server.method}/${server.weight}`);
    return `service ${address} ${scheduler} ${list.length > 0 ? list.join(' ') : '(no servers)'}`;
  }
  if (serviceRemoved?.key) return `service removed ${formatServiceKey(serviceRemoved.key)}`;
  if (vip) return `vip ${vip.address} announce ${vipEntry(vip).announce} ${vipEntry(vip).state}`;
  if (vipRemoved) return `vip removed ${vipRemoved.address}`;
  if (timeouts) return `timeouts tcp ${timeouts.tcpS} tcp_fin ${timeouts.tcpFinS} udp ${timeouts.udpS}`;
  if (happened) return `${happened.time} ${happened.kind}: ${happened.message}`;
  return `-- ${event.event.replaceAll('_', ' ')}, revision ${message.revision}`;
}
