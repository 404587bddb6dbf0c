// SPDX-License-Identifier: Apache-2.0
// fulcrum.v1.DirectorService. Handlers only translate: edits go through the director, reads come from its state, and
// what only the dataplane knows is asked of it.
import type { Server } from '@grpc/grpc-js';
import type { DirectorServiceDefinition } from '../generated/fulcrum/v1/DirectorService.js';
import type { DirectorStreams } from '../grpc/client.js';
import { addService } from '../grpc/handlers.js';
import type { Logger } from '../grpc/log.js';
import { connectionHandlers } from './service_connections.js';
import type { ServiceContext } from './service_context.js';
import { dataplaneHandlers } from './service_dataplane.js';
import { editHandlers } from './service_edits.js';
import { historyHandlers } from './service_history.js';
import { planHandlers } from './service_plan.js';
import { readHandlers } from './service_reads.js';
import { traceHandlers } from './service_trace.js';

export const directorServiceName = 'fulcrum.v1.DirectorService';

export function addDirectorService(
  server: Server,
  definition: DirectorServiceDefinition,
  context: ServiceContext,
  log: Logger,
): void {
  const handlers = {
    ...editHandlers(context),
    ...readHandlers(context),
    ...dataplaneHandlers(context),
    ...connectionHandlers(context),
    ...historyHandlers(context),
    ...planHandlers(context),
    ...traceHandlers(context),
  };
  addService<DirectorServiceDefinition, DirectorStreams>(server, definition, handlers, log);
}
