// SPDX-License-Identifier: Apache-2.0
// The lists of the page: services, the real servers of one, and those that are wrong. Of a long one only what is shown
// is worked out.
import { formatServerKey, formatServiceKey } from '../../config/keys.js';
import { methods, nameOf } from '../../config/servers.js';
import type { Attention, ServerList, ServerRow, ServiceList, ServiceRow } from '../../web/view.js';
import { type LiveOf, listOrder, realServerMessage } from '../messages.js';
import type { Model } from '../model.js';
import { type Server, type ServerKey, type ServerSpec, type Service, serverId, serviceId } from '../nouns.js';
import { type ListPart, naturalOrder, partOf, type ServerSort, type ServiceSort } from './parameters.js';
import type { Sample, ServerSample, ServersSample } from './sample.js';
import { serverStanding, serviceStanding, sorryStanding, weightOf } from './standing.js';

const mostAttention = 20;
/** What is worse comes first, where it is sorted by state. */
const badness = { good: 0, quiet: 1, warn: 2, bad: 3 } as const;

/** The list, and the services that are in it. */
export function serviceList(
  model: Model,
  sample: Sample | undefined,
  list: ListPart<ServiceSort>,
): { readonly list: ServiceList; readonly services: readonly Service[] } {
  const all = [...model.services.values()];
  const found = list.filter === '' ? all : all.filter((service) => matches(service, list.filter));
  const services = partOf(found, list, (service, sort) => serviceValue(service, sample, sort));
  const rows = services.map((service) => serviceRow(service, sample));
  return { list: { from: list.from, found: found.length, total: all.length, rows }, services };
}

function matches(service: Service, filter: string): boolean {
  const { state } = serviceStanding(service);
  return [formatServiceKey(service.key), service.spec.scheduler, state].some((text) => text.includes(filter));
}

function serviceValue(service: Service, sample: Sample | undefined, sort: ServiceSort): string | number {
  const counted = sample?.services.get(serviceId(service.key));
  switch (sort) {
    case 'key':
      return naturalOrder(formatServiceKey(service.key));
    case 'scheduler':
      return service.spec.scheduler;
    case 'state':
      return badness[serviceStanding(service).tone];
    default:
      return countedValue(counted, sort);
  }
}

function countedValue(counted: ServerSample | undefined, sort: string): number {
  if (sort === 'active') return counted?.active ?? -1;
  if (sort === 'inactive') return counted?.inactive ?? -1;
  if (sort === 'rate') return counted?.rates?.connections ?? -1;
  return counted?.rates ? counted.rates.inBits + counted.rates.outBits : -1;
}

export function serviceRow(service: Service, sample: Sample | undefined): ServiceRow {
  const { state, tone, up, strip } = serviceStanding(service);
  const counted = sample?.services.get(serviceId(service.key));
  return {
    key: formatServiceKey(service.key),
    scheduler: service.spec.scheduler,
    state,
    tone,
    up,
    servers: service.servers.size,
    strip,
    active: counted?.active ?? null,
    inactive: counted?.inactive ?? null,
    rates: counted?.rates ?? null,
  };
}

interface ServerContext {
  readonly service: Service;
  readonly counted: ServersSample | undefined;
  readonly liveOf: LiveOf;
}

export function serverList(context: ServerContext, list: ListPart<ServerSort>, everyS: number): ServerList {
  const { service, counted } = context;
  const all = listOrder(service);
  const found = list.filter === '' ? all : all.filter((server) => serverMatches(server, service, list.filter));
  const rows = partOf(found, list, (server, sort) => serverValue(server, context, sort)).map((server) =>
    serverRow(server, context),
  );
  const sorry = list.from === 0 ? sorryRows(service, counted) : [];
  return { from: list.from, found: found.length, total: all.length, everyS, rows: [...sorry, ...rows] };
}

function serverMatches(server: Server, service: Service, filter: string): boolean {
  return [serverId(server.key), serverStanding(server, service).state].some((text) => text.includes(filter));
}

function serverValue(server: Server, { service, counted }: ServerContext, sort: ServerSort): string | number {
  if (sort === 'id') return naturalOrder(serverId(server.key));
  if (sort === 'state') return badness[serverStanding(server, service).tone];
  if (sort === 'weight') return weightOf(server, service) ?? -1;
  return countedValue(counted?.servers.get(serverId(server.key)), sort);
}

function serverRow(server: Server, { service, counted, liveOf }: ServerContext): ServerRow {
  const { condition } = realServerMessage(server, '', service, liveOf);
  const effective = weightOf(server, service);
  return {
    ...placeOf(server.key, server.spec),
    ...serverStanding(server, service),
    reason: condition?.reason ?? '',
    since: condition?.since ?? '',
    weight: server.spec.weight,
    effective,
    share: shareOf(effective, service),
    latencyUs: Number(condition?.latencyUs ?? 0),
    ...countsOf(counted?.servers.get(serverId(server.key))),
  };
}

/** A sorry server is no server of the service, but in its pool. */
function sorryRows(service: Service, counted: ServersSample | undefined): readonly ServerRow[] {
  const strangers = [...(service.pool?.servers ?? [])].filter(
    ([id, { spec }]) => spec.weight > 0 && !service.servers.has(id),
  );
  return strangers.map(([id, { key, spec }]) => ({
    ...placeOf(key, spec),
    ...sorryStanding,
    since: '',
    weight: spec.weight,
    effective: spec.weight,
    share: shareOf(spec.weight, service),
    latencyUs: 0,
    ...countsOf(counted?.servers.get(id)),
  }));
}

const placeOf = (key: ServerKey, { method }: ServerSpec): Pick<ServerRow, 'id' | 'method'> => ({
  id: formatServerKey(key),
  method: nameOf(methods, method) ?? '',
});

function shareOf(effective: number | null, service: Service): number {
  const { weight } = serviceStanding(service);
  return weight === 0 ? 0 : Math.round(((effective ?? 0) / weight) * 1000) / 10;
}

function countsOf(counted: ServerSample | undefined) {
  return {
    active: counted?.active ?? null,
    inactive: counted?.inactive ?? null,
    connections: counted?.counted.connections ?? null,
    rates: counted?.rates ?? null,
  };
}

export function attention({ services }: Model): Attention {
  const standings = { good: 0, warn: 0, bad: 0, quiet: 0 };
  const servers: Attention['servers'][number][] = [];
  let all = 0;
  for (const service of services.values()) {
    const { tone, wrong } = serviceStanding(service);
    standings[tone]++;
    all += wrong.length;
    for (const server of wrong.slice(0, mostAttention - servers.length)) servers.push(trouble(server, service));
  }
  return { services: standings, servers, more: all - servers.length };
}

function trouble(server: Server, service: Service): Attention['servers'][number] {
  const { condition } = realServerMessage(server, '', service);
  return {
    service: formatServiceKey(service.key),
    id: formatServerKey(server.key),
    ...serverStanding(server, service),
    reason: condition?.reason ?? '',
    since: condition?.since ?? '',
  };
}
