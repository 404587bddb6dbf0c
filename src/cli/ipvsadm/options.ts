// SPDX-License-Identifier: Apache-2.0
// ipvsadm's grammar as tables: every option with its long and short form and its value, and which option goes with
// which command. parse.ts walks them.

/** Commands by the names that ipvsadm gives them in its messages. */
export type CommandName =
  | 'add-service'
  | 'edit-service'
  | 'delete-service'
  | 'flush'
  | 'add-server'
  | 'edit-server'
  | 'delete-server'
  | 'list'
  | 'set'
  | 'start-daemon'
  | 'stop-daemon'
  | 'restore'
  | 'save'
  | 'zero'
  | 'help'
  | 'version';

/** Whether a word follows: never, always, or if the next word does not begin with a dash. */
export type ValueKind = 'none' | 'required' | 'optional';

export interface CommandOption {
  readonly short?: string;
  readonly long?: string;
  readonly value: ValueKind;
  readonly command: CommandName;
}

/** Only the first option of a line may be one of these, and has to be. */
export const commandOptions: readonly CommandOption[] = [
  { command: 'add-service', long: 'add-service', short: 'A', value: 'none' },
  { command: 'edit-service', long: 'edit-service', short: 'E', value: 'none' },
  { command: 'delete-service', long: 'delete-service', short: 'D', value: 'none' },
  { command: 'flush', long: 'clear', short: 'C', value: 'none' },
  { command: 'restore', long: 'restore', short: 'R', value: 'none' },
  { command: 'save', long: 'save', short: 'S', value: 'none' },
  { command: 'add-server', long: 'add-server', short: 'a', value: 'none' },
  { command: 'edit-server', long: 'edit-server', short: 'e', value: 'none' },
  { command: 'delete-server', long: 'delete-server', short: 'd', value: 'none' },
  { command: 'list', long: 'list', short: 'L', value: 'none' },
  { command: 'list', short: 'l', value: 'none' },
  { command: 'zero', long: 'zero', short: 'Z', value: 'none' },
  { command: 'set', long: 'set', value: 'none' },
  { command: 'start-daemon', long: 'start-daemon', value: 'required' },
  { command: 'stop-daemon', long: 'stop-daemon', value: 'required' },
  { command: 'help', long: 'help', short: 'h', value: 'none' },
  { command: 'version', long: 'version', short: 'v', value: 'none' },
];

/** Options by long name. */
export const settingOptions = {
  'tcp-service': { short: 't', value: 'required' },
  'udp-service': { short: 'u', value: 'required' },
  'sctp-service': { value: 'required' },
  'fwmark-service': { short: 'f', value: 'required' },
  ipv6: { short: '6', value: 'none' },
  scheduler: { short: 's', value: 'required' },
  'sched-flags': { short: 'b', value: 'required' },
  persistent: { short: 'p', value: 'optional' },
  netmask: { short: 'M', value: 'required' },
  pe: { value: 'required' },
  ops: { short: 'o', value: 'none' },
  'real-server': { short: 'r', value: 'required' },
  gatewaying: { short: 'g', value: 'none' },
  ipip: { short: 'i', value: 'none' },
  masquerading: { short: 'm', value: 'none' },
  'tun-type': { value: 'required' },
  'tun-port': { value: 'required' },
  'tun-nocsum': { value: 'none' },
  'tun-csum': { value: 'none' },
  'tun-remcsum': { value: 'none' },
  weight: { short: 'w', value: 'required' },
  'u-threshold': { short: 'x', value: 'required' },
  'l-threshold': { short: 'y', value: 'required' },
  numeric: { short: 'n', value: 'none' },
  connection: { short: 'c', value: 'none' },
  timeout: { value: 'none' },
  daemon: { value: 'none' },
  stats: { value: 'none' },
  rate: { value: 'none' },
  thresholds: { value: 'none' },
  'persistent-conn': { value: 'none' },
  'tun-info': { value: 'none' },
  exact: { short: 'X', value: 'none' },
  nosort: { value: 'none' },
  sort: { value: 'none' },
  'mcast-interface': { value: 'required' },
  'mcast-group': { value: 'required' },
  'mcast-port': { value: 'required' },
  'mcast-ttl': { value: 'required' },
  syncid: { value: 'required' },
  'sync-maxlen': { value: 'required' },
} as const satisfies Readonly<Record<string, { readonly short?: string; readonly value: ValueKind }>>;

