// SPDX-License-Identifier: Apache-2.0
// What Prometheus is told, gathered when it asks: from the model, from what checks know, and from the dataplane as far as
// it answers. prom-client keeps the format, but for the series of single servers; a value is set anew with each scrape,
// because it is counted elsewhere.
import { Counter, Gauge, Registry } from 'prom-client';
import type { GetStateResponse__Output } from '../../generated/fulcrum/dataplane/v1/GetStateResponse.js';
import type { GetStatisticsResponse__Output } from '../../generated/fulcrum/dataplane/v1/GetStatisticsResponse.js';
import type { Counters } from '../../generated/fulcrum/v1/Counters.js';
import type { Neighbor__Output } from '../../generated/fulcrum/v1/Neighbor.js';
import type { Port__Output } from '../../generated/fulcrum/v1/Port.js';
import type { ServerStatistics__Output } from '../../generated/fulcrum/v1/ServerStatistics.js';
import type { WorkerStatistics__Output } from '../../generated/fulcrum/v1/WorkerStatistics.js';
import type { LiveOf } from '../messages.js';
import { stateWord } from '../messages.js';
import type { Model } from '../model.js';
import { type Server, type Service, type ServiceKey, serverId, serviceId } from '../nouns.js';
import { sumVerdicts } from '../statistics.js';
import { readServerKey, readServiceKey } from '../validate.js';
import type { Disagreement } from '../verify/verifier.js';
import { type BackendRow, backendText, gather } from './backend_series.js';
import { burstText } from './burst_series.js';
import { definitions, fullName, type MetricName } from './definitions.js';

/** What the dataplane said; undefined: it was not asked, or did not answer. */
export interface DataplaneReadings {
  readonly state: GetStateResponse__Output;
  readonly statistics: GetStatisticsResponse__Output;
  readonly ports: readonly Port__Output[];
  readonly neighbors: readonly Neighbor__Output[];
}

/** What the manager has counted since its start, by label. */
export interface ManagerCounts {
  readonly edits: ReadonlyMap<string, number>;
  readonly refusals: ReadonlyMap<string, number>;
  readonly events: ReadonlyMap<string, number>;
  readonly eventsLost: number;
}

export interface Readings {
  readonly model: Model;
  readonly liveOf: LiveOf;
  readonly dataplane: DataplaneReadings | undefined;
  /** Of workers that use something else than what is declared. */
  readonly disagreements: readonly Disagreement[];
  /** RFC 3339, of the last comparison; empty: there was none. */
  readonly comparedAt: string;
  readonly generations: { readonly wanted: number; readonly applied: number };
  readonly counts: ManagerCounts;
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly gatheredInMs: number;
}

type Labels = Readonly<Record<string, string | number>>;

export class Metrics {
  readonly #registry = new Registry();
  readonly #metrics = new Map<MetricName, Counter | Gauge>();
  readonly #perServer: boolean;
  #lastStart = { instanceId: '', startedAt: 0 };

