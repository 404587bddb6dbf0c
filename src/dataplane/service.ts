// SPDX-License-Identifier: Apache-2.0
// fulcrum.dataplane.v1 over the engine: the bytes of a request go to the addon, the bytes of its answer go back.
import type { MethodDefinition, Server, ServiceDefinition } from '@grpc/grpc-js';
import { FulcrumError, isStatusName } from '../grpc/errors.js';
import { addService, type CallContext } from '../grpc/handlers.js';
import type { Logger } from '../grpc/log.js';
import type { Addon } from './addon.js';
import type { EventFanout } from './event_fanout.js';

const asBytes = (value: unknown): Buffer => {
  const bytes = value as Uint8Array;
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
};

/** The same methods, with messages left as the bytes they are. */
function withoutDecoding(definition: ServiceDefinition): ServiceDefinition {
  const raw = (method: MethodDefinition<unknown, unknown>): MethodDefinition<unknown, unknown> => ({
    ...method,
    requestSerialize: asBytes,
    requestDeserialize: asBytes,
    responseSerialize: asBytes,
    responseDeserialize: asBytes,
  });
  return Object.fromEntries(Object.entries(definition).map(([name, method]) => [name, raw(method)]));
}

/** Adds a service of the engine to a server. Streams are the engine's events. */
export function addEngineService(
  server: Server,
  definition: ServiceDefinition,
  addon: Pick<Addon, 'call'>,
  events: EventFanout,
  log: Logger,
): void {
  const handlers: Record<string, unknown> = {};
  for (const [name, method] of Object.entries(definition)) {
    const key = name.charAt(0).toLowerCase() + name.slice(1);
    handlers[key] = method.responseStream
      ? (_request: Uint8Array, context: CallContext) => events.subscribe(context.signal)
      : (request: Uint8Array) => callEngine(addon, name, request);
  }
  addService(server, withoutDecoding(definition), handlers, log);
}

async function callEngine(addon: Pick<Addon, 'call'>, method: string, request: Uint8Array): Promise<Uint8Array> {
  try {
    return await addon.call(method, request);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (!isStatusName(code)) throw error;
    throw new FulcrumError({ code, message, cause: error });
  }
}
