// SPDX-License-Identifier: Apache-2.0
// fulcrum server: the real servers of a virtual service.
import { setTimeout as delay } from 'node:timers/promises';
import { type Command, Option } from 'commander';
import { formatServerKey, formatServiceKey } from '../config/keys.js';
import { largestWeight } from '../config/servers.js';
import { serverEntry, words } from '../config/services.js';
import type { RealServer__Output } from '../generated/fulcrum/v1/RealServer.js';
import type { ServerKey__Output } from '../generated/fulcrum/v1/ServerKey.js';
import type { ServerSpec } from '../generated/fulcrum/v1/ServerSpec.js';
import type { ServerStatistics__Output } from '../generated/fulcrum/v1/ServerStatistics.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import type { VirtualService__Output } from '../generated/fulcrum/v1/VirtualService.js';
import type { DirectorClient } from '../grpc/client.js';
import { FulcrumError } from '../grpc/errors.js';
import {
  type Cli,
  editSettings,
  present,
  print,
  printEdit,
  seconds,
  serverOf,
  serviceArgument,
  wholeNumber,
  withDirector,
} from './cli.js';
import { CommandError } from './exit_codes.js';
import { type Column, tableLines, type View } from './output.js';
import { loadColumnsOf, loadView } from './server_load.js';

interface ServerOptions {
  readonly method?: string;
  readonly weight?: number;
  readonly upperThreshold?: number;
  readonly lowerThreshold?: number;
  readonly tunnelType?: string;
  readonly tunnelPort?: number;
  readonly tunnelChecksum?: string;
  readonly etag?: string;
  readonly dryRun?: boolean;
}

interface DrainOptions {
  readonly wait?: boolean;
  readonly timeout?: number;
  readonly interval: number;
}

const serverWords = 'ADDRESS:PORT, or ADDRESS for the port of the service';

export function register(program: Command, cli: Cli): void {
  const server = program
    .command('server')
    .description('real servers of a virtual service')
    .addHelpText(
      'after',
      `
Examples:
  fulcrum server add tcp:203.0.113.10:80 10.0.0.11:8080 --method nat --weight 2
  fulcrum server edit tcp:203.0.113.10:80 10.0.0.11:8080 --weight 5
  fulcrum server drain tcp:203.0.113.10:80 10.0.0.11:8080 --wait --timeout 300
  fulcrum server delete tcp:203.0.113.10:80 10.0.0.11:8080
  fulcrum server list tcp:203.0.113.10:80`,
    );
  withService(server.command('list'))
    .description('list them in LVS order (the one added last first) with their connections')
    .action((service, _, command) => list(cli, command, service));
  settings(withServer(server.command('add')))
    .description('add one, at the head of the list')
    .action((service, key, options, command) => add(cli, command, service, serverOf(key, service), options));
  settings(withServer(server.command('edit')))
    .description('change what is given, and leave the rest; connections stay, and so does the place in the list')
    .option('--etag <etag>', 'refuse if the server has changed since it was shown with this etag')
    .action((service, key, options, command) => edit(cli, command, service, serverOf(key, service), options));
  withServer(server.command('delete'))
    .description('delete one; see drain for letting its connections end first')
    .option('--etag <etag>', 'refuse if the server has changed since it was shown with this etag')
    .option('--dry-run', 'only check whether the director would do it')
    .action((service, key, options, command) => remove(cli, command, service, serverOf(key, service), options));
  withServer(server.command('drain'))
    .description('set the weight to 0: no new connections, the old ones go on')
    .option('--wait', 'return when no connection is left, active or inactive')
    .option(
      '--timeout <seconds>',
      'with --wait: give up after so long, with exit status 1; the weight stays 0',
      seconds,
    )
    .option('--interval <seconds>', 'with --wait: ask for the connections so often', seconds, 1)
    .action((service, key, options, command) => drain(cli, command, service, serverOf(key, service), options));
}

function withService(command: Command): Command {
  return command.argument('<service>', 'virtual service', serviceArgument);
}

function withServer(command: Command): Command {
  return withService(command).argument('<server>', serverWords);
}

function settings(command: Command): Command {
  return command
    .addOption(
      new Option('--method <method>', 'how packets reach it (default for a new server: dr)').choices(
        Object.keys(words.methods),
      ),
    )
    .option(
      '--weight <number>',
      'share of new connections; 0 quiesces (default for a new server: 1)',
      wholeNumber(0, largestWeight),
    )
    .option(
      '--upper-threshold <connections>',
      'at so many connections it is overloaded; 0 for none',
      wholeNumber(0, largestWeight),
    )
    .option('--lower-threshold <connections>', 'below so many it is not any more', wholeNumber(0, largestWeight))
    .addOption(new Option('--tunnel-type <type>', 'with method tun').choices(Object.keys(words.tunnelTypes)))
    .option('--tunnel-port <port>', 'with tunnel type gue', wholeNumber(1, 65535))
    .addOption(
      new Option('--tunnel-checksum <kind>', 'with tunnel type gue or gre').choices(Object.keys(words.tunnelChecksums)),
    )
    .option('--dry-run', 'only check whether the director would do it');
}

