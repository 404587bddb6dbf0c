// SPDX-License-Identifier: Apache-2.0
// fulcrum watch: the configuration as it is, then every change and event as it happens.
import type { Command } from 'commander';
import { formatServiceKey } from '../config/keys.js';
import { markRuleEntry } from '../config/mark_rules.js';
import { serviceEntry, vipEntry } from '../config/services.js';
import { shortTimeoutsEntry, timeoutsEntry } from '../config/timeouts.js';
import { tunablesEntry } from '../config/tunables.js';
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
First comes a line for each service and VIP, for the timeouts, the tunables that are not at their default and the
mark rules, then "end_of_snapshot", then what happens.
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
  const { service, serviceRemoved, vip, vipRemoved, timeouts, tunables, markRules, happened } = message;
  const { prefixList, prefixListRemoved } = message;
  if (service) return { service: serviceView(service) };
  if (serviceRemoved?.key) return { address: formatServiceKey(serviceRemoved.key) };
  if (vip) return { vip: vipView(vip) };
  if (vipRemoved) return { address: vipRemoved.address };
  if (timeouts) return { timeouts: timeoutsEntry(timeouts) };
  if (tunables) return { tunables: tunablesEntry(tunables) };
  if (prefixList) return { prefix_list: { name: prefixList.name, prefixes: prefixList.prefixes.length } };
  if (prefixListRemoved) return { prefix_list_removed: prefixListRemoved };
  if (markRules) return { mark_rules: markRules.rules.map((rule): View => ({ ...markRuleEntry(rule) })) };
  if (happened) return { time: happened.time, kind: happened.kind, message: happened.message };
  return {};
}

function eventText(message: WatchResponse__Output, event: Event): string {
  const { service, serviceRemoved, vip, vipRemoved, timeouts, tunables, markRules, happened } = message;
  if (service) {
    const { address, scheduler, servers = [] } = serviceEntry(service);
    const list = servers.map((server) => `${server.address}/${server.method}/${server.weight}`);
    return `service ${address} ${scheduler} ${list.length > 0 ? list.join(' ') : '(no servers)'}`;
  }
  if (serviceRemoved?.key) return `service removed ${formatServiceKey(serviceRemoved.key)}`;
  if (vip) return `vip ${vip.address} announce ${vipEntry(vip).announce} ${vipEntry(vip).state}`;
  if (vipRemoved) return `vip removed ${vipRemoved.address}`;
  if (timeouts) return `timeouts ${pairs(shortTimeoutsEntry(timeouts))}`;
  if (tunables) return `tunables ${pairs(tunablesEntry(tunables)) || '(defaults)'}`;
  if (message.prefixList) return `prefix list ${message.prefixList.name} ${message.prefixList.prefixes.length}`;
  if (message.prefixListRemoved) return `prefix list ${message.prefixListRemoved} removed`;
  if (markRules) return `mark rules ${markRules.rules.length}`;
  if (happened) return `${happened.time} ${happened.kind}: ${happened.message}`;
  return `-- ${event.event.replaceAll('_', ' ')}, revision ${message.revision}`;
}

/** "tcp 900 udp 300". */
function pairs(values: Readonly<Record<string, number>>): string {
  return Object.entries(values).flat().join(' ');
}
