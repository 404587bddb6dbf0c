// SPDX-License-Identifier: Apache-2.0
// Every metric that there is: its name, what it counts, its labels. Base units; labels of services and real servers are
// those of node_exporter's ipvs collector, so that its dashboards port by search and replace.

export interface MetricDefinition {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
  /** One for each real server, or several: left out unless they are wanted. */
  readonly perServer?: boolean;
}

const service = ['local_address', 'local_port', 'proto', 'local_mark'] as const;
const backend = ['local_address', 'local_port', 'remote_address', 'remote_port', 'proto', 'local_mark'] as const;
const worker = ['worker', 'cpu'] as const;
const port = ['port'] as const;

const counter = (help: string, labels: readonly string[] = []): MetricDefinition => ({ type: 'counter', help, labels });
const gauge = (help: string, labels: readonly string[] = []): MetricDefinition => ({ type: 'gauge', help, labels });
const ofServer = (definition: MetricDefinition): MetricDefinition => ({ ...definition, perServer: true });

export const definitions = {
  build_info: gauge('1; the versions are labels', ['version', 'dpdk_version']),
  start_time_seconds: gauge('when the process was started, since 1970', ['process']),

  // The director as a whole, by the names of node_exporter's ipvs collector.
  connections_total: counter('connections made, over all virtual services'),
  incoming_packets_total: counter('packets from clients to real servers'),
  outgoing_packets_total: counter('packets from real servers to clients, as far as the director sees them'),
  incoming_bytes_total: counter('bytes of the IP layer from clients to real servers'),
  outgoing_bytes_total: counter('bytes of the IP layer from real servers to clients, as far as the director sees them'),

  service_connections_total: counter('connections made', service),
  service_incoming_packets_total: counter('packets from clients to real servers', service),
  service_outgoing_packets_total: counter('packets from real servers to clients', service),
  service_incoming_bytes_total: counter('bytes of the IP layer from clients to real servers', service),
  service_outgoing_bytes_total: counter('bytes of the IP layer from real servers to clients', service),
  service_open_connections: gauge('entries of the connection table', service),
  service_refused_packets_total: counter('packets that its traffic policy kept out', [...service, 'reason']),
  service_up: gauge('1: it has its quorum; 0: it has not, or no real server with weight', service),
  service_servers: gauge('real servers by state; unchecked where nobody checks them', [...service, 'state']),

  backend_connections_active: ofServer(gauge('active connections', backend)),
  backend_connections_inactive: ofServer(gauge('inactive connections', backend)),
  backend_connections_persistent: ofServer(gauge('persistence templates', backend)),
  backend_weight: ofServer(gauge('weight in force; 0 also of a server that is out of its pool', backend)),
  backend_weight_wanted: ofServer(gauge('weight as configured', backend)),
  backend_up: ofServer(gauge('1: it serves as it is wanted to; 0: down, drained or ejected', backend)),
  backend_connections_total: ofServer(counter('connections made', backend)),
  backend_incoming_packets_total: ofServer(counter('packets from clients', backend)),
  backend_outgoing_packets_total: ofServer(counter('packets to clients', backend)),
  backend_incoming_bytes_total: ofServer(counter('bytes of the IP layer from clients', backend)),
  backend_outgoing_bytes_total: ofServer(counter('bytes of the IP layer to clients', backend)),
  backend_opened_connections_total: ofServer(counter('TCP connections of a NAT server that were begun', backend)),
  backend_answered_connections_total: ofServer(counter('those that the server has answered', backend)),
  backend_reset_connections_total: ofServer(counter('those that it has reset', backend)),
  backend_check_latency_seconds: ofServer(gauge('of the check made last', backend)),

  verdict_packets_total: counter('packets by the way they left; dropped is "true" where they were lost', [
    'verdict',
    'dropped',
  ]),

  worker_busy_seconds_total: counter('time spent on bursts that had packets', worker),
  worker_seconds_total: counter('time since its start', worker),
  worker_receive_packets_total: counter('packets taken from ports', worker),
  worker_transmit_packets_total: counter('packets given to ports', worker),
  worker_handed_over_packets_total: counter('packets given to the worker that owns their flow', worker),
  worker_taken_over_packets_total: counter('packets taken from workers that do not own their flow', worker),
  worker_stateless_packets_total: counter('packets forwarded for connections without an entry', worker),
  worker_adopted_connections_total: counter('connections that were met without an entry and given one', worker),
  worker_deleted_connections_total: counter('connections that were deleted by request', worker),
  worker_burst_packets: {
    type: 'histogram',
    help: 'packets in the bursts that receive queues brought',
    labels: worker,
  },
  worker_config_agrees: gauge('1: it uses what is declared, by its own digest; 0: something else', ['worker']),
  worker_connections: gauge('entries of its connection tables', worker),
  worker_connection_capacity: gauge('entries that either of its tables has room for', worker),

  connection_table_entries: gauge('connections over all workers'),
  connection_table_capacity: gauge('connections that there is room for'),
  overloads: gauge('workers that are short of something', ['reason']),

  port_up: gauge('1: it has a link', port),
  port_speed_bytes_per_second: gauge('of the link; left out while unknown', port),
  port_receive_packets_total: counter('packets received', port),
  port_transmit_packets_total: counter('packets sent', port),
  port_receive_bytes_total: counter('bytes of frames received', port),
  port_transmit_bytes_total: counter('bytes of frames sent', port),
  port_receive_missed_packets_total: counter('packets that the device had no descriptor for', port),
  port_receive_no_buffer_packets_total: counter('packets that there was no buffer for', port),
  port_receive_errors_total: counter('damaged packets', port),
  port_transmit_errors_total: counter('packets that the device did not send', port),

  kernel_packets_total: counter('packets carried between a kernel interface and the director', ['device', 'direction']),
  kernel_class_packets_total: counter('packets towards the kernel by class, and what became of them', [
    'device',
    'class',
    'outcome',
  ]),

  neighbors: gauge('neighbours by state', ['interface', 'state']),

  dataplane_connected: gauge('1: the manager has a connection to the dataplane'),
  config_generation: gauge('of the configuration that is wanted, and that the dataplane has', ['state']),
  config_compared_timestamp_seconds: gauge('when what workers use was compared with what is declared last, since 1970'),
  edits_total: counter('edits that were made', ['method']),
  edits_refused_total: counter('edits that were refused', ['reason']),
  events_total: counter('events by kind, as fulcrum watch tells them', ['kind']),
  events_lost_total: counter('events of the dataplane that the manager was too slow for'),
  scrape_duration_seconds: gauge('how long the dataplane took to answer for this'),
} as const satisfies Readonly<Record<string, MetricDefinition>>;

export type MetricName = keyof typeof definitions;

/** "fulcrum_connections_total". */
export function fullName(name: string): string {
  return `fulcrum_${name}`;
}