/** The settings given, by the API's names. */
function specOf(options: ServerOptions): ServerSpec {
  const method = words.methods[options.method ?? ''];
  const tunnelType = words.tunnelTypes[options.tunnelType ?? ''];
  const tunnelChecksum = words.tunnelChecksums[options.tunnelChecksum ?? ''];
  return {
    ...(method !== undefined && { method }),
    ...(options.weight !== undefined && { weight: options.weight }),
    ...(options.upperThreshold !== undefined && { upperThreshold: options.upperThreshold }),
    ...(options.lowerThreshold !== undefined && { lowerThreshold: options.lowerThreshold }),
    ...(tunnelType !== undefined && { tunnelType }),
    ...(options.tunnelPort !== undefined && { tunnelPort: options.tunnelPort }),
    ...(tunnelChecksum !== undefined && { tunnelChecksum }),
  };
}

/** Paths of a field mask. */
const maskPaths: Readonly<Record<Exclude<keyof ServerSpec, '_weight'>, string>> = {
  method: 'spec.method',
  weight: 'spec.weight',
  upperThreshold: 'spec.upper_threshold',
  lowerThreshold: 'spec.lower_threshold',
  tunnelType: 'spec.tunnel_type',
  tunnelPort: 'spec.tunnel_port',
  tunnelChecksum: 'spec.tunnel_checksum',
};

/** A server with its counted connections, if the dataplane told them. */
export interface ServerRow {
  readonly server: RealServer__Output;
  readonly counted: ServerStatistics__Output | undefined;
}

const serverColumns: readonly Column<ServerRow>[] = [
  { title: 'SERVER', value: ({ server }) => serverEntry(server).address },
  { title: 'METHOD', value: ({ server }) => serverEntry(server).method ?? '' },
  { title: 'WEIGHT', value: ({ server }) => server.spec?.weight ?? 1, right: true },
  { title: 'ACTIVE', value: ({ counted }) => counted?.activeConnections ?? '-', right: true },
  { title: 'INACTIVE', value: ({ counted }) => counted?.inactiveConnections ?? '-', right: true },
];

const healthColumns: readonly Column<ServerRow>[] = [
  { title: 'IN FORCE', value: ({ server: { condition } }) => weightInForce(condition), right: true },
  { title: 'STATE', value: ({ server }) => stateName(server.condition) },
  { title: 'SINCE', value: ({ server }) => server.condition?.since ?? '' },
  { title: 'LATENCY', value: ({ server }) => latencyText(server.condition), right: true },
  { title: 'REASON', value: ({ server }) => server.condition?.reason ?? '' },
];

/** With what is known of their health, if they are checked. */
export function columnsOf(rows: readonly ServerRow[]): readonly Column<ServerRow>[] {
  if (rows.every(({ server }) => server.condition === null)) return serverColumns;
  return [...serverColumns, ...healthColumns, ...loadColumnsOf(rows)];
}

function weightInForce(condition: RealServer__Output['condition']): string {
  return condition?.inPool ? String(condition.effectiveWeight) : 'out';
}

function stateName(condition: RealServer__Output['condition']): string {
  return (condition?.state ?? '').replace('SERVER_STATE_', '').toLowerCase();
}

function latencyText(condition: RealServer__Output['condition']): string {
  const microseconds = condition?.latencyUs ?? 0;
  return microseconds === 0 ? '-' : `${(microseconds / 1000).toFixed(1)} ms`;
}

/** Servers joined with their connections; without a dataplane a warning, and no numbers. */
export async function serverRows(
  director: DirectorClient,
  service: VirtualService__Output,
  cli: Cli,
): Promise<readonly ServerRow[]> {
  const counted = await connectionsOf(director, present(service.key, 'service key'), cli);
  return service.servers.map((server) => ({
    server,
    counted: counted.get(server.key ? formatServerKey(server.key) : ''),
  }));
}

type ByServer = ReadonlyMap<string, ServerStatistics__Output>;

async function connectionsOf(director: DirectorClient, service: ServiceKey__Output, cli: Cli): Promise<ByServer> {
  try {
    return await serverStatistics(director, service);
  } catch (error) {
    if (!(error instanceof FulcrumError)) throw error;
    cli.complain(`warning: connections are not known: ${error.describe()}`);
    return new Map();
  }
}

