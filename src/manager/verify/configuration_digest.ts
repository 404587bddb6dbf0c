// SPDX-License-Identifier: Apache-2.0
// What the digests of a configuration must be, as dataplane/service/configuration_digest.h works them out: whatever is
// changed there is changed here. Objects of the model never change, so what was digested once is known.
import { timeouts } from '../../config/timeouts.js';
import { tunables } from '../../config/tunables.js';
import type { Announce__Output } from '../../generated/fulcrum/v1/Announce.js';
import type { ForwardingMethod__Output } from '../../generated/fulcrum/v1/ForwardingMethod.js';
import type { PrefixList__Output } from '../../generated/fulcrum/v1/PrefixList.js';
import type { Protocol__Output } from '../../generated/fulcrum/v1/Protocol.js';
import type { TrafficPolicy__Output } from '../../generated/fulcrum/v1/TrafficPolicy.js';
import type { TunnelChecksum__Output } from '../../generated/fulcrum/v1/TunnelChecksum.js';
import type { TunnelType__Output } from '../../generated/fulcrum/v1/TunnelType.js';
import { inForceServers } from '../messages.js';
import type { Model } from '../model.js';
import { type MarkRule, type PortRange, type Service, serviceFamily, type Vip } from '../nouns.js';
import type { PoolServer } from '../pool.js';
import { announcedVips } from '../vips.js';
import { Digest } from './digest.js';

/** The parts that are compared one by one, by their names in ConfigurationDigest. */
export interface ConfigurationDigests {
  readonly services: string;
  readonly vips: string;
  readonly timeouts: string;
  readonly tunables: string;
  readonly markRules: string;
  readonly prefixLists: string;
}

const protocols: Readonly<Record<Protocol__Output, number>> = {
  PROTOCOL_UNSPECIFIED: 0,
  PROTOCOL_TCP: 6,
  PROTOCOL_UDP: 17,
  PROTOCOL_SCTP: 132,
};
const methods: Readonly<Record<ForwardingMethod__Output, number>> = {
  FORWARDING_METHOD_NAT: 0,
  FORWARDING_METHOD_TUN: 2,
  FORWARDING_METHOD_DR: 3,
  FORWARDING_METHOD_UNSPECIFIED: 3,
};
const tunnels: Readonly<Record<TunnelType__Output, number>> = {
  TUNNEL_TYPE_UNSPECIFIED: 0,
  TUNNEL_TYPE_IPIP: 0,
  TUNNEL_TYPE_GUE: 1,
  TUNNEL_TYPE_GRE: 2,
};
const checksums: Readonly<Record<TunnelChecksum__Output, number>> = {
  TUNNEL_CHECKSUM_UNSPECIFIED: 0,
  TUNNEL_CHECKSUM_NOCSUM: 0,
  TUNNEL_CHECKSUM_CSUM: 1,
  TUNNEL_CHECKSUM_REMCSUM: 2,
};
const announcements: Readonly<Record<Announce__Output, number>> = {
  ANNOUNCE_UNSPECIFIED: 0,
  ANNOUNCE_ARP: 0,
  ANNOUNCE_ROUTE: 1,
  ANNOUNCE_NONE: 2,
};
const families = { ADDRESS_FAMILY_UNSPECIFIED: 0, ADDRESS_FAMILY_IPV4: 4, ADDRESS_FAMILY_IPV6: 6 } as const;
const autoMss = 0xffff;
const allPorts: PortRange = { first: 0, last: 0xffff };

export function configurationDigests(model: Model): ConfigurationDigests {
  const services = new Digest();
  for (const service of model.services.values()) services.addDigest(serviceDigest(service));
  return {
    services: services.text(),
    vips: vipsDigest(model).text(),
    timeouts: settingsDigest(timeouts.map(({ name, field }) => [name, model.timeouts[field]])).text(),
    tunables: settingsDigest(
      tunables.map(({ name, field, initial }) => [name, model.tunables[field] ?? initial]),
    ).text(),
    markRules: markRulesDigest(model.markRules).text(),
    prefixLists: prefixListsDigest(model.prefixLists).text(),
  };
}

/** In order of creation. */
export function serviceDigests(model: Model): string[] {
  return [...model.services.values()].map((service) => serviceDigest(service).text());
}

