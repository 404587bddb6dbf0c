// SPDX-License-Identifier: Apache-2.0
// Events that change what surrounds the director, mapped to what the product has for them: tunables, mark rules, VIP
// ranges. What is fixed when a director starts (routes, neighbours, forwarding) is taken from the events before the first
// packet. What the product does not have is an error that says so.
import { contains, type Prefix, parsePrefix, widthOf } from '../../src/config/prefix.js';
import { isSyncTunable, tunableByName } from '../../src/config/tunables.js';
import type { MarkRule } from '../../src/generated/fulcrum/v1/MarkRule.js';
import type { DirectorClient } from '../../src/grpc/client.js';
import type { Device } from './frames.js';
import { markRules, network } from './iptables.js';
import { NotAvailable } from './not_available.js';
import { type Json, type Scenario, type ScenarioEvent, splitWords } from './scenario.js';

/** What of a scenario's events is part of the director's start. */
export interface StartSettings {
  readonly mtu: Readonly<Record<Device, number>>;
  readonly forwarding: boolean;
  readonly routes: readonly { readonly prefix: string; readonly via: string; readonly interface: string }[];
  readonly neighbors: readonly { readonly address: string; readonly interface: string; readonly mac: string }[];
}

/** What an event needs of the world. */
export interface Surroundings {
  /** Makes an edit and waits until it is in force. */
  edit(make: (director: DirectorClient) => Promise<{ readonly inForce: boolean }>): Promise<void>;
  setMtu(dev: Device, mtu: number): Promise<void>;
}

const defaultMtu = 1500;
const environmentOps = ['mtu', 'sysctl', 'fwmark', 'ip'];

/** Before the first packet, command or listing. */
function isAtStart(scenario: Scenario, index: number): boolean {
  return scenario.events.slice(0, index).every((event) => environmentOps.includes(event.op));
}

export function startSettings(scenario: Scenario): StartSettings {
  const early = scenario.events.filter((_, index) => isAtStart(scenario, index));
  const mtu = { cl: defaultMtu, rs: defaultMtu };
  let forwarding = true;
  const routes: StartSettings['routes'][number][] = [];
  const neighbors: StartSettings['neighbors'][number][] = [];
  for (const event of early) {
    const change = changeOf(event);
    if (change.mtu !== undefined) mtu[change.mtu.dev] = change.mtu.mtu;
    if (change.route !== undefined) routes.push(change.route);
    if (change.neighbor !== undefined) neighbors.push(change.neighbor);
    if (event.op === 'sysctl' && forwardingKeys.includes(pathOf(event))) forwarding = Number(event.value) !== 0;
  }
  return { mtu, forwarding, routes, neighbors };
}

/** What cannot be followed fails when its turn comes. */
function changeOf(event: ScenarioEvent): IpChange {
  try {
    if (event.op === 'mtu') return { mtu: mtuOf(event) };
    return event.op === 'ip' ? readIp(event.args as string) : {};
  } catch (error) {
    if (error instanceof NotAvailable) return {};
    throw error;
  }
}

function mtuOf(event: ScenarioEvent): { readonly dev: Device; readonly mtu: number } {
  return { dev: deviceOf(event.dev as string), mtu: event.mtu as number };
}

function deviceOf(name: string | undefined): Device {
  if (name === 'cl' || name === 'rs') return name;
  throw new NotAvailable(`the interface ${name}`);
}

/** One `ip` command, as far as the product can follow it. */
interface IpChange {
  readonly mtu?: { readonly dev: Device; readonly mtu: number };
  readonly route?: StartSettings['routes'][number];
  readonly neighbor?: StartSettings['neighbors'][number];
  /** A prefix that is local to the director. */
  readonly local?: { readonly prefix: string; readonly table: string; readonly isAdded: boolean };
  /** Packets with this mark are looked up in this table. */
  readonly rule?: { readonly mark: number; readonly table: string; readonly isAdded: boolean };
}

const everything = ['default', '0.0.0.0/0', '::/0'];
const mainTables = ['main', 'local', '254', '255'];