export type SettingName = keyof typeof settingOptions;

/** What is counted as one option in messages and in the table below: -t, -u and -f all give the service-address. */
export const optionNames = [
  'numeric',
  'connection',
  'service-address',
  'scheduler',
  'persistent',
  'netmask',
  'real-server',
  'forwarding-method',
  'weight',
  'u-threshold',
  'l-threshold',
  'mcast-interface',
  'timeout',
  'daemon',
  'stats',
  'rate',
  'thresholds',
  'persistent-conn',
  'nosort',
  'syncid',
  'exact',
  'ops',
  'pe',
  'sched-flags',
  'tun-type',
  'tun-port',
  'tun-nocsum',
  'tun-csum',
  'tun-remcsum',
  'tun-info',
  'mcast-group',
  'mcast-port',
  'mcast-ttl',
  'sync-maxlen',
] as const;

export type OptionName = (typeof optionNames)[number];

/** How an option goes with a command. At most one of the exclusive ones may be given; what is not named is illegal. */
export interface Rules<Name extends string = OptionName> {
  readonly required?: readonly Name[];
  readonly optional?: readonly Name[];
  readonly exclusive?: readonly Name[];
}

const serviceRules: Rules = {
  required: ['service-address'],
  optional: ['scheduler', 'persistent', 'netmask', 'ops', 'pe', 'sched-flags'],
};

const serverRules: Rules = {
  required: ['service-address', 'real-server'],
  optional: [
    'forwarding-method',
    'weight',
    'u-threshold',
    'l-threshold',
    'tun-type',
    'tun-port',
    'tun-nocsum',
    'tun-csum',
    'tun-remcsum',
  ],
};

export const commandRules: Readonly<Record<CommandName, Rules>> = {
  'add-service': serviceRules,
  'edit-service': serviceRules,
  'delete-service': { required: ['service-address'] },
  'add-server': serverRules,
  'edit-server': serverRules,
  'delete-server': { required: ['service-address', 'real-server'] },
  list: {
    exclusive: ['connection', 'service-address', 'timeout', 'daemon'],
    optional: ['numeric', 'stats', 'rate', 'thresholds', 'persistent-conn', 'nosort', 'syncid', 'exact', 'tun-info'],
  },
  zero: { optional: ['service-address'] },
  save: { optional: ['numeric'] },
  'start-daemon': {
    optional: ['mcast-interface', 'syncid', 'mcast-group', 'mcast-port', 'mcast-ttl', 'sync-maxlen'],
  },
  'stop-daemon': { optional: ['syncid'] },
  flush: {},
  set: {},
  restore: {},
  help: {},
  version: {},
};

export const tunnelTypes = ['ipip', 'gue', 'gre'] as const;
export type TunnelName = (typeof tunnelTypes)[number];
export const tunnelOptions = ['tun-port', 'tun-nocsum', 'tun-csum', 'tun-remcsum'] as const;
export type TunnelOption = (typeof tunnelOptions)[number];

export const tunnelRules: Readonly<Record<TunnelName, Rules<TunnelOption>>> = {
  ipip: {},
  gue: { required: ['tun-port'], exclusive: ['tun-nocsum', 'tun-csum', 'tun-remcsum'] },
  gre: { exclusive: ['tun-nocsum', 'tun-csum'] },
};

/** The first way in which the options given break the rules, or undefined. `what` is "'list' command" or the like. */
export function firstViolation<Name extends string>(
  names: readonly Name[],
  given: ReadonlySet<Name>,
  rules: Rules<Name>,
  what: { readonly name: string; readonly kind: string },
): string | undefined {
  const target = `the '${what.name}' ${what.kind}`;
  let exclusive: Name | undefined;
  for (const name of names) {
    if (!given.has(name)) {
      if (rules.required?.includes(name)) return `You need to supply the '${name}' option for ${target}`;
      continue;
    }
    if (rules.exclusive?.includes(name)) {
      if (exclusive !== undefined) return `The option '${name}' conflicts with the '${exclusive}' option in ${target}`;
      exclusive = name;
    } else if (!rules.required?.includes(name) && !rules.optional?.includes(name)) {
      return `Illegal '${name}' option with ${target}`;
    }
  }
  return undefined;
}
