// SPDX-License-Identifier: Apache-2.0
// fulcrum stats: what was counted, by service and server, by worker, by verdict.
import type { Command } from 'commander';
import { formatServerKey, formatServiceKey } from '../config/keys.js';
import { verdictMeanings } from '../config/verdict_meanings.js';
import type { Counters__Output } from '../generated/fulcrum/v1/Counters.js';
import type { GetStatisticsResponse__Output } from '../generated/fulcrum/v1/GetStatisticsResponse.js';
import type { Rates__Output } from '../generated/fulcrum/v1/Rates.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import type { ServiceStatistics__Output } from '../generated/fulcrum/v1/ServiceStatistics.js';
import type { VerdictCount__Output } from '../generated/fulcrum/v1/VerdictCount.js';
import type { WorkerStatistics__Output } from '../generated/fulcrum/v1/WorkerStatistics.js';
import { type Cli, editSettings, print, printEdit, serviceArgument, withDirector } from './cli.js';
import { CommandError } from './exit_codes.js';
import { tableLines, type View } from './output.js';

interface ShowOptions {
  readonly all?: boolean;
  readonly rate?: boolean;
}

export function register(program: Command, cli: Cli): void {
  const stats = program
    .command('stats')
    .description('counters of services, servers, workers and verdicts')
    .addHelpText(
      'after',
      `
Packets and bytes are those of the IP layer, as LVS counts them: IN from clients to servers, OUT back through the
director (always with NAT). --rate shows what LVS's estimator makes of them: per second, smoothed, renewed every two
seconds (see the tunable run_estimation). Every packet leaves by exactly one verdict; a verdict that loses the packet is
marked "drop". docs/verdicts.md says what each means and what to look at. What a service refused by its traffic policy (see "fulcrum service traffic") has a table of its own.

Examples:
  fulcrum stats
  fulcrum stats show tcp:203.0.113.10:80
  fulcrum stats --rate
  fulcrum stats verdicts --all
  fulcrum stats show -o json | jq '.verdicts[] | select(.drop and .packets > 0)'
  fulcrum stats zero`,
    );
  stats
    .command('show', { isDefault: true })
    .description('everything, or one service (the default)')
    .argument('[service]', 'only this virtual service', serviceArgument)
    .option('--rate', 'in the table, rates per second instead of counters')
    .action((service, options, command) => show(cli, command, service, options));
  stats
    .command('workers')
    .description('packets, connections and load of each worker')
    .action((_, command) => workers(cli, command));
  stats
    .command('verdicts')
    .description('how packets left')
    .option('--all', 'in the table, those at 0 too')
    .action((options, command) => verdicts(cli, command, options));
  stats
    .command('zero')
    .description('set the counters of one service or of all to zero')
    .argument('[service]', 'only this virtual service', serviceArgument)
    .action((service, _, command) => zero(cli, command, service));
}

function countersView(counters: Counters__Output | Rates__Output | null): { readonly [key: string]: View } {
  return {
    connections: BigInt(counters?.connections ?? 0),
    in_packets: BigInt(counters?.inPackets ?? 0),
    in_bytes: BigInt(counters?.inBytes ?? 0),
    out_packets: BigInt(counters?.outPackets ?? 0),
    out_bytes: BigInt(counters?.outBytes ?? 0),
  };
}

function serviceView(service: ServiceStatistics__Output): View {
  return {
    service: service.key ? formatServiceKey(service.key) : '',
    ...countersView(service.counters),
    rates: countersView(service.rates),
    open_connections: BigInt(service.openConnections),
    refusals: {
      client_denied: BigInt(service.refusals?.clientDenied ?? 0),
      connection_limit: BigInt(service.refusals?.connectionLimit ?? 0),
      connection_rate_limit: BigInt(service.refusals?.connectionRateLimit ?? 0),
    },
    servers: service.servers.map((server) => ({
      server: server.key ? formatServerKey(server.key) : '',
      ...countersView(server.counters),
      rates: countersView(server.rates),
      active_connections: BigInt(server.activeConnections),
      inactive_connections: BigInt(server.inactiveConnections),
      persistent_connections: BigInt(server.persistentConnections),
    })),
  };
}

function verdictView({ verdict, packets, drop }: VerdictCount__Output): View {
  return { verdict, packets: BigInt(packets), drop };
}

