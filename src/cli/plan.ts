// SPDX-License-Identifier: Apache-2.0
// fulcrum plan: what applying a file would do, to the configuration and to the connections that there are.
import type { Command } from 'commander';
import { formatServiceKey } from '../config/keys.js';
import type { PlanResponse__Output } from '../generated/fulcrum/v1/PlanResponse.js';
import type { ServicePlan__Output } from '../generated/fulcrum/v1/ServicePlan.js';
import { type Cli, print, withDirector } from './cli.js';
import { withConfigurationFile } from './configuration_file.js';
import { operationText, operationView } from './operation_text.js';
import { type Column, tableLines, type View } from './output.js';

interface PlanOptions {
  readonly file: string;
  readonly prune?: boolean;
  readonly revision?: string;
}

export function register(program: Command, cli: Cli): void {
  program
    .command('plan')
    .description('say what applying a file would do: changes, hash slots and connections that move, pools left empty')
    .requiredOption('-f, --file <file>', 'YAML file; "-" for standard input')
    .option('--prune', 'as with config apply: what the file does not name is deleted')
    .option('--revision <revision>', 'refuse if the configuration is not this revision any more')
    .addHelpText(
      'after',
      `
Nothing is changed. The director works the edits out as "config apply" would; its dataplane carries them out on a draft
and compares. Of each virtual service that would be changed it says:

  HASH SLOTS   of the table of sh and mh, how many would name another real server: the share of new clients that come to
               another one than today. Other schedulers have none.
  USABLE       real servers with a weight above 0, now and then
  CONNECTIONS  as of now; LOST: those whose real server would be there no longer (their packets are dropped, or begin anew
               with tunable expire_nodest_conn 1); QUIESCED: those that stay with a real server of weight 0

Connections never move while their real server stays: weights, schedulers and hash slots concern new ones.

Examples:
  fulcrum plan -f director.yaml --prune
  fulcrum plan -f director.yaml -o json | jq '.services[] | select(.usable_servers_after == 0)'`,
    )
    .action((options: PlanOptions, command: Command) => plan(cli, command, options));
}

async function plan(cli: Cli, command: Command, { file, prune = false, revision = '' }: PlanOptions): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const answer = await withConfigurationFile(cli, file, (configuration) =>
      director.plan({ configuration, prune, revision }),
    );
    await print(cli, command, planView(answer), () => planLines(answer));
  });
}

function planView({ operations, revision, services }: PlanResponse__Output): View {
  return {
    revision,
    operations: operations.map(operationView),
    services: services.map((of) => ({
      service: nameOf(of),
      change: changeOf(of),
      hash_slots: of.hashSlots,
      moved_hash_slots: of.movedHashSlots,
      usable_servers_before: of.usableServersBefore,
      usable_servers_after: of.usableServersAfter,
      connections: BigInt(of.connections),
      lost_active_connections: BigInt(of.lostActiveConnections),
      lost_inactive_connections: BigInt(of.lostInactiveConnections),
      quiesced_connections: BigInt(of.quiescedConnections),
      lost_templates: BigInt(of.lostTemplates),
    })),
  };
}

function planLines({ operations, services }: PlanResponse__Output): readonly string[] {
  if (operations.length === 0) return ['nothing would be changed'];
  const empty = services.filter(
    ({ change, usableServersAfter }) => change !== 'CHANGE_DELETED' && usableServersAfter === 0,
  );
  return [
    ...operations.map(operationText),
    ...(services.length === 0 ? [] : ['', ...tableLines(columns, services)]),
    ...empty.map((of) => `warning: ${nameOf(of)} would have no real server for new connections`),
  ];
}

const nameOf = ({ service }: ServicePlan__Output): string => (service === null ? '' : formatServiceKey(service));

const changeOf = ({ change }: ServicePlan__Output): string => String(change).replace('CHANGE_', '').toLowerCase();

const columns: readonly Column<ServicePlan__Output>[] = [
  { title: 'SERVICE', value: nameOf },
  { title: 'CHANGE', value: changeOf },
  { title: 'HASH SLOTS', value: hashSlotsText, right: true },
  {
    title: 'USABLE',
    value: ({ usableServersBefore, usableServersAfter }) => `${usableServersBefore} -> ${usableServersAfter}`,
    right: true,
  },
  { title: 'CONNECTIONS', value: ({ connections }) => connections, right: true },
  {
    title: 'LOST',
    value: ({ lostActiveConnections, lostInactiveConnections }) =>
      String(BigInt(lostActiveConnections) + BigInt(lostInactiveConnections)),
    right: true,
  },
  { title: 'QUIESCED', value: ({ quiescedConnections }) => quiescedConnections, right: true },
];

/** "12.5 % of 256". */
function hashSlotsText({ hashSlots, movedHashSlots }: ServicePlan__Output): string {
  return hashSlots === 0 ? '-' : `${((100 * movedHashSlots) / hashSlots).toFixed(1)} % of ${hashSlots}`;
}
