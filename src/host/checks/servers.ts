// SPDX-License-Identifier: Apache-2.0
// Services and their real servers as an operator of LVS would look at them: is anybody there, on the link where DR needs
// them, reached by tunnels that are wide enough, answering by the director where NAT needs it.
import { formatServerKey, formatServiceKey } from '../../config/keys.js';
import { contains, parseAddress, parsePrefix } from '../../config/prefix.js';
import type { RealServer__Output } from '../../generated/fulcrum/v1/RealServer.js';
import type { Route__Output } from '../../generated/fulcrum/v1/Route.js';
import type { ServerStatistics__Output } from '../../generated/fulcrum/v1/ServerStatistics.js';
import type { VirtualService__Output } from '../../generated/fulcrum/v1/VirtualService.js';
import type { DirectorFacts } from '../director_facts.js';
import { type Finding, note, ok, problem, warning } from '../finding.js';
import { stateOf } from './ports.js';

export function checkServices(facts: DirectorFacts): readonly Finding[] {
  return facts.services.flatMap((service) => {
    const findings = [
      ...checkPool(service),
      ...checkClientWay(service),
      ...service.servers.flatMap((server) => checkServer(facts, service, server)),
    ];
    const name = `service ${nameOf(service)}`;
    return findings.length > 0 ? findings : [ok(name, `${service.servers.length} real servers, all well`)];
  });
}

const nameOf = ({ key }: VirtualService__Output): string => (key ? formatServiceKey(key) : '');
const serverNameOf = ({ key }: RealServer__Output): string => (key ? formatServerKey(key) : '');

function checkPool(service: VirtualService__Output): readonly Finding[] {
  const subject = `service ${nameOf(service)}`;
  const { servers } = service;
  const edit = `fulcrum server add ${nameOf(service)} ADDRESS:PORT`;
  if (servers.length === 0) return [problem(subject, 'has no real server', 'its clients are turned away', edit)];
  const takes = servers.filter(({ spec, condition }) =>
    condition === null ? (spec?.weight ?? 1) > 0 : condition.inPool && condition.effectiveWeight > 0,
  );
  if (takes.length > 0) return [];
  const reasons = [...new Set(servers.map(({ condition }) => condition?.reason || 'weight 0'))];
  const found = `none of ${servers.length} real servers takes anything (${reasons.slice(0, 3).join('; ')})`;
  return [problem(subject, found, 'its clients are turned away', `fulcrum server list ${nameOf(service)}`)];
}

/** The classic: a server that answers at its own address, and has not the VIP. */
function checkClientWay(service: VirtualService__Output): readonly Finding[] {
  const { servers, health } = service;
  const silent = ['FORWARDING_METHOD_DR', 'FORWARDING_METHOD_TUN'];
  if (!servers.some(({ spec }) => silent.includes(spec?.method ?? ''))) return [];
  const all = [...(health?.checks ?? []), ...servers.flatMap((server) => server.health?.checks ?? [])];
  if (all.some(({ via }) => via === 'CHECK_VIA_VIP')) return [];
  return [
    note(
      `service ${nameOf(service)}`,
      'DR or TUN, and no check goes the way of its clients',
      'a server without the VIP on lo, or without its tunnel, is given clients all the same',
      'health: { checks: [{ type: …, via: vip }] }, and a kernel port',
    ),
  ];
}

function checkServer(
  facts: DirectorFacts,
  service: VirtualService__Output,
  server: RealServer__Output,
): readonly Finding[] {
  const subject = `server ${serverNameOf(server)} of ${nameOf(service)}`;
  return [
    ...checkCondition(subject, service, server),
    ...checkWay(subject, facts, server),
    ...checkTunnel(subject, facts, service, server),
    ...checkAnswers(subject, facts, service, server),
  ];
}

/** What checks have found, in their own words. */
function checkCondition(
  subject: string,
  service: VirtualService__Output,
  { condition }: RealServer__Output,
): readonly Finding[] {
  const word = String(condition?.state ?? '')
    .replace('SERVER_STATE_', '')
    .toLowerCase();
  if (condition === null || !['down', 'ejected'].includes(word)) return [];
  const why = 'it gets no new connections';
  const change = /answers on its own address but not on the VIP/.test(condition.reason)
    ? 'on that server: the VIP on lo (DR), the tunnel (TUN), or its gateway (NAT), as the reason asks'
    : `on that server, for this check; fulcrum server list ${nameOf(service)}`;
  return [(word === 'down' ? problem : warning)(subject, `${word}: ${condition.reason}`, why, change)];
}