function workerView(worker: WorkerStatistics__Output): View {
  return {
    worker: worker.worker,
    cpu: worker.cpu,
    rx_packets: BigInt(worker.rxPackets),
    tx_packets: BigInt(worker.txPackets),
    handed_over: BigInt(worker.handedOver),
    taken_over: BigInt(worker.takenOver),
    connections: BigInt(worker.connections),
    connection_capacity: BigInt(worker.connectionCapacity),
    busy_ns: BigInt(worker.busyNs),
    total_ns: BigInt(worker.totalNs),
    stateless_packets: BigInt(worker.statelessPackets),
    adopted_connections: BigInt(worker.adoptedConnections),
    deleted_connections: BigInt(worker.deletedConnections),
    reset_packets: BigInt(worker.resetPackets),
    verdicts: worker.verdicts.map(verdictView),
  };
}

interface CounterRow {
  readonly name: string;
  readonly counters: Counters__Output | null;
  readonly rates: Rates__Output | null;
  readonly active: string;
  readonly inactive: string;
}

/** A line for each service, then one for each of its servers. */
function counterRows(service: ServiceStatistics__Output): readonly CounterRow[] {
  const sum = (field: 'activeConnections' | 'inactiveConnections'): string =>
    String(service.servers.reduce((total, server) => total + BigInt(server[field]), 0n));
  return [
    {
      name: service.key ? formatServiceKey(service.key) : '',
      counters: service.counters,
      rates: service.rates,
      active: sum('activeConnections'),
      inactive: sum('inactiveConnections'),
    },
    ...service.servers.map((server) => ({
      name: `  -> ${server.key ? formatServerKey(server.key) : ''}`,
      counters: server.counters,
      rates: server.rates,
      active: server.activeConnections,
      inactive: server.inactiveConnections,
    })),
  ];
}

/** Services that have refused something; nothing if none has. */
function refusalTable(services: readonly ServiceStatistics__Output[]): readonly string[] {
  const refusing = services.filter(({ refusals }) => Object.values(refusals ?? {}).some((count) => BigInt(count) > 0n));
  if (refusing.length === 0) return [];
  const lines = tableLines(
    [
      { title: 'SERVICE', value: ({ key }) => (key ? formatServiceKey(key) : '') },
      { title: 'OPEN', value: ({ openConnections }) => openConnections, right: true },
      { title: 'CLIENT DENIED', value: ({ refusals }) => refusals?.clientDenied ?? 0, right: true },
      { title: 'CONNECTION LIMIT', value: ({ refusals }) => refusals?.connectionLimit ?? 0, right: true },
      { title: 'RATE LIMIT', value: ({ refusals }) => refusals?.connectionRateLimit ?? 0, right: true },
    ],
    refusing,
  );
  return ['', ...lines];
}

function serviceTable(services: readonly ServiceStatistics__Output[]): readonly string[] {
  return [...counterTable(services), ...refusalTable(services)];
}

function counterTable(services: readonly ServiceStatistics__Output[]): readonly string[] {
  return tableLines(
    [
      { title: 'SERVICE', value: ({ name }) => name },
      { title: 'CONNS', value: ({ counters }) => counters?.connections ?? 0, right: true },
      { title: 'IN PKTS', value: ({ counters }) => counters?.inPackets ?? 0, right: true },
      { title: 'OUT PKTS', value: ({ counters }) => counters?.outPackets ?? 0, right: true },
      { title: 'IN BYTES', value: ({ counters }) => counters?.inBytes ?? 0, right: true },
      { title: 'OUT BYTES', value: ({ counters }) => counters?.outBytes ?? 0, right: true },
      { title: 'ACTIVE', value: ({ active }) => active, right: true },
      { title: 'INACTIVE', value: ({ inactive }) => inactive, right: true },
    ],
    services.flatMap(counterRows),
  );
}

function rateTable(services: readonly ServiceStatistics__Output[]): readonly string[] {
  return tableLines(
    [
      { title: 'SERVICE', value: ({ name }) => name },
      { title: 'CONNS/S', value: ({ rates }) => rates?.connections ?? 0, right: true },
      { title: 'IN PKTS/S', value: ({ rates }) => rates?.inPackets ?? 0, right: true },
      { title: 'OUT PKTS/S', value: ({ rates }) => rates?.outPackets ?? 0, right: true },
      { title: 'IN BYTES/S', value: ({ rates }) => rates?.inBytes ?? 0, right: true },
      { title: 'OUT BYTES/S', value: ({ rates }) => rates?.outBytes ?? 0, right: true },
    ],
    services.flatMap(counterRows),
  );
}