function readIp(args: string): IpChange {
  const words = splitWords(args).filter((word) => word !== '-4' && word !== '-6');
  const [object = '', verb = '', ...rest] = words;
  const isIpv6 = args.includes(':') || splitWords(args).includes('-6');
  const isAdded = ['add', 'append', 'replace', 'change', 'set'].includes(verb);
  if (!isAdded && verb !== 'del' && verb !== 'delete') throw new NotAvailable(`ip ${args}`);
  const value = (name: string): string | undefined => {
    const at = rest.indexOf(name);
    return at < 0 ? undefined : rest[at + 1];
  };
  const table = value('table') ?? value('lookup') ?? 'main';
  switch (object) {
    case 'rule': {
      const [mark = '', mask] = (value('fwmark') ?? '').split('/');
      const known = ['from', 'all', 'fwmark', value('fwmark'), 'lookup', 'table', table, 'pref', value('pref')];
      if (mark === '' || mask !== undefined || rest.some((word) => !known.includes(word))) break;
      return { rule: { mark: Number(mark), table, isAdded } };
    }
    case 'route': {
      if (rest[0] === 'local') {
        const prefix = wholePrefix(rest[1] ?? '', isIpv6);
        if (value('dev') === 'lo') return { local: { prefix, table, isAdded } };
        break;
      }
      const via = value('via');
      if (via === undefined || !isAdded || !mainTables.includes(table)) break;
      const prefix = wholePrefix(rest[0] ?? '', via.includes(':'));
      return { route: { prefix, via, interface: value('dev') ?? '' } };
    }
    case 'addr':
    case 'address':
      if (value('dev') === 'lo') return { local: { prefix: (rest[0] ?? '').split('/')[0] ?? '', table, isAdded } };
      break;
    case 'neigh':
    case 'neighbour': {
      const mac = value('lladdr');
      if (mac === undefined || !isAdded) break;
      return { neighbor: { address: rest[0] ?? '', interface: deviceOf(value('dev')), mac } };
    }
    case 'link': {
      const mtu = value('mtu');
      if (mtu !== undefined) return { mtu: { dev: deviceOf(value('dev') ?? rest[0]), mtu: Number(mtu) } };
      break;
    }
  }
  throw new NotAvailable(`ip ${args}`);
}

function wholePrefix(text: string, isIpv6: boolean): string {
  return text === 'default' ? (isIpv6 ? '::/0' : '0.0.0.0/0') : network(text);
}

const forwardingKeys = ['net/ipv4/ip_forward', 'net/ipv4/conf/all/forwarding', 'net/ipv6/conf/all/forwarding'];

/** What stands below /proc/sys, with slashes; a bare name is one of LVS. */
function pathOf({ key }: ScenarioEvent): string {
  const text = key as string;
  return text.includes('/') ? text.replace(/^\/?(proc\/sys\/)?/, '') : `net/ipv4/vs/${text}`;
}

/** Tunables of the product that Linux has elsewhere than below net.ipv4.vs. */
const tunablePaths: Readonly<Record<string, string>> = {
  'net/ipv4/icmp_msgs_per_sec': 'icmp_msgs_per_sec',
  'net/ipv4/icmp_msgs_burst': 'icmp_msgs_burst',
  'net/ipv4/ipfrag_high_thresh': 'ipfrag_high_thresh',
  'net/ipv4/ipfrag_time': 'ipfrag_time',
  'net/ipv6/ip6frag_time': 'ip6frag_time',
};

/** Values that say what holds in this network, or in the product, anyhow. */
const alreadySo: readonly (readonly [path: RegExp, value: string])[] = [
  [/^net\/ipv4\/icmp_ratelimit$/, '0'],
  [/^net\/ipv6\/icmp\/ratelimit$/, '0'],
  [/^net\/ipv4\/ip_default_ttl$/, '64'],
  [/^net\/ipv[46]\/conf\/[^/]+\/(rp_filter|send_redirects|accept_redirects|secure_redirects|log_martians)$/, '0'],
  [/^net\/ipv4\/(ip_forward|conf\/[^/]+\/forwarding)$/, '1'],
  [/^net\/ipv6\/conf\/[^/]+\/forwarding$/, '1'],
];

export class Environment {
  readonly #scenario: Scenario;
  readonly #surroundings: Surroundings;
  /** The one that was added last comes first: it is the last one in iptables, and a later mark replaces an earlier one. */
  #rules: readonly MarkRule[] = [];
  /** What is local, by routing table. */
  readonly #tables = new Map<string, Set<string>>();
  /** Routing tables by mark. */
  readonly #lookups = new Map<number, Set<string>>();

  constructor(scenario: Scenario, surroundings: Surroundings) {
    this.#scenario = scenario;
    this.#surroundings = surroundings;
  }

  /** Carries out an event that is neither a packet, a command of ipvsadm, time nor a listing. */
  async play(event: ScenarioEvent, index: number): Promise<Json> {
    switch (event.op) {
      case 'mtu':
        await this.#setMtu(mtuOf(event), index);
        return {};
      case 'sysctl':
        await this.#sysctl(event, index);
        return {};
      case 'fwmark':
        this.#rules = [...markRules(event.match as string, event.mark as number), ...this.#rules];
        await this.#setRules();
        return { rc: 0 };
      case 'ip':
        await this.#ip(readIp(event.args as string), event, index);
        return { rc: 0 };
      default:
        throw new Error(`"${event.op}" is not an event of the environment`);
    }
  }

