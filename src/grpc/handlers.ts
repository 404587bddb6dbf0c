// SPDX-License-Identifier: Apache-2.0
// Turns promise handlers into what grpc-js wants. A handler gets the request and a context whose signal aborts when the
// client cancels, its deadline passes or the server stops; it returns the answer (or an async iterable) or throws.
import { once } from 'node:events';
import {
  type MethodDefinition,
  type Server,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type sendUnaryData,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { type Caller, callerOf, localCaller, type Role } from './caller.js';
import { FulcrumError, toStatus } from './errors.js';
import type { Logger } from './log.js';

export interface CallContext {
  /** Aborts when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
  /** When the client stops waiting, in milliseconds since the epoch; Infinity if it set no deadline. */
  readonly deadlineMs: number;
  /** Who calls: see Caller. */
  readonly identity: string;
  readonly role: Role;
  readonly peer: string;
  /** "/fulcrum.v1.DirectorService/Apply". */
  readonly method: string;
}

type AnyMethod = { requestDeserialize: (bytes: Buffer) => unknown; responseSerialize: (value: never) => Buffer };
type RequestOf<M> = M extends { requestDeserialize: (bytes: Buffer) => infer R } ? R : never;
type ResponseOf<M> = M extends { responseSerialize: (value: infer R) => Buffer } ? R : never;
type MethodKey<K> = string extends K ? never : K extends string ? Uncapitalize<K> : never;

/** One function a method of a service definition; those named in Streams return an async iterable. */
export type Handlers<D, Streams extends string = never> = {
  readonly [K in keyof D as MethodKey<K>]: D[K] extends AnyMethod
    ? K extends Streams
      ? (request: RequestOf<D[K]>, context: CallContext) => AsyncIterable<ResponseOf<D[K]>>
      : (request: RequestOf<D[K]>, context: CallContext) => Promise<ResponseOf<D[K]>>
    : never;
};

type UntypedHandler = (request: unknown, context: CallContext) => Promise<unknown>;
type UntypedStream = (request: unknown, context: CallContext) => AsyncIterable<unknown>;

/** Adds a service to a server. Errors that are not a FulcrumError are logged and answered with INTERNAL. */
export function addService<D extends ServiceDefinition, Streams extends string = never>(
  server: Server,
  definition: D,
  handlers: Handlers<D, Streams>,
  log: Logger,
): void {
  const implementation: UntypedServiceImplementation = {};
  for (const [name, method] of Object.entries(definition)) {
    const key = name.charAt(0).toLowerCase() + name.slice(1);
    const handler = (handlers as Record<string, unknown>)[key];
    implementation[name] = method.responseStream
      ? serveStream(handler as UntypedStream, method, log)
      : serveUnary(handler as UntypedHandler, method, log);
  }
  server.addService(definition, implementation);
}

type Call = ServerUnaryCall<unknown, unknown> | ServerWritableStream<unknown, unknown>;

function contextOf(call: Call, method: MethodDefinition<unknown, unknown>, signal: AbortSignal): CallContext {
  const deadline = call.getDeadline();
  return {
    signal,
    deadlineMs: deadline instanceof Date ? deadline.getTime() : deadline,
    ...whoCalls(call),
    method: method.path,
  };
}

/** What came over the network must have passed a gate that knows who sent it. */
function whoCalls(call: Call): Caller {
  const caller = callerOf(call.metadata);
  if (caller !== undefined) return caller;
  if (call.getAuthContext().transportSecurityType === undefined) return localCaller;
  throw new FulcrumError({ code: 'UNAUTHENTICATED', message: 'nobody knows who makes this call' });
}

function failure(error: unknown, method: MethodDefinition<unknown, unknown>, log: Logger) {
  if (!(error instanceof FulcrumError)) log.error({ err: error, method: method.path }, 'call failed');
  return toStatus(error);
}

function serveUnary(handler: UntypedHandler, method: MethodDefinition<unknown, unknown>, log: Logger) {
  return (call: ServerUnaryCall<unknown, unknown>, answer: sendUnaryData<unknown>) => {
    const controller = new AbortController();
    call.on('cancelled', () => controller.abort());
    Promise.resolve()
      .then(() => handler(call.request, contextOf(call, method, controller.signal)))
      .then(
        (response) => answer(null, response),
        (error) => answer(failure(error, method, log)),
      );
  };
}

function serveStream(handler: UntypedStream, method: MethodDefinition<unknown, unknown>, log: Logger) {
  return (call: ServerWritableStream<unknown, unknown>) => {
    const controller = new AbortController();
    call.on('cancelled', () => controller.abort());
    call.on('close', () => controller.abort());
    const messages = () => handler(call.request, contextOf(call, method, controller.signal));
    pump(call, messages, controller.signal).then(
      () => call.end(),
      (error) => {
        if (!controller.signal.aborted) call.emit('error', { code: status.UNKNOWN, ...failure(error, method, log) });
      },
    );
  };
}

/** Who takes nothing for so long is not waited for. */
const stallMs = 60_000;

/** Writes no faster than the reader reads. */
async function pump(
  call: ServerWritableStream<unknown, unknown>,
  messages: () => AsyncIterable<unknown>,
  signal: AbortSignal,
): Promise<void> {
  for await (const message of messages()) {
    if (signal.aborted) return;
    if (!call.write(message)) await drained(call, signal);
  }
}

async function drained(call: ServerWritableStream<unknown, unknown>, signal: AbortSignal): Promise<void> {
  const stall = AbortSignal.timeout(stallMs);
  try {
    await once(call, 'drain', { signal: AbortSignal.any([signal, stall]) });
  } catch (error) {
    if (!stall.aborted || signal.aborted) throw error;
    const message = `the reader has taken nothing for ${stallMs / 1_000} s: read on from a new call`;
    throw new FulcrumError({ code: 'RESOURCE_EXHAUSTED', message });
  }
}