async function serverStatistics(director: DirectorClient, service: ServiceKey__Output): Promise<ByServer> {
  const { services } = await director.getStatistics({ service });
  const servers = services.flatMap((entry) => entry.servers);
  return new Map(servers.flatMap((entry) => (entry.key ? [[formatServerKey(entry.key), entry] as const] : [])));
}

export function rowView({ server, counted }: ServerRow): View {
  return {
    ...serverEntry(server),
    active_connections: counted && BigInt(counted.activeConnections),
    inactive_connections: counted && BigInt(counted.inactiveConnections),
    persistent_connections: counted && BigInt(counted.persistentConnections),
    ...conditionView(server.condition),
    ...loadView(server.condition),
    etag: server.etag,
  };
}

function conditionView(
  condition: RealServer__Output['condition'],
): Readonly<Record<string, string | number | boolean>> {
  if (condition === null) return {};
  const { reason, since, latencyUs, inPool, effectiveWeight } = condition;
  return {
    state: stateName(condition),
    reason,
    since,
    latency_us: latencyUs,
    in_pool: inPool,
    effective_weight: effectiveWeight,
  };
}

function serverView(server: RealServer__Output): View {
  return { ...serverEntry(server), etag: server.etag };
}

async function list(cli: Cli, command: Command, key: ServiceKey__Output): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const service = present((await director.getVirtualService({ key })).service, 'service');
    const rows = await serverRows(director, service, cli);
    const view = { service: formatServiceKey(key), servers: rows.map(rowView) };
    await print(cli, command, view, () => tableLines(columnsOf(rows), rows));
  });
}

async function add(
  cli: Cli,
  command: Command,
  service: ServiceKey__Output,
  key: ServerKey__Output,
  options: ServerOptions,
): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const request = { service, server: { key, spec: specOf(options) }, validateOnly: options.dryRun ?? false };
    const answer = await director.createRealServer(request, editSettings);
    await printEdit(cli, command, answer, serverView(present(answer.server, 'real server')));
  });
}

async function edit(
  cli: Cli,
  command: Command,
  service: ServiceKey__Output,
  key: ServerKey__Output,
  options: ServerOptions,
): Promise<void> {
  const spec = specOf(options);
  const paths = Object.keys(spec).map((name) => maskPaths[name as keyof typeof maskPaths]);
  if (paths.length === 0) command.error('error: nothing to change: name at least one setting, for example --weight 2');
  await withDirector(cli, command, async (director) => {
    const request = {
      service,
      server: { key, spec, etag: options.etag ?? '' },
      updateMask: { paths },
      validateOnly: options.dryRun ?? false,
    };
    const answer = await director.updateRealServer(request, editSettings);
    await printEdit(cli, command, answer, serverView(present(answer.server, 'real server')));
  });
}

async function remove(
  cli: Cli,
  command: Command,
  service: ServiceKey__Output,
  key: ServerKey__Output,
  options: ServerOptions,
): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const request = { service, key, etag: options.etag ?? '', validateOnly: options.dryRun ?? false };
    await printEdit(cli, command, await director.deleteRealServer(request, editSettings), {});
  });
}

async function drain(
  cli: Cli,
  command: Command,
  service: ServiceKey__Output,
  key: ServerKey__Output,
  options: DrainOptions,
): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const request = { service, server: { key, spec: { weight: 0 } }, updateMask: { paths: ['spec.weight'] } };
    const answer = await director.updateRealServer(request, editSettings);
    await printEdit(cli, command, answer, serverView(present(answer.server, 'real server')));
    if (options.wait) await untilEmpty(cli, director, service, key, options);
  });
}

/** Asks at the interval; there is no event for the last connection's end. */
async function untilEmpty(
  cli: Cli,
  director: DirectorClient,
  service: ServiceKey__Output,
  key: ServerKey__Output,
  { timeout, interval }: DrainOptions,
): Promise<void> {
  const deadline = timeout === undefined ? Number.POSITIVE_INFINITY : performance.now() + timeout * 1000;
  for (;;) {
    const counted = (await serverStatistics(director, service)).get(formatServerKey(key));
    const left = counted ? BigInt(counted.activeConnections) + BigInt(counted.inactiveConnections) : 0n;
    if (left === 0n) return;
    const remaining = deadline - performance.now();
    if (remaining <= 0)
      throw new CommandError(`${formatServerKey(key)} still has ${left} connections after ${timeout} s`);
    await delay(Math.min(interval * 1000, remaining), undefined, { signal: cli.signal });
  }
}