  /** Without real servers' series there are as many series as there are services, workers and ports. */
  constructor({ perServer }: { readonly perServer: boolean }) {
    this.#perServer = perServer;
    for (const [name, definition] of Object.entries(definitions)) {
      const { type, help, labels: labelNames } = definition;
      if ('perServer' in definition || type === 'histogram') continue;
      const settings = { name: fullName(name), help, labelNames: [...labelNames], registers: [this.#registry] };
      this.#metrics.set(name as MetricName, type === 'counter' ? new Counter(settings) : new Gauge(settings));
    }
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Prometheus's text format. */
  async text(readings: Readings): Promise<string> {
    for (const metric of this.#metrics.values()) metric.reset();
    this.#manager(readings);
    const { dataplane } = readings;
    const counted = new Map(
      dataplane?.statistics.services.map((of) => [serviceId(readServiceKey(of.key, 'key')), of] as const),
    );
    for (const [id, service] of readings.model.services) {
      this.#service(service);
      const of = counted.get(id);
      if (of !== undefined) this.#counted(service, of.counters, of.openConnections, of.refusals);
    }
    if (dataplane !== undefined) this.#dataplane(dataplane);
    if (readings.comparedAt !== '') this.#compared(readings);
    const text = (await this.#registry.metrics()) + burstText(dataplane?.statistics.workers ?? []);
    if (!this.#perServer) return text;
    const servers = serversOf(readings.model, (id) => counted.get(id)?.servers ?? []);
    return text + (await backendText(await gather(servers, (server) => backendRow(server, readings.liveOf))));
  }

  #set(name: MetricName, value: number | string, labels: Labels = {}): void {
    const metric = this.#metrics.get(name);
    // A counter that was reset counts up to where its own counter is.
    metric?.inc(labels, Number(value));
  }

  #manager({ dataplane, generations, counts, version, startedAt, gatheredInMs }: Readings): void {
    this.#set('build_info', 1, { version, dpdk_version: dataplane?.state.dpdkVersion ?? '' });
    this.#set('start_time_seconds', startedAt / 1000, { process: 'manager' });
    this.#set('dataplane_connected', dataplane === undefined ? 0 : 1);
    this.#set('config_generation', generations.wanted, { state: 'wanted' });
    this.#set('config_generation', generations.applied, { state: 'applied' });
    for (const [method, count] of counts.edits) this.#set('edits_total', count, { method });
    for (const [reason, count] of counts.refusals) this.#set('edits_refused_total', count, { reason });
    for (const [kind, count] of counts.events) this.#set('events_total', count, { kind });
    this.#set('events_lost_total', counts.eventsLost);
    this.#set('scrape_duration_seconds', gatheredInMs / 1000);
  }

  #compared({ dataplane, disagreements, comparedAt }: Readings): void {
    this.#set('config_compared_timestamp_seconds', Date.parse(comparedAt) / 1000);
    for (const { worker } of dataplane?.statistics.workers ?? []) {
      const differs = disagreements.some((one) => one.worker === worker);
      this.#set('worker_config_agrees', differs ? 0 : 1, { worker });
    }
  }

  #service(service: Service): void {
    const labels = serviceLabels(service.key);
    const servers = [...service.servers.values()];
    const serves = servers.some(({ spec }) => spec.weight > 0);
    this.#set('service_up', (service.pool?.quorumUp ?? serves) ? 1 : 0, labels);
    for (const server of servers) this.#set('service_servers', 1, { ...labels, state: stateOf(server, service) });
  }

  #counted(
    { key }: Service,
    counters: Counters | null,
    open: string,
    refusals: GetStatisticsResponse__Output['services'][number]['refusals'],
  ): void {
    const labels = serviceLabels(key);
    for (const [name, value] of countersOf(counters)) {
      this.#set(name, value);
      this.#set(`service_${name}`, value, labels);
    }
    this.#set('service_open_connections', open, labels);
    for (const [reason, field] of refusalReasons)
      this.#set('service_refused_packets_total', refusals?.[field] ?? 0, { ...labels, reason });
  }

  #dataplane({ state, statistics, ports, neighbors }: DataplaneReadings): void {
    this.#set('start_time_seconds', this.#startOf(state), { process: 'dataplane' });
    this.#set('connection_table_entries', state.connections);
    this.#set('connection_table_capacity', state.connectionCapacity);
    for (const { reason } of state.overloads) this.#set('overloads', 1, { reason });
    for (const { verdict, packets, drop } of sumVerdicts(statistics.workers))
      this.#set('verdict_packets_total', String(packets), { verdict: verdict ?? '', dropped: String(drop) });
    for (const of of statistics.workers) this.#worker(of);
    for (const port of ports) this.#port(port);
    for (const { interface: name, state: known } of neighbors)
      this.#set('neighbors', 1, { interface: name, state: wordOf(known, 'NEIGHBOR_STATE_') });
  }

  /** Worked out once for each dataplane: it must not seem to change. */
  #startOf({ instanceId, uptimeMs }: GetStateResponse__Output): number {
    if (this.#lastStart.instanceId !== instanceId)
      this.#lastStart = { instanceId, startedAt: Date.now() - Number(uptimeMs) };
    return this.#lastStart.startedAt / 1000;
  }

  #worker(of: WorkerStatistics__Output): void {
    const labels = { worker: of.worker, cpu: of.cpu };
    this.#set('worker_busy_seconds_total', Number(of.busyNs) / 1e9, labels);
    this.#set('worker_seconds_total', Number(of.totalNs) / 1e9, labels);
    this.#set('worker_receive_packets_total', of.rxPackets, labels);
    this.#set('worker_transmit_packets_total', of.txPackets, labels);
    this.#set('worker_handed_over_packets_total', of.handedOver, labels);
    this.#set('worker_taken_over_packets_total', of.takenOver, labels);
    this.#set('worker_stateless_packets_total', of.statelessPackets, labels);
    this.#set('worker_adopted_connections_total', of.adoptedConnections, labels);
    this.#set('worker_deleted_connections_total', of.deletedConnections, labels);
    this.#set('worker_connections', of.connections, labels);
    this.#set('worker_connection_capacity', of.connectionCapacity, labels);
  }

  #port(of: Port__Output): void {
    const labels = { port: of.name };
    this.#set('port_up', of.linkUp ? 1 : 0, labels);
    if (of.speedMbps > 0) this.#set('port_speed_bytes_per_second', (of.speedMbps * 1e6) / 8, labels);
    this.#set('port_receive_packets_total', of.rxPackets, labels);
    this.#set('port_transmit_packets_total', of.txPackets, labels);
    this.#set('port_receive_bytes_total', of.rxBytes, labels);
    this.#set('port_transmit_bytes_total', of.txBytes, labels);
    this.#set('port_receive_missed_packets_total', of.rxMissed, labels);
    this.#set('port_receive_no_buffer_packets_total', of.rxNoBuffer, labels);
    this.#set('port_receive_errors_total', of.rxErrors, labels);
    this.#set('port_transmit_errors_total', of.txErrors, labels);
    for (const { name: device, toKernelPackets, fromKernelPackets, classes } of of.kernel) {
      this.#set('kernel_packets_total', toKernelPackets, { device, direction: 'to_kernel' });
      this.#set('kernel_packets_total', fromKernelPackets, { device, direction: 'from_kernel' });
      for (const { name, passedPackets, rateLimitedPackets, queueFullPackets } of classes) {
        const add = (outcome: string, value: string): void =>
          this.#set('kernel_class_packets_total', value, { device, class: name, outcome });
        add('passed', passedPackets);
        add('rate_limited', rateLimitedPackets);
        add('queue_full', queueFullPackets);
      }
    }
  }
}

