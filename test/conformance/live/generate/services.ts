// SPDX-License-Identifier: Apache-2.0
// Services and servers as lines of ipvsadm.
import { formatEndpoint } from '../../bytes.js';
import type { Draft, DraftServer, DraftService, Method, Protocol } from './draft.js';

export interface ServiceWish {
  readonly protocols: Readonly<Partial<Record<Protocol, number>>>;
  readonly schedulers?: Readonly<Record<string, number>>;
  readonly methods?: Readonly<Partial<Record<Method, number>>>;
  readonly servers: readonly [least: number, most: number];
  readonly persistent?: number;
  readonly ops?: number;
  readonly mark?: number;
  readonly anyPort?: number;
  readonly thresholds?: number;
  readonly weightZero?: number;
}

export const guePort = 6080;
const spec: Readonly<Record<Protocol, string>> = { tcp: '-t', udp: '-u', sctp: '--sctp-service' };
const portsOf: Readonly<Record<Protocol, readonly number[]>> = {
  tcp: [80, 443, 8080],
  udp: [53, 123, 4500],
  sctp: [36412, 2905],
};
const anySchedulers = {
  rr: 4,
  wrr: 4,
  lc: 2,
  wlc: 4,
  sed: 2,
  nq: 2,
  fo: 1,
  ovf: 1,
  sh: 3,
  mh: 3,
  dh: 1,
  lblc: 1,
  lblcr: 1,
};
/** What a director with several workers chooses like the kernel. */
const statelessSchedulers = { sh: 3, mh: 3, dh: 1, fo: 1 };

export function addService(draft: Draft, wish: ServiceWish, isEvent = false): DraftService | undefined {
  const { random } = draft;
  const protocols = { ...wish.protocols };
  if (!draft.has('sctp')) delete protocols.sctp;
  const protocol = random.weighted<Protocol>(Object.keys(protocols).length > 0 ? protocols : { tcp: 1 });
  const isIpv6 = draft.isIpv6 && random.chance(0.75);
  const address = isIpv6 ? '2001:db8:ff::1' : `192.0.2.${random.int(1, 4)}`;
  const isMark = draft.has('fwmark') && random.chance(wish.mark ?? 0);
  const isPersistent = draft.has('persistence') && random.chance(wish.persistent ?? 0);
  const isAnyPort = isPersistent && draft.has('port0') && random.chance(wish.anyPort ?? 0);
  const ports = servicePorts(draft, protocol, isMark || isAnyPort);
  const mark = isMark ? random.int(1, 4) : undefined;
  const name = isMark
    ? `-f ${mark}${isIpv6 ? ' -6' : ''}`
    : `${spec[protocol]} ${formatEndpoint({ address, port: isAnyPort ? 0 : (ports[0] ?? 80) })}`;
  if (draft.services.some((service) => service.spec === name)) return undefined;
  const options = serviceOptions(draft, { isPersistent, isIpv6, canBeOps: protocol === 'udp' }, wish);
  const service: DraftService = {
    ...{ spec: name, protocol, address, ports, isIpv6, mark, isPersistent },
    ...{ scheduler: options.scheduler, servers: [] },
  };
  const say = (line: string): void => {
    if (isEvent) draft.add({ op: 'ipvsadm', args: line });
    else draft.config.push(line);
  };
  say(`-A ${name} ${options.words}`);
  draft.services.push(service);
  const count = random.int(...wish.servers);
  for (let i = 0; i < count; i++) {
    const added = newServer(draft, service, wish);
    if (added !== undefined) say(`-a ${name} -r ${added.name} ${serverOptions(draft, added, wish)}`);
  }
  if (isMark) addMarkRule(draft, service);
  return service;
}

function servicePorts(draft: Draft, protocol: Protocol, isAny: boolean): readonly number[] {
  if (isAny) return draft.random.shuffled([...portsOf[protocol], draft.random.int(1, 65535)]);
  return [draft.random.pick(portsOf[protocol])];
}

/** Mark rules come before the events, in front of everything else. */
function addMarkRule(draft: Draft, service: DraftService): void {
  const { random } = draft;
  const mask = service.isIpv6 ? 128 : random.pick([32, 32, 29, 24]);
  const prefix = service.isIpv6 || mask === 32 ? service.address : `192.0.2.0/${mask}`;
  const ports = random.chance(0.3) ? ` --dport ${Math.min(...service.ports)}:65535` : '';
  const match = `-d ${prefix} -p ${service.protocol}${ports}`;
  draft.events.unshift({ op: 'fwmark', match, mark: service.mark });
}

interface Traits {
  readonly isPersistent: boolean;
  readonly isIpv6: boolean;
  readonly canBeOps: boolean;
}

