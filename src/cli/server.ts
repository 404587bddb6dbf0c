// SPDX-License-Identifier: Apache-2.0
// fulcrum server: the real servers of a virtual service.
import { type Command, Option } from 'commander';
import { formatServerKey, formatServiceKey } from '../config/keys.js';
import { largestWeight } from '../config/servers.js';
import { serverEntry, words } from '../config/services.js';
import type { Drain__Output } from '../generated/fulcrum/v1/Drain.js';
import type { DrainEnd__Output } from '../generated/fulcrum/v1/DrainEnd.js';
import type { RealServer__Output } from '../generated/fulcrum/v1/RealServer.js';
import type { ServerKey__Output } from '../generated/fulcrum/v1/ServerKey.js';
import type { ServerSpec } from '../generated/fulcrum/v1/ServerSpec.js';
import type { ServerStatistics__Output } from '../generated/fulcrum/v1/ServerStatistics.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import type { VirtualService__Output } from '../generated/fulcrum/v1/VirtualService.js';
import type { WatchDrainResponse__Output } from '../generated/fulcrum/v1/WatchDrainResponse.js';
import type { DirectorClient } from '../grpc/client.js';
import { FulcrumError } from '../grpc/errors.js';
import {
  type Cli,
  duration,
  durationText,
  editSettings,
  globalOptions,
  present,
  print,
  printEdit,
  requireInForce,
  serverOf,
  serviceArgument,
  wholeNumber,
  withDirector,
} from './cli.js';
import { CommandError } from './exit_codes.js';
import { type Column, jsonText, tableLines, type View, yamlText } from './output.js';
import { loadColumnsOf, loadView } from './server_load.js';
import { signalColumnsOf, signalView } from './server_signals.js';

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

/** Times in milliseconds. */
interface DrainOptions {
  readonly timeout?: number;
  readonly then?: string;
  readonly interval: number;
  readonly detach?: boolean;
  readonly watch?: boolean;
}

/** The API's words for what --then says. */
const ends: Readonly<Record<string, DrainEnd__Output>> = {
  keep: 'DRAIN_END_KEEP',
  reset: 'DRAIN_END_RESET',
  remove: 'DRAIN_END_REMOVE',
};

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
  fulcrum server drain tcp:203.0.113.10:80 10.0.0.11:8080 --timeout 5m --then remove
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
    .description('give it no new connections, and follow how the old ones end')
    .option('--timeout <duration>', 'end after so long though connections are left: "90s", "5m", "1h30m"', duration)
    .addOption(
      new Option(
        '--then <end>',
        'what becomes of it: keep it with weight 0 (default), reset the connections that are left, or that and remove it',
      ).choices(Object.keys(ends)),
    )
    .option('--interval <duration>', 'tell so often how it goes', duration, 1_000)
    .option('--detach', 'return at once')
    .option('--watch', 'only follow the drain that goes on already')
    .addHelpText(
      'after',
      `
It ends when no connection is left, active or inactive, or with the timeout; the deadline is kept by the clock, over
restarts of the manager. Ctrl-C leaves it going. As with weight 0 in LVS, clients whom a persistence template sends to
the server still come, unless the tunable expire_quiescent_template is set.
-o json prints one JSON object a line, the last one with "outcome". Exit status 1: it was called off, or time was up
with connections left that --then keep leaves alone.

Examples:
  fulcrum server drain tcp:203.0.113.10:80 10.0.0.11 --timeout 5m --then remove
  fulcrum server drain tcp:203.0.113.10:80 10.0.0.11 --detach`,
    )
    .action((service, key, options, command) => drain(cli, command, service, serverOf(key, service), options));
  withServer(server.command('undrain'))
    .description('call its drain off: it gets connections again, by the weight that it is configured with')
    .action((service, key, _, command) => undrain(cli, command, service, serverOf(key, service)));
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
  return [...serverColumns, ...healthColumns, ...loadColumnsOf(rows), ...signalColumnsOf(rows)];
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
    ...(server.drain && { drain: drainView(server.drain) }),
    ...loadView(server.condition),
    ...signalView(server.condition),
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