interface CountedServer {
  readonly service: Service;
  readonly server: Server;
  readonly counted: ServerStatistics__Output | undefined;
}

function* serversOf(
  { services }: Model,
  countedOf: (serviceId: string) => readonly ServerStatistics__Output[],
): Generator<CountedServer> {
  for (const [id, service] of services) {
    const counted = new Map(countedOf(id).map((of) => [serverId(readServerKey(of.key, 'key')), of] as const));
    for (const [key, server] of service.servers) yield { service, server, counted: counted.get(key) };
  }
}

function backendRow({ service, server, counted }: CountedServer, liveOf: LiveOf): BackendRow {
  const state = stateOf(server, service);
  const pooled = service.pool?.servers.get(serverId(server.key));
  const unchecked = server.drain === null ? server.spec.weight : 0;
  const { latencyUs } = liveOf(service, server);
  const { local_address, local_port, proto, local_mark } = serviceLabels(service.key);
  const { connections, inPackets, outPackets, inBytes, outBytes } = counted?.counters ?? {};
  const answers = counted?.answers;
  return {
    labels: [local_address, local_port, server.key.address, server.key.port, proto, local_mark],
    values: {
      backend_connections_active: counted?.activeConnections ?? 0,
      backend_connections_inactive: counted?.inactiveConnections ?? 0,
      backend_connections_persistent: counted?.persistentConnections ?? 0,
      backend_weight: service.pool === null ? unchecked : (pooled?.spec.weight ?? 0),
      backend_weight_wanted: server.spec.weight,
      backend_up: ['up', 'unknown', 'unchecked'].includes(state) ? 1 : 0,
      backend_connections_total: connections ?? 0,
      backend_incoming_packets_total: inPackets ?? 0,
      backend_outgoing_packets_total: outPackets ?? 0,
      backend_incoming_bytes_total: inBytes ?? 0,
      backend_outgoing_bytes_total: outBytes ?? 0,
      ...(server.spec.method === 'FORWARDING_METHOD_NAT' && {
        backend_opened_connections_total: answers?.opened ?? 0,
        backend_answered_connections_total: answers?.answered ?? 0,
        backend_reset_connections_total: answers?.reset ?? 0,
      }),
      ...(latencyUs > 0 && { backend_check_latency_seconds: latencyUs / 1e6 }),
    },
  };
}

const refusalReasons = [
  ['client_denied', 'clientDenied'],
  ['connection_limit', 'connectionLimit'],
  ['connection_rate_limit', 'connectionRateLimit'],
] as const;

const countersOf = (counters: Counters | null) =>
  [
    ['connections_total', Number(counters?.connections ?? 0)],
    ['incoming_packets_total', Number(counters?.inPackets ?? 0)],
    ['outgoing_packets_total', Number(counters?.outPackets ?? 0)],
    ['incoming_bytes_total', Number(counters?.inBytes ?? 0)],
    ['outgoing_bytes_total', Number(counters?.outBytes ?? 0)],
  ] as const;

/** node_exporter: a mark has eight hexadecimal digits, and no address. */
function serviceLabels({ protocol, address, port, fwmark }: ServiceKey) {
  return fwmark === 0
    ? { local_address: address, local_port: port, proto: wordOf(protocol, 'PROTOCOL_').toUpperCase(), local_mark: '' }
    : {
        local_address: '',
        local_port: 0,
        proto: 'FWM',
        local_mark: fwmark.toString(16).padStart(8, '0').toUpperCase(),
      };
}

function stateOf(server: Server, service: Service): string {
  return stateWord(server, service) || 'unchecked';
}

function wordOf(value: string | number, prefix: string): string {
  return String(value).replace(prefix, '').toLowerCase();
}