function serviceOptions(draft: Draft, traits: Traits, wish: ServiceWish) {
  const scheduler = pickScheduler(draft, wish.schedulers);
  const words = [`-s ${scheduler}`, ...schedulerFlags(draft, scheduler), ...persistenceWords(draft, traits)];
  if (traits.canBeOps && draft.has('ops') && draft.random.chance(wish.ops ?? 0)) words.push('-o');
  return { scheduler, words: words.join(' ') };
}

export function pickScheduler(draft: Draft, wanted: Readonly<Record<string, number>> = anySchedulers): string {
  const isPossible = (name: string): boolean =>
    draft.isForManyWorkers ? name in statelessSchedulers : draft.has('lblc') || !name.startsWith('lblc');
  const left = Object.entries(wanted).filter(([name]) => isPossible(name));
  return draft.random.weighted(left.length > 0 ? Object.fromEntries(left) : statelessSchedulers);
}

export function schedulerFlags(draft: Draft, scheduler: string): readonly string[] {
  if ((scheduler !== 'sh' && scheduler !== 'mh') || !draft.random.chance(0.5)) return [];
  const flags = draft.random.pick([['fallback'], ['port'], ['fallback', 'port']]);
  return [`-b ${flags.map((flag) => `${scheduler}-${flag}`).join(',')}`];
}

function persistenceWords(draft: Draft, { isPersistent, isIpv6 }: Traits): readonly string[] {
  if (!isPersistent) return [];
  const masks = isIpv6 ? ['64', '120', '112'] : ['255.255.255.0', '255.255.255.240', '255.255.0.0'];
  const mask = draft.random.chance(0.4) ? [`-M ${draft.random.pick(masks)}`] : [];
  return [`-p ${draft.random.pick([300, 600, 3600])}`, ...mask];
}

/** Undefined if the service has that one already. */
export function newServer(
  draft: Draft,
  service: DraftService,
  wish: Pick<ServiceWish, 'methods'>,
): DraftServer | undefined {
  const { random } = draft;
  const method = random.weighted<Method>(wish.methods ?? { dr: 1, nat: 1, tun: draft.has('ipip') ? 1 : 0 });
  const isIpv6 = method === 'tun' && draft.isIpv6 && random.chance(0.25) ? !service.isIpv6 : service.isIpv6;
  const address = serverAddress(draft, isIpv6);
  const base = service.ports[0] ?? 80;
  const isAnyPort = service.mark !== undefined || / \S+:0$/.test(service.spec);
  const port = method === 'nat' && random.chance(0.5) ? 8080 : isAnyPort ? 0 : base;
  if (service.servers.some((server) => server.address === address)) return undefined;
  const server = {
    ...{ name: formatEndpoint({ address, port }), address, port, method },
    tunnel: method === 'tun' ? tunnelWords(draft) : '',
  };
  service.servers.push(server);
  return server;
}

function serverAddress(draft: Draft, isIpv6: boolean): string {
  const { random } = draft;
  if (isIpv6) return `2001:db8:2::${random.pick(['b', 'c', 'd', 'e', 'f'])}`;
  return draft.has('routes') && random.chance(0.05) ? `10.0.3.${random.int(11, 30)}` : `10.0.2.${random.int(11, 30)}`;
}

function tunnelWords(draft: Draft): string {
  const kind = draft.random.weighted({ ipip: 2, gue: draft.has('gue') ? 1 : 0, gre: draft.has('gre') ? 1 : 0 });
  if (kind === 'gue')
    return `--tun-type gue --tun-port ${guePort} --tun-${draft.random.pick(['nocsum', 'csum', 'remcsum'])}`;
  return kind === 'gre' ? `--tun-type gre --tun-${draft.random.pick(['nocsum', 'csum'])}` : '';
}

const methodWord: Readonly<Record<Method, string>> = { dr: '-g', nat: '-m', tun: '-i' };

/** All that -a or -e say about a server. */
export function serverOptions(
  draft: Draft,
  server: Pick<DraftServer, 'method' | 'tunnel'>,
  wish: Pick<ServiceWish, 'thresholds' | 'weightZero'>,
): string {
  const { random } = draft;
  const words = [methodWord[server.method], server.tunnel, `-w ${pickWeight(draft, wish.weightZero ?? 0.06)}`];
  if (draft.has('thresholds') && random.chance(wish.thresholds ?? 0)) {
    const upper = random.int(1, 8);
    words.push(`-x ${upper}`, random.chance(0.6) ? `-y ${random.int(1, upper)}` : '');
  }
  return words.filter((word) => word !== '').join(' ');
}

function pickWeight(draft: Draft, zero: number): number {
  if (draft.random.chance(zero)) return 0;
  return draft.random.pick([1, 1, 1, 2, 2, 3, 4, 5, 7, 10, draft.random.int(1, 100), draft.random.int(1, 65535)]);
}