/** The longest prefix. */
export function routeTo(routes: readonly Route__Output[], address: string): Route__Output | undefined {
  const wanted = parseAddress(address);
  if (wanted === undefined) return undefined;
  const taken = routes.flatMap((route) => {
    const prefix = parsePrefix(route.destination);
    return prefix !== undefined && contains(prefix, wanted) ? [{ route, length: prefix.length }] : [];
  });
  return taken.sort((a, b) => b.length - a.length || a.route.metric - b.route.metric)[0]?.route;
}

function checkWay(
  subject: string,
  { routes, neighbors }: DirectorFacts,
  { key, spec }: RealServer__Output,
): readonly Finding[] {
  const address = key?.address ?? '';
  const route = routeTo(routes, address);
  if (routes.length === 0) return [];
  if (route === undefined || route.interface === '')
    return [
      problem(
        subject,
        `no route leads to ${address}`,
        'nothing reaches it',
        'routes: in the configuration; fulcrum route list',
      ),
    ];
  if (spec?.method === 'FORWARDING_METHOD_DR' && route.via !== '')
    return [
      problem(
        subject,
        `DR, and behind the gateway ${route.via}`,
        'DR writes the server’s own MAC into the frame: it has to be on a network of the director’s',
        'method tun (fulcrum server edit … --method tun), or a port of the director on its network',
      ),
    ];
  const hop = route.via === '' ? address : route.via;
  const state = stateOf(neighbors.find((one) => one.address === hop && one.interface === route.interface)?.state);
  if (state !== 'failed' && state !== 'incomplete') return [];
  const found = `${hop} does not answer for its MAC on ${route.interface}`;
  return [problem(subject, found, 'nothing reaches it', 'is it up, and on that link? fulcrum neighbor list')];
}

const usualMtu = 1500;
const tunnelBytes: Readonly<Record<string, number>> = { TUNNEL_TYPE_IPIP: 0, TUNNEL_TYPE_GUE: 12, TUNNEL_TYPE_GRE: 4 };

function checkTunnel(
  subject: string,
  { routes, ports }: DirectorFacts,
  { traffic }: VirtualService__Output,
  { key, spec }: RealServer__Output,
): readonly Finding[] {
  if (spec?.method !== 'FORWARDING_METHOD_TUN' || traffic?.mssAuto || traffic?.mss) return [];
  const address = key?.address ?? '';
  const by = routeTo(routes, address)?.interface;
  const way = ports.flatMap(({ interfaces }) => interfaces).find(({ name }) => name === by);
  if (way === undefined) return [];
  const outer = address.includes(':') ? 40 : 20;
  const overhead = outer + (tunnelBytes[spec.tunnelType] ?? 0);
  const room = way.mtu - overhead;
  if (room >= usualMtu) return [];
  const mss = room - (address.includes(':') ? 60 : 40);
  return [
    note(
      subject,
      `a tunnel over ${way.name} leaves ${room} of ${usualMtu} bytes`,
      'clients whose ICMP is filtered hang once they send much',
      `fulcrum service traffic SERVICE --mss auto (${mss}), or an MTU of ${usualMtu + overhead} on ${way.name} and on the server`,
    ),
  ];
}

/** So many packets without an answer are no accident. */
const leastPackets = 10;

function checkAnswers(
  subject: string,
  { statistics }: DirectorFacts,
  service: VirtualService__Output,
  server: RealServer__Output,
): readonly Finding[] {
  if (server.spec?.method !== 'FORWARDING_METHOD_NAT') return [];
  const counted = statisticsOf(statistics, service, server)?.counters;
  if (counted == null || Number(counted.inPackets) < leastPackets || counted.outPackets !== '0') return [];
  return [
    problem(
      subject,
      `NAT: ${counted.inPackets} packets in, none back`,
      'its answers do not pass the director, and clients get them from an address that they do not know',
      'on that server: its default gateway is to be the director (ip route get CLIENT from SERVER); or its firewall',
    ),
  ];
}

function statisticsOf(
  all: DirectorFacts['statistics'],
  service: VirtualService__Output,
  server: RealServer__Output,
): ServerStatistics__Output | undefined {
  const name = nameOf(service);
  const of = all.find(({ key }) => key !== null && formatServiceKey(key) === name);
  return of?.servers.find(({ key }) => key !== null && formatServerKey(key) === serverNameOf(server));
}