function workerTable(rows: readonly WorkerStatistics__Output[]): readonly string[] {
  return tableLines(
    [
      { title: 'WORKER', value: ({ worker }) => worker, right: true },
      { title: 'CPU', value: ({ cpu }) => cpu, right: true },
      { title: 'BUSY', value: busy, right: true },
      { title: 'RX', value: ({ rxPackets }) => rxPackets, right: true },
      { title: 'TX', value: ({ txPackets }) => txPackets, right: true },
      { title: 'HANDED OVER', value: ({ handedOver }) => handedOver, right: true },
      { title: 'TAKEN OVER', value: ({ takenOver }) => takenOver, right: true },
      { title: 'CONNECTIONS', value: ({ connections }) => connections, right: true },
      { title: 'ROOM', value: ({ connectionCapacity }) => connectionCapacity, right: true },
      { title: 'STATELESS', value: ({ statelessPackets }) => statelessPackets, right: true },
      { title: 'ADOPTED', value: ({ adoptedConnections }) => adoptedConnections, right: true },
    ],
    rows,
  );
}

/** Share of the time since the start that was spent on packets. */
function busy({ busyNs, totalNs }: WorkerStatistics__Output): string {
  return Number(totalNs) === 0 ? '-' : `${((100 * Number(busyNs)) / Number(totalNs)).toFixed(1)}%`;
}

function verdictTable(counts: readonly VerdictCount__Output[], withZeros: boolean): readonly string[] {
  return tableLines(
    [
      { title: 'VERDICT', value: ({ verdict }) => verdict },
      { title: 'PACKETS', value: ({ packets }) => packets, right: true },
      { title: '', value: ({ drop }) => (drop ? 'drop' : '') },
      { title: 'MEANING', value: ({ verdict }) => verdictMeanings[verdict]?.meaning ?? '' },
    ],
    counts.filter(({ packets }) => withZeros || BigInt(packets) > 0n),
  );
}

function statistics(cli: Cli, command: Command, service?: ServiceKey__Output): Promise<GetStatisticsResponse__Output> {
  return withDirector(cli, command, (director) => director.getStatistics(service ? { service } : {}));
}

async function show(
  cli: Cli,
  command: Command,
  service: ServiceKey__Output | undefined,
  options: ShowOptions,
): Promise<void> {
  const answer = await statistics(cli, command, service);
  if (service || options.rate) {
    const table = options.rate ? rateTable : serviceTable;
    await print(cli, command, { services: answer.services.map(serviceView) }, () => table(answer.services));
    return;
  }
  const view = {
    services: answer.services.map(serviceView),
    workers: answer.workers.map(workerView),
    verdicts: answer.verdicts.map(verdictView),
  };
  await print(cli, command, view, () => [
    ...serviceTable(answer.services),
    '',
    ...workerTable(answer.workers),
    '',
    ...verdictTable(answer.verdicts, false),
  ]);
}

async function workers(cli: Cli, command: Command): Promise<void> {
  const answer = await statistics(cli, command);
  await print(cli, command, { workers: answer.workers.map(workerView) }, () => workerTable(answer.workers));
}

async function verdicts(cli: Cli, command: Command, options: ShowOptions): Promise<void> {
  const answer = await statistics(cli, command);
  const view = { verdicts: answer.verdicts.map(verdictView) };
  await print(cli, command, view, () => verdictTable(answer.verdicts, options.all ?? false));
}

async function zero(cli: Cli, command: Command, service: ServiceKey__Output | undefined): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const operation = { zero: service ? { service } : {} };
    const answer = await director.apply(
      { operations: { operations: [operation] }, mode: 'APPLY_MODE_RESTORE' },
      editSettings,
    );
    const refusal = answer.results.find(({ reason }) => reason !== 'REASON_UNSPECIFIED');
    if (refusal) throw new CommandError(refusal.message);
    await printEdit(cli, command, answer, {});
  });
}
