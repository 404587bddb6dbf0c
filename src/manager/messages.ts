// SPDX-License-Identifier: Apache-2.0
// The manager's values as messages of fulcrum.v1.
import type { Configuration } from '../generated/fulcrum/v1/Configuration.js';
import type { MarkRules } from '../generated/fulcrum/v1/MarkRules.js';
import type { RealServer } from '../generated/fulcrum/v1/RealServer.js';
import type { VirtualService } from '../generated/fulcrum/v1/VirtualService.js';
import type { Model } from './model.js';
import type { Server, Service } from './nouns.js';

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
    tunables: model.tunables,
    markRules: markRulesMessage(model),
  };
}

/** Null if there are none. */
export function markRulesMessage({ markRules }: Model): MarkRules | null {
  return markRules.length === 0 ? null : { rules: [...markRules] };
}
