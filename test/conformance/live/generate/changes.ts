// SPDX-License-Identifier: Apache-2.0
// Events that change the configuration or look at it.
import type { Draft, DraftService } from './draft.js';
import { addService, newServer, pickScheduler, type ServiceWish, schedulerFlags, serverOptions } from './services.js';

function command(draft: Draft, args: string): void {
  draft.add({ op: 'ipvsadm', args });
}

/** One change of a service or of one of its servers; some of them are mistakes. */
export function edit(draft: Draft, wish: ServiceWish): void {
  const { random } = draft;
  const service = draft.pickService();
  if (service === undefined) return;
  const what = random.weighted<keyof typeof edits>({
    ...{ weight: 6, add: 3, remove: 3, again: 1.5, scheduler: 1, service: 0.7, zero: 0.5, set: 0.5 },
    ...{ newService: 0.7, mistake: 0.7, clear: 0.15 },
  });
  edits[what](draft, service, wish);
}

type Edit = (draft: Draft, service: DraftService, wish: ServiceWish) => void;

const edits = {
  weight: (draft, service, wish) => {
    if (service.servers.length === 0) return;
    const server = draft.random.pick(service.servers);
    command(
      draft,
      `-e ${service.spec} -r ${server.name} ${serverOptions(draft, server, { ...wish, weightZero: 0.25 })}`,
    );
  },
  add: (draft, service, wish) => {
    const server = newServer(draft, service, wish);
    if (server !== undefined)
      command(draft, `-a ${service.spec} -r ${server.name} ${serverOptions(draft, server, wish)}`);
  },
  remove: (draft, service) => {
    if (service.servers.length === 0) return;
    const server = draft.random.pick(service.servers);
    service.servers.splice(service.servers.indexOf(server), 1);
    command(draft, `-d ${service.spec} -r ${server.name}`);
  },
  /** A server goes and comes back. */
  again: (draft, service, wish) => {
    if (service.servers.length === 0) return;
    const server = draft.random.pick(service.servers);
    command(draft, `-d ${service.spec} -r ${server.name}`);
    command(draft, `-a ${service.spec} -r ${server.name} ${serverOptions(draft, server, wish)}`);
  },
  scheduler: (draft, service, wish) => {
    const scheduler = pickScheduler(draft, wish.schedulers);
    const persistent = service.isPersistent ? [`-p ${draft.random.pick([300, 900])}`] : [];
    command(
      draft,
      [`-E ${service.spec} -s ${scheduler}`, ...schedulerFlags(draft, scheduler), ...persistent].join(' '),
    );
  },
  service: (draft, service) => {
    command(draft, `-D ${service.spec}`);
    draft.services.splice(draft.services.indexOf(service), 1);
    if (draft.services.length > 0 || draft.random.chance(0.7)) return;
    // Without any service little is left to happen.
    addService(draft, { protocols: { tcp: 1 }, servers: [1, 3] }, true);
  },
  newService: (draft, _service, wish) => {
    // Mark rules stand in front of all events: a mark service can only be one of the first.
    addService(draft, { ...wish, mark: 0 }, true);
  },
  zero: (draft, service) => command(draft, draft.random.chance(0.5) ? '-Z' : `-Z ${service.spec}`),
  set: (draft) =>
    command(
      draft,
      `--set ${draft.random.pick([0, 600])} ${draft.random.pick([0, 100])} ${draft.random.pick([0, 200])}`,
    ),
  mistake: (draft, service) => command(draft, mistakeLine(draft, service)),
  clear: (draft) => {
    command(draft, '-C');
    draft.services.length = 0;
    addService(draft, { protocols: { tcp: 3, udp: 1 }, servers: [1, 3] }, true);
  },
} as const satisfies Readonly<Record<string, Edit>>;

function mistakeLine(draft: Draft, service: DraftService): string {
  const [server] = service.servers;
  const family = service.isIpv6 ? '2001:db8:2::f' : '10.0.2.29';
  const host = service.isIpv6 ? `[${family}]` : family;
  return draft.random.pick([
    `-A ${service.spec} -s rr`,
    `-A ${service.spec} -s nosuch`,
    `-E ${service.spec} -s nosuch`,
    `-D -t 192.0.2.9:9`,
    `-E -t 192.0.2.9:9 -s rr`,
    `-a -t 192.0.2.9:9 -r 10.0.2.11 -g`,
    `-d ${service.spec} -r ${host}:9`,
    `-e ${service.spec} -r ${host}:9 -g -w 3`,
    ...(server === undefined ? [] : [`-a ${service.spec} -r ${server.name} -m`]),
    `-a ${service.spec} -r ${host}:99 -m -w 1 -x 2 -y 3`,
    `-Z -t 192.0.2.9:9`,
  ]);
}

const tunables: Readonly<Record<string, readonly (number | string)[]>> = {
  sloppy_tcp: [0, 1],
  sloppy_sctp: [0, 1],
  expire_nodest_conn: [0, 1],
  expire_quiescent_template: [0, 1],
  conn_reuse_mode: [0, 1, 2, 3],
  nat_icmp_send: [0, 1],
  schedule_icmp: [0, 1],
  pmtu_disc: [0, 1],
  cache_bypass: [0, 1],
  secure_tcp: [0, 3],
  drop_packet: [0, 3],
  snat_reroute: [0, 1],
};

export function tunable(draft: Draft): void {
  const key = draft.random.pick(Object.keys(tunables));
  const values = tunables[key] ?? [];
  draft.add({ op: 'sysctl', key, value: draft.random.chance(0.7) ? (values.at(-1) ?? 1) : draft.random.pick(values) });
}

export function look(draft: Draft): void {
  draft.add({ op: draft.random.pick(['list', 'conntab', 'conntab']) });
}

/** Long enough for a timer to have been rounded wrongly, short enough for no timeout but those set on purpose. */
export function pause(draft: Draft): void {
  draft.add({ op: 'wait', ms: draft.random.pick([100, 300, 700]) });
}