/** Works a value out once for each object. */
function once<K extends object, V>(work: (key: K) => V): (key: K) => V {
  const known = new WeakMap<K, V>();
  return (key) => {
    const before = known.get(key);
    if (before !== undefined) return before;
    const value = work(key);
    known.set(key, value);
    return value;
  };
}

const serviceDigest = once((service: Service): Digest => {
  const { key, spec, traffic } = service;
  const servers = inForceServers(service);
  const digest = new Digest().add(protocols[key.protocol]);
  if (key.fwmark === 0) digest.addAddress(key.address);
  else digest.addFamily(serviceFamily(key));
  digest
    .add(key.port)
    .add(key.fwmark)
    .addText(spec.scheduler)
    .add(spec.schedulerFlags)
    .add(spec.persistenceTimeoutS)
    .add(spec.persistencePrefix)
    .add(Number(spec.onePacket));
  addTraffic(digest, traffic);
  digest.add(servers.length);
  for (const server of servers) digest.addDigest(serverDigest(server));
  return digest;
});

const serverDigest = once(({ key, spec }: PoolServer): Digest => {
  const isTunnel = spec.method === 'FORWARDING_METHOD_TUN';
  return new Digest()
    .addAddress(key.address)
    .add(key.port)
    .add(methods[spec.method])
    .add(spec.weight)
    .add(spec.upperThreshold)
    .add(spec.lowerThreshold)
    .add(isTunnel ? tunnels[spec.tunnelType] : 0)
    .add(isTunnel ? checksums[spec.tunnelChecksum] : 0)
    .add(isTunnel ? spec.tunnelPort : 0);
});

function addTraffic(digest: Digest, traffic: TrafficPolicy__Output | null): void {
  addClients(digest, traffic?.allow ?? []);
  addClients(digest, traffic?.deny ?? []);
  digest
    .add(traffic?.maxConnections ?? 0)
    .add(traffic?.connectionsPerSecond ?? 0)
    .add(traffic?.connectionsBurst ?? 0)
    .add(traffic?.mssAuto ? autoMss : (traffic?.mss ?? 0));
}

/** A name has no dot and no colon, an address has some. */
function addClients(digest: Digest, entries: readonly string[]): void {
  const isList = (entry: string): boolean => !/[.:/]/.test(entry);
  const lists = entries.filter(isList);
  const own = entries.filter((entry) => !isList(entry));
  digest.add(lists.length);
  for (const list of lists) digest.addText(list);
  digest.add(own.length);
  for (const prefix of own) digest.addPrefix(prefix);
}

function vipsDigest(model: Model): Digest {
  const digest = new Digest();
  for (const vip of announcedVips(model)) digest.join(vipDigest(vip));
  return digest;
}

/** The engine has 0 for the length of a single address. */
const vipDigest = ({ address, announce, state }: Vip): Digest =>
  new Digest()
    .addPrefix(address.includes('/') ? address : `${address}/0`)
    .add(announcements[announce])
    .add(Number(state !== 'VIP_STATE_STANDBY'));

function settingsDigest(values: readonly (readonly [string, number])[]): Digest {
  const digest = new Digest();
  for (const [name, value] of values) digest.join(new Digest().addText(name).add(value));
  return digest;
}

function markRulesDigest(rules: readonly MarkRule[]): Digest {
  const digest = new Digest();
  for (const rule of rules) {
    digest.add(families[rule.family]).add(protocols[rule.protocol]).addPrefix(rule.source).addPrefix(rule.destination);
    for (const { first, last } of [rule.sourcePorts ?? allPorts, rule.destinationPorts ?? allPorts])
      digest.add(((first << 16) | last) >>> 0);
    digest.add(rule.mark).add(Number(rule.local));
  }
  return digest;
}

function prefixListsDigest(lists: Model['prefixLists']): Digest {
  const digest = new Digest();
  for (const list of lists.values()) digest.join(new Digest().addText(list.name).addDigest(prefixListDigest(list)));
  return digest;
}

const prefixListDigest = once(({ prefixes }: PrefixList__Output): Digest => {
  const digest = new Digest();
  for (const prefix of prefixes) digest.join(new Digest().addPrefix(prefix));
  return digest;
});
