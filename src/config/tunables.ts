// SPDX-License-Identifier: Apache-2.0
// The tunables: LVS's values below net.ipv4.vs and those of the director's own small IP stack, by the names that they
// have in Linux, with default and range; and a few of the director alone.
import type { Tunables } from '../generated/fulcrum/v1/Tunables.js';

/** A field of the message Tunables. */
export type TunableField = Exclude<keyof Tunables, `_${string}`>;

/** Values by field. What is left out has its default, or keeps its value: that depends on the place. */
export type TunableValues = Readonly<Partial<Record<TunableField, number>>>;

export interface Tunable {
  /** LVS's name: "conn_reuse_mode". */
  readonly name: string;
  readonly field: TunableField;
  readonly initial: number;
  readonly minimum: number;
  readonly maximum: number;
  /** A few words for the operator. */
  readonly meaning: string;
  /** Why nothing but the initial value is taken. */
  readonly unsupported?: string;
}

const maxInt32 = 2_147_483_647;
/** Linux keeps these in ticks of a millisecond. */
const maxExpirationS = 2_147_483;
const longestFragmentS = 3_600;

const tunable = (
  name: string,
  initial: number,
  [minimum, maximum]: readonly [number, number],
  meaning: string,
  unsupported?: string,
): Tunable => ({
  name,
  field: name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()) as TunableField,
  initial,
  minimum,
  maximum,
  meaning,
  ...(unsupported !== undefined && { unsupported }),
});

const onOff = [0, 1] as const;
const defence = [0, 3] as const;
const positive = [1, maxInt32] as const;
const count = [0, maxInt32] as const;

export const tunables: readonly Tunable[] = [
  tunable('expire_nodest_conn', 0, onOff, 'connections of a deleted server end at once'),
  tunable('expire_quiescent_template', 0, onOff, 'persistent clients leave a server with weight 0'),
  tunable('conn_reuse_mode', 1, [0, 3], 'a reused client port is scheduled anew (bit 0: closed, bit 1: FIN_WAIT too)'),
  tunable('sloppy_tcp', 0, onOff, 'any TCP packet but RST makes a connection'),
  tunable('sloppy_sctp', 0, onOff, 'any SCTP packet but ABORT makes a connection'),
  tunable('schedule_icmp', 0, onOff, 'ICMP errors about unknown connections are scheduled'),
  tunable('nat_icmp_send', 0, onOff, 'a NAT server without a connection is told "port unreachable"'),
  tunable('snat_reroute', 1, onOff, 'no difference here: routing does not look at the source'),
  tunable('pmtu_disc', 1, onOff, 'path MTU discovery for tunnels'),
  tunable('cache_bypass', 0, onOff, 'without a server, packets of a mark go to their own destination'),
  tunable('ignore_tunneled', 0, onOff, 'no difference here: nothing is decapsulated'),
  tunable('backup_only', 0, onOff, 'a backup does not schedule', 'there is no connection synchronisation yet'),
  tunable('conntrack', 0, onOff, 'netfilter conntrack', 'the director has no netfilter connection tracking'),
  tunable('lblc_expiration', 86_400, [0, maxExpirationS], 'seconds an unused entry of lblc stays'),
  tunable('lblcr_expiration', 86_400, [0, maxExpirationS], 'seconds an unused entry of lblcr stays'),
  tunable('secure_tcp', 0, defence, 'TCP states for floods: 0 off, 1 while memory is short, 3 always'),
  tunable('drop_entry', 0, defence, 'drop entries at random: 0 off, 1 while memory is short, 3 always'),
  tunable('drop_packet', 0, defence, 'drop new connections: 0 off, 1 while memory is short, 3 always'),
  tunable('amemthresh', 1_024, count, 'pages of free memory below which it is short'),
  tunable('am_droprate', 10, positive, 'drop_packet 3 drops one of as many'),
  tunable('run_estimation', 1, onOff, 'estimate rates, and refresh what ipvsadm --stats shows'),
  tunable('icmp_msgs_per_sec', 1_000, count, 'ICMP errors of its own a second; 0 for no limit'),
  tunable('icmp_msgs_burst', 50, count, 'ICMP errors of its own at once'),
  tunable('ipfrag_high_thresh', 4_194_304, count, 'bytes of fragments that each worker may hold'),
  tunable('ipfrag_time', 30, [1, longestFragmentS], 'seconds until an incomplete IPv4 datagram is given up'),
  tunable('ip6frag_time', 60, [1, longestFragmentS], 'seconds until an incomplete IPv6 datagram is given up'),
  tunable('new_connections_per_second', 0, count, 'new entries of all workers, each has its share; 0 for no limit'),
  tunable('stateless_spread', 1, onOff, 'in overload, DR and TUN servers get new flows without an entry'),
  tunable('stateless_grace', 1, onOff, 'after overload or a start, unknown flows to DR and TUN servers go on'),
];

const byName: ReadonlyMap<string, Tunable> = new Map(tunables.map((one) => [one.name, one]));

export function tunableByName(name: string): Tunable | undefined {
  return byName.get(name);
}

/** LVS has it, and there is nothing for it to tune yet. */
export function isSyncTunable(name: string): boolean {
  return syncTunables.includes(name);
}

/** For those of the synchronisation. */
export const notAvailable = 'is known to LVS, but connection synchronisation is not available yet';

const syncTunables: readonly string[] = [
  'sync_version',
  'sync_ports',
  'sync_persist_mode',
  'sync_qlen_max',
  'sync_sock_size',
  'sync_threshold',
  'sync_refresh_period',
  'sync_retries',
];

/** Every tunable's value: those given, and defaults for the rest. */
export function withDefaults(values: TunableValues): Readonly<Record<TunableField, number>> {
  const entries = tunables.map(({ field, initial }) => [field, values[field] ?? initial]);
  return Object.fromEntries(entries) as Record<TunableField, number>;
}

/** Only the values of a message: it also says, in fields of its own, which are set. */
export function tunableValues(message: TunableValues): TunableValues {
  return Object.fromEntries(
    tunables.flatMap(({ field }) => {
      const value = message[field];
      return value === undefined ? [] : [[field, value]];
    }),
  );
}

/** Values by name, as operators write them. */
export type TunablesEntry = Readonly<Record<string, number>>;

export const tunablesSchema = {
  type: 'object',
  additionalProperties: false,
  description: "LVS's values below net.ipv4.vs, and some of the director's own IP stack",
  properties: Object.fromEntries([
    ...tunables.map(({ name, initial, minimum, maximum, meaning }) => [
      name,
      { type: 'integer', minimum, maximum, default: initial, description: meaning },
    ]),
    ...syncTunables.map((name) => [name, { not: {}, description: notAvailable }]),
  ]),
};

export function toTunables(entry: TunablesEntry): TunableValues {
  return Object.fromEntries(
    tunables.filter(({ name }) => entry[name] !== undefined).map(({ name, field }) => [field, entry[name]]),
  );
}

export function tunablesEntry(values: TunableValues): TunablesEntry {
  return Object.fromEntries(
    tunables.flatMap(({ name, field }) => {
      const value = values[field];
      return value === undefined ? [] : [[name, value]];
    }),
  );
}
