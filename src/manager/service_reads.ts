// SPDX-License-Identifier: Apache-2.0
// Handlers of the calls that read what is configured.
import type { DirectorServiceDefinition } from '../generated/fulcrum/v1/DirectorService.js';
import type { WatchResponse } from '../generated/fulcrum/v1/WatchResponse.js';
import type { DirectorStreams } from '../grpc/client.js';
import { FulcrumError } from '../grpc/errors.js';
import type { Handlers } from '../grpc/handlers.js';
import { listOrder, markRulesMessage, realServerMessage, revisionText, virtualServiceMessage } from './messages.js';
import { type Service, serverId, serviceId } from './nouns.js';
import { readPageSize, readSequenceToken, takePage } from './pages.js';
import { findService, type ServiceContext } from './service_context.js';
import { refersTo } from './traffic.js';
import { readServerKey, readServiceKey } from './validate.js';
import { vipsOf } from './vips.js';

type AllHandlers = Handlers<DirectorServiceDefinition, DirectorStreams>;
export type ReadHandlers = Pick<
  AllHandlers,
  | 'getVirtualService'
  | 'listVirtualServices'
  | 'getRealServer'
  | 'listRealServers'
  | 'listVips'
  | 'getTimeouts'
  | 'getMarkRules'
  | 'listPrefixLists'
  | 'watch'
>;

/** Services and servers in a page of services: larger ones would hold up everybody else. */
const largestPageWeight = 2_000;

export function readHandlers({ director, broadcaster, liveOf }: ServiceContext): ReadHandlers {
  return {
    getVirtualService: async ({ key }) => {
      const { model, lineage } = director.state;
      return {
        service: virtualServiceMessage(findService(model, readServiceKey(key, 'key'), 'key'), lineage, liveOf),
      };
    },
    listVirtualServices: async (request) => {
      const { model, lineage } = director.state;
      const after = readSequenceToken(request.pageToken, 'services') ?? 0;
      const rest = [...model.services.values()].filter(({ sequence }) => sequence > after);
      const settings = { size: readPageSize(request.pageSize), kind: 'services', largestWeight: largestPageWeight };
      const page = takePage(rest, settings, (service: Service) => 1 + service.servers.size);
      return {
        services: page.items.map((service) => virtualServiceMessage(service, lineage, liveOf)),
        nextPageToken: page.nextPageToken,
        revision: revisionText(lineage, model.revision),
      };
    },
    getRealServer: async ({ service: serviceKey, key }) => {
      const { model, lineage } = director.state;
      const service = findService(model, readServiceKey(serviceKey, 'service'), 'service');
      const id = serverId(readServerKey(key, 'key'));
      const server = service.servers.get(id);
      if (server !== undefined) return { server: realServerMessage(server, lineage, service, liveOf) };
      const message = `${serviceId(service.key)} has no real server ${id}`;
      throw new FulcrumError({ reason: 'REASON_SERVER_NOT_FOUND', field: 'key', message });
    },
    listRealServers: async (request) => {
      const { model, lineage } = director.state;
      const service = findService(model, readServiceKey(request.service, 'service'), 'service');
      const kind = `servers of ${serviceId(service.key)}`;
      // The list goes from the newest to the oldest.
      const before = readSequenceToken(request.pageToken, kind) ?? Number.POSITIVE_INFINITY;
      const rest = listOrder(service).filter(({ sequence }) => sequence < before);
      const page = takePage(rest, { size: readPageSize(request.pageSize), kind });
      return {
        servers: page.items.map((server) => realServerMessage(server, lineage, service, liveOf)),
        nextPageToken: page.nextPageToken,
      };
    },
    listVips: async () => ({ vips: [...vipsOf(director.state.model).values()] }),
    getMarkRules: async () => {
      const { model, lineage } = director.state;
      return { markRules: markRulesMessage(model) ?? {}, revision: revisionText(lineage, model.revision) };
    },
    listPrefixLists: async ({ name, namesOnly }) => {
      const { model, lineage } = director.state;
      const { services, prefixLists } = model;
      if (name !== '' && !prefixLists.has(name)) {
        const message = `there is no prefix list "${name}"`;
        throw new FulcrumError({ reason: 'REASON_PREFIX_LIST_NOT_FOUND', field: 'name', message });
      }
      const wanted = [...prefixLists.values()].filter((list) => name === '' || list.name === name);
      return {
        lists: wanted.map((list) => ({
          list: namesOnly ? { name: list.name } : list,
          prefixes: list.prefixes.length,
          services: [...services.values()].filter(({ traffic }) => refersTo(traffic, list.name)).map(({ key }) => key),
        })),
        revision: revisionText(lineage, model.revision),
      };
    },
    getTimeouts: async () => ({ timeouts: director.state.model.timeouts }),
    watch: (_request, { signal }): AsyncIterable<WatchResponse> => broadcaster.watch(director.state.model, signal),
  };
}
