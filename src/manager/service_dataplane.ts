// SPDX-License-Identifier: Apache-2.0
// Handlers of the calls about what the dataplane does: connections, statistics, neighbours, ports, status.
import { type TunableValues, withDefaults } from '../config/tunables.js';
import type { DataplaneStatus } from '../generated/fulcrum/v1/DataplaneStatus.js';
import type { DirectorServiceDefinition } from '../generated/fulcrum/v1/DirectorService.js';
import type { DirectorStreams } from '../grpc/client.js';
import { FulcrumError } from '../grpc/errors.js';
import type { CallContext, Handlers } from '../grpc/handlers.js';
import { networkNamespaceInode } from '../grpc/paths.js';
import { readConnectionFilter } from './connection_filter.js';
import { revisionText } from './messages.js';
import { countServers } from './model.js';
import { pageToken, readPageSize, readPageToken } from './pages.js';
import type { Reconciler, ReconcilerStatus } from './reconciler.js';
import { findService, type ServiceContext } from './service_context.js';
import { mergeServices, sumVerdicts } from './statistics.js';
import { invalid, readServiceKey } from './validate.js';
import { version } from './version.js';

type AllHandlers = Handlers<DirectorServiceDefinition, DirectorStreams>;
export type DataplaneHandlers = Pick<
  AllHandlers,
  'listConnections' | 'getStatistics' | 'listNeighbors' | 'listPorts' | 'listRoutes' | 'getStatus' | 'getTunables'
>;

/** How long empty pages of the dataplane are passed over, when a filter leaves little. */
const searchMs = 1_000;
const statusTimeoutMs = 1_000;
const startedAt = performance.now();

export function dataplaneHandlers(context: ServiceContext): DataplaneHandlers {
  const { director, reconciler } = context;
  return {
    listConnections: (request, call) => listConnections(reconciler, request, call),
    getStatistics: async ({ service: given, estimated }, { signal }) => {
      const { model } = director.state;
      const service = given ? findService(model, readServiceKey(given, 'service'), 'service') : undefined;
      const answer = await reconciler
        .dataplane()
        .getStatistics({ service: service?.key ?? null, estimated }, { signal });
      if (service !== undefined) return { services: mergeServices([service], answer.services) };
      return {
        services: mergeServices(model.services.values(), answer.services),
        workers: answer.workers,
        verdicts: sumVerdicts(answer.workers),
      };
    },
    listNeighbors: async (_request, { signal }) => await reconciler.dataplane().listNeighbors({}, { signal }),
    listPorts: async (_request, { signal }) => await reconciler.dataplane().listPorts({}, { signal }),
    listRoutes: async (_request, { signal }) => await reconciler.dataplane().listRoutes({}, { signal }),
    getTunables: async (_request, { signal }) => {
      const { model, lineage } = director.state;
      const state = await freshState(reconciler, signal);
      return { tunables: readings(model.tunables, state), revision: revisionText(lineage, model.revision) };
    },
    getStatus: async (_request, { signal }) => {
      const dataplane = await dataplaneStatus(context, signal);
      const { model, lineage } = director.state;
      return {
        version,
        pid: process.pid,
        networkNamespace: networkNamespaceInode(),
        revision: revisionText(lineage, model.revision),
        services: model.services.size,
        servers: countServers(model),
        uptimeMs: Math.round(performance.now() - startedAt),
        dataplane,
      };
    },
  };
}

/** LVS shows the automatic mode of a defence as 2 while it is at work. */
function readings(configured: TunableValues, state: ReconcilerStatus['state']): TunableValues {
  const values = withDefaults(configured);
  const reading = (value: number, isActive: boolean | undefined) => (value === 1 && isActive ? 2 : value);
  return {
    ...values,
    secureTcp: reading(values.secureTcp, state?.secureTcpActive),
    dropEntry: reading(values.dropEntry, state?.dropEntryActive),
    dropPacket: reading(values.dropPacket, state?.dropPacketActive),
  };
}

async function dataplaneStatus(
  { director, reconciler, verifier }: ServiceContext,
  signal: AbortSignal,
): Promise<DataplaneStatus> {
  const state = await freshState(reconciler, signal);
  const { connected, generationApplied, lastError, retryInMs } = reconciler.status();
  return {
    connected,
    instanceId: state?.instanceId ?? '',
    generationWanted: director.state.generation,
    generationApplied,
    lastError,
    retryInMs,
    pid: state?.pid ?? 0,
    workers: state?.workers ?? 0,
    memory: state?.memory ?? '',
    uptimeMs: state?.uptimeMs ?? 0,
    connections: state?.connections ?? 0,
    connectionCapacity: state?.connectionCapacity ?? 0,
    dpdkVersion: state?.dpdkVersion ?? '',
    overloads: state?.overloads ?? [],
    disagreements: [...verifier.disagreements],
    comparedAt: verifier.comparedAt,
  };
}

/** The dataplane's own words; those of the last time if it does not answer. Undefined while it is not connected. */
async function freshState(reconciler: Reconciler, signal: AbortSignal): Promise<ReconcilerStatus['state']> {
  const { connected, state } = reconciler.status();
  if (!connected) return undefined;
  try {
    return await reconciler.dataplane().getState({}, { signal, timeoutMs: statusTimeoutMs });
  } catch {
    return state;
  }
}

interface Cursor {
  readonly instanceId: string;
  readonly position: string;
}

function readCursor(token: string, instanceId: string): Cursor {
  const value = readPageToken(token, 'connections');
  if (value === undefined) return { instanceId, position: '0' };
  const match = /^(\d+)@(.*)$/.exec(value);
  if (match === null) throw invalid('page_token', 'was not given by this list');
  if (match[2] === instanceId) return { instanceId, position: match[1] ?? '0' };
  const message = 'the dataplane was restarted since; begin the listing again';
  throw new FulcrumError({ code: 'ABORTED', reason: 'REASON_STALE', field: 'page_token', message });
}

async function listConnections(
  reconciler: Reconciler,
  request: Parameters<DataplaneHandlers['listConnections']>[0],
  { signal }: CallContext,
) {
  const dataplane = reconciler.dataplane();
  const filter = readConnectionFilter(request.filter, 'filter');
  const { instanceId, position } = readCursor(request.pageToken, reconciler.status().state?.instanceId ?? '');
  const pageSize = readPageSize(request.pageSize);
  const end = performance.now() + searchMs;
  for (let cursor = position; ; ) {
    const page = await dataplane.listConnections({ pageSize, cursor, filter }, { signal });
    cursor = page.nextCursor;
    if (cursor === '0') return { connections: page.connections, nextPageToken: '' };
    if (page.connections.length > 0 || performance.now() > end) {
      return { connections: page.connections, nextPageToken: pageToken('connections', `${cursor}@${instanceId}`) };
    }
  }
}
