// SPDX-License-Identifier: Apache-2.0
// The manager's values as messages of fulcrum.v1.
import type { Configuration } from '../generated/fulcrum/v1/Configuration.js';
import type { RealServer } from '../generated/fulcrum/v1/RealServer.js';
import type { Vip as VipMessage } from '../generated/fulcrum/v1/Vip.js';
import type { VirtualService } from '../generated/fulcrum/v1/VirtualService.js';
import { countServicesByVip, type Model } from './model.js';
import type { Server, Service, Vip } from './nouns.js';
import { undeclaredVip } from './validate.js';

/** A revision or etag as clients see it. Those of two stores are never equal. */
export function revisionText(lineage: string, number: number): string {
  return `${lineage.slice(0, 8)}-${number}`;
}

export function realServerMessage({ key, spec, version }: Server, lineage: string): RealServer {
  return { key, spec, etag: revisionText(lineage, version) };
}

/** In LVS list order: the server added last comes first. */
export function listOrder(service: Service): Server[] {
  return [...service.servers.values()].reverse();
}

export function virtualServiceMessage(service: Service, lineage: string): VirtualService {
  return {
    key: service.key,
    spec: service.spec,
    etag: revisionText(lineage, service.version),
    servers: listOrder(service).map((server) => realServerMessage(server, lineage)),
  };
}

/** Everything configured. Servers in the order of addition, so that applying it again gives the same lists. */
export function configurationMessage(model: Model): Configuration {
  return {
    services: [...model.services.values()].map(({ key, spec, servers }) => ({
      key,
      spec,
      servers: [...servers.values()].map((server) => ({ key: server.key, spec: server.spec })),
    })),
    vips: [...model.vips.values()],
    timeouts: model.timeouts,
  };
}

export function vipMessage(vip: Vip, services: number): VipMessage {
  return { ...vip, services };
}

/** Every VIP: those that were declared, and those that are only the address of a service. */
export function vipMessages(model: Model): VipMessage[] {
  const counts = countServicesByVip(model);
  const undeclared = [...counts.keys()].filter((address) => !model.vips.has(address)).map(undeclaredVip);
  return [...model.vips.values(), ...undeclared].map((vip) => vipMessage(vip, counts.get(vip.address) ?? 0));
}
