// SPDX-License-Identifier: Apache-2.0
// Handlers of the calls that end connections, at once or by a drain.
import type { DirectorServiceDefinition } from '../generated/fulcrum/v1/DirectorService.js';
import type { WatchDrainResponse } from '../generated/fulcrum/v1/WatchDrainResponse.js';
import type { DirectorStreams } from '../grpc/client.js';
import type { CallContext, Handlers } from '../grpc/handlers.js';
import { filterText, readConnectionFilter } from './connection_filter.js';
import { type ServiceKey, serviceId } from './nouns.js';
import { findService, type ServiceContext } from './service_context.js';
import { invalid, outOfRange, readServerKey, readServiceKey } from './validate.js';

type AllHandlers = Handlers<DirectorServiceDefinition, DirectorStreams>;
export type ConnectionHandlers = Pick<AllHandlers, 'deleteConnections' | 'watchDrain'>;
type RequestOf<M extends keyof ConnectionHandlers> = Parameters<ConnectionHandlers[M]>[0];

const defaultIntervalMs = 1_000;
const shortestIntervalMs = 100;

export function connectionHandlers(context: ServiceContext): ConnectionHandlers {
  return {
    deleteConnections: async (request, call) => {
      try {
        return await deleteConnections(context, request, call);
      } catch (error) {
        context.audit.called(call, '', error);
        throw error;
      }
    },
    watchDrain: (request, call) => watchDrain(context, request, call),
  };
}

async function deleteConnections(
  { reconciler, report, audit }: ServiceContext,
  request: RequestOf<'deleteConnections'>,
  call: CallContext,
) {
  const { signal, identity } = call;
  const filter = readConnectionFilter(request.filter, 'filter');
  const isEmpty = Object.keys(filter).length === 0;
  if (isEmpty && !request.all) throw invalid('filter', 'is empty: set all if every connection is meant');
  if (!isEmpty && request.all) throw invalid('all', 'is for an empty filter');
  const { reset, templates, validateOnly: countOnly } = request;
  const dataplane = reconciler.dataplane();
  const answer = await dataplane.deleteConnections({ filter, reset, templates, countOnly }, { signal });
  if (!countOnly) {
    const which = filterText(filter, filter.service ? serviceId(filter.service as ServiceKey) : '');
    const how = `${reset ? 'with a reset' : 'without a reset'}, and ${answer.templates} templates`;
    const message = `${answer.connections} ${how}, by ${identity}: ${which}`;
    report('connections_deleted', message);
    audit.called(call, `${answer.connections} connections deleted ${how}: ${which}`);
  }
  return { connections: answer.connections, templates: answer.templates };
}

async function* watchDrain(
  { director, drainer }: ServiceContext,
  request: RequestOf<'watchDrain'>,
  { signal }: CallContext,
): AsyncGenerator<WatchDrainResponse> {
  const service = readServiceKey(request.service, 'service');
  const key = readServerKey(request.key, 'key');
  const intervalMs = request.intervalMs || defaultIntervalMs;
  if (intervalMs < shortestIntervalMs)
    throw outOfRange('interval_ms', `${intervalMs} is less than ${shortestIntervalMs}`);
  findService(director.state.model, service, 'service');
  yield* drainer.watch(service, key, intervalMs, signal);
}