function drainView({ atEnd, deadline, since, ended }: Drain__Output): View {
  const end = Object.keys(ends).find((name) => ends[name] === atEnd) ?? '';
  return { at_end: end, since, ...(deadline !== '' && { deadline }), ...(ended !== '' && { ended }) };
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
  if (options.watch && (options.detach || options.timeout !== undefined || options.then !== undefined))
    command.error('error: --watch follows the drain as it is: leave --timeout, --then and --detach out');
  await withDirector(cli, command, async (director) => {
    if (!options.watch) {
      const begin = { timeoutMs: options.timeout ?? 0, atEnd: ends[options.then ?? 'keep'] ?? 'DRAIN_END_KEEP' };
      const setDrain = { service, key, drain: begin };
      const answer = await director.apply({ operations: { operations: [{ setDrain }] } }, editSettings);
      if (options.detach) await print(cli, command, {}, () => []);
      requireInForce(answer);
    }
    if (!options.detach) await followDrain(cli, command, director, { service, key, intervalMs: options.interval });
  });
}

async function undrain(cli: Cli, command: Command, service: ServiceKey__Output, key: ServerKey__Output): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const operations = [{ setDrain: { service, key } }];
    await printEdit(cli, command, await director.apply({ operations: { operations } }, editSettings), {});
  });
}

async function followDrain(
  cli: Cli,
  command: Command,
  director: DirectorClient,
  request: { readonly service: ServiceKey__Output; readonly key: ServerKey__Output; readonly intervalMs: number },
): Promise<void> {
  const { output } = globalOptions(command);
  try {
    for await (const progress of director.watchDrain(request, { signal: cli.signal })) {
      if (output === 'json') await cli.write(`${jsonText(progressView(progress))}\n`);
      else if (output === 'yaml') await cli.write(`---\n${await yamlText(progressView(progress))}`);
      else await cli.write(`${progressText(progress)}\n`);
      if (progress.outcome !== '') return endFollowing(progress);
    }
  } catch (error) {
    if (cli.signal.aborted || (error instanceof FulcrumError && error.code === 'UNAVAILABLE')) {
      const names = `${formatServiceKey(request.service)} ${formatServerKey(request.key)}`;
      cli.complain(`the drain goes on: "fulcrum server drain ${names} --watch" follows it, "undrain" calls it off`);
    }
    throw error;
  }
  throw new CommandError('the director ended the stream; the drain goes on');
}

/** Called off, or connections are left though time is up: not what was asked for. */
function endFollowing({ completed, outcome, drain: ended, ...progress }: WatchDrainResponse__Output): void {
  const isKept = ended?.atEnd === 'DRAIN_END_KEEP';
  const left = Number(progress.activeConnections ?? 0) + Number(progress.inactiveConnections ?? 0);
  if (!completed || (isKept && left > 0)) throw new CommandError(`the drain has ended: ${outcome}`);
}

function progressView(progress: WatchDrainResponse__Output): { readonly [key: string]: View } {
  const { activeConnections, inactiveConnections, oldestMs, leftMs, outcome, completed } = progress;
  return {
    ...(activeConnections !== undefined && { active_connections: BigInt(activeConnections) }),
    ...(inactiveConnections !== undefined && { inactive_connections: BigInt(inactiveConnections) }),
    oldest_ms: BigInt(oldestMs),
    ...(leftMs !== undefined && { left_ms: BigInt(leftMs) }),
    ...(outcome !== '' && { outcome, completed }),
  };
}

/** "active 12  inactive 3  oldest 4m12s  time left 48s". */
function progressText({ outcome, ...progress }: WatchDrainResponse__Output): string {
  if (outcome !== '') return outcome;
  const { activeConnections = '-', inactiveConnections = '-', oldestMs, leftMs } = progress;
  const oldest = Number(oldestMs) === 0 ? '-' : durationText(Number(oldestMs));
  const left = leftMs === undefined ? '' : `  time left ${durationText(Number(leftMs))}`;
  return `active ${activeConnections}  inactive ${inactiveConnections}  oldest ${oldest}${left}`;
}