  async #setMtu({ dev, mtu }: { readonly dev: Device; readonly mtu: number }, index: number): Promise<void> {
    if (!isAtStart(this.#scenario, index)) await this.#surroundings.setMtu(dev, mtu);
  }

  async #sysctl(event: ScenarioEvent, index: number): Promise<void> {
    const path = pathOf(event);
    const name = tunablePaths[path] ?? /^net\/ipv4\/vs\/(.*)$/.exec(path)?.[1];
    if (name !== undefined) {
      await this.#setTunable(name, event.value);
      return;
    }
    if (forwardingKeys.includes(path) && isAtStart(this.#scenario, index)) return;
    const value = String(event.value).trim();
    if (alreadySo.some(([known, same]) => known.test(path) && value === same)) return;
    throw new NotAvailable(`the sysctl ${path} = ${value}`);
  }

  async #setTunable(name: string, value: unknown): Promise<void> {
    const tunable = tunableByName(name);
    if (tunable === undefined) {
      throw new NotAvailable(isSyncTunable(name) ? `connection synchronisation (${name})` : `the tunable ${name}`);
    }
    const number = Number(value);
    if (!Number.isSafeInteger(number)) throw new NotAvailable(`the value ${JSON.stringify(value)} of ${name}`);
    await this.#surroundings.edit((director) => director.setTunables({ tunables: { [tunable.field]: number } }));
  }

  async #ip(change: IpChange, event: ScenarioEvent, index: number): Promise<void> {
    if (change.mtu !== undefined) return await this.#setMtu(change.mtu, index);
    if (change.local !== undefined) return await this.#setLocal(change.local);
    if (change.rule !== undefined) {
      toggle(this.#lookups, change.rule.mark, change.rule.table, change.rule.isAdded);
      return await this.#setRules();
    }
    if (!isAtStart(this.#scenario, index)) throw new NotAvailable(`ip ${event.args} while the director runs`);
  }

  async #setLocal({ prefix, table, isAdded }: NonNullable<IpChange['local']>): Promise<void> {
    if (!mainTables.includes(table)) {
      toggle(this.#tables, table, prefix, isAdded);
      return await this.#setRules();
    }
    const vip = { address: prefix, announce: 'ANNOUNCE_NONE' } as const;
    await this.#surroundings.edit((director) =>
      isAdded ? director.setVip({ vip }) : director.deleteVip({ address: prefix }),
    );
  }

  /** A mark whose table makes everything local makes its rules local; a narrower prefix only what goes there. */
  async #setRules(): Promise<void> {
    const rules = this.#rules.flatMap((rule) => [...this.#localRules(rule), rule]);
    await this.#surroundings.edit((director) => director.setMarkRules({ markRules: { rules } }));
  }

  #localRules(rule: MarkRule): readonly MarkRule[] {
    const tables = [...(this.#lookups.get(rule.mark ?? 0) ?? [])];
    const prefixes = new Set(tables.flatMap((table) => [...(this.#tables.get(table) ?? [])]));
    return [...prefixes].flatMap((prefix) => {
      const destination = intersection(rule.destination ?? '', prefix);
      return destination === undefined ? [] : [{ ...rule, destination, local: true }];
    });
  }
}

function toggle<Key>(sets: Map<Key, Set<string>>, key: Key, value: string, isAdded: boolean): void {
  const set = sets.get(key) ?? new Set();
  if (isAdded) set.add(value);
  else set.delete(value);
  sets.set(key, set);
}

/** The part of a rule's destination (empty: any) that lies in a prefix, as text; undefined if there is none. */
function intersection(destination: string, prefix: string): string | undefined {
  if (everything.includes(prefix) && destination !== '') {
    const isSameFamily = destination.includes(':') === prefix.includes(':');
    return isSameFamily ? destination : undefined;
  }
  if (destination === '') return prefix;
  const [one, other] = [prefixOf(destination), prefixOf(prefix)];
  if (one.family !== other.family) return undefined;
  if (one.length >= other.length) return contains(other, one) ? destination : undefined;
  return contains(one, other) ? prefix : undefined;
}

function prefixOf(text: string): Prefix {
  const prefix = parsePrefix(text.includes('/') ? text : `${text}/${widthOf(text.includes(':') ? 6 : 4)}`);
  if (prefix === undefined) throw new NotAvailable(`the prefix ${text}`);
  return prefix;
}
