// SPDX-License-Identifier: Apache-2.0
// Clients with promises: unary calls return one, server streams are async iterables, and both fail with FulcrumError.
// openDirector() is what commands use: it finds the socket, and makes sure that the director of this network namespace
// is the one that answers.
import { resolve } from 'node:path';
import {
  type CallOptions,
  type ChannelOptions,
  Client,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceDefinition,
  type ServiceError,
} from '@grpc/grpc-js';
import type { DataplaneServiceDefinition } from '../generated/fulcrum/dataplane/v1/DataplaneService.js';
import type { DataplaneTestServiceDefinition } from '../generated/fulcrum/dataplane/v1/DataplaneTestService.js';
import type { DirectorServiceDefinition } from '../generated/fulcrum/v1/DirectorService.js';
import { FulcrumError, fromServiceError } from './errors.js';
import { loadDataplaneServices, loadDirectorService } from './loader.js';
import { findManagerSocket, networkNamespaceInode } from './paths.js';

/** Largest message either side takes: a bulk edit of a million real servers fits. */
export const maxMessageBytes = 256 * 1024 * 1024;

export interface CallSettings {
  /** Milliseconds until the call fails with DEADLINE_EXCEEDED; default 10 s for unary calls, none for streams. */
  readonly timeoutMs?: number | undefined;
  /** Ends the call with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
}

type AnyMethod = { requestSerialize: (value: never) => Buffer; responseDeserialize: (bytes: Buffer) => unknown };
type RequestOf<M> = M extends { requestSerialize: (value: infer R) => Buffer } ? R : never;
type ResponseOf<M> = M extends { responseDeserialize: (bytes: Buffer) => infer R } ? R : never;
/** "GetStatus" → "getStatus"; drops the index signature that grpc-js puts into every service definition. */
type MethodKey<K> = string extends K ? never : K extends string ? Uncapitalize<K> : never;

/** Methods of a service definition as functions; those named in Streams return an async iterable. */
export type PromiseClient<D, Streams extends string = never> = {
  readonly [K in keyof D as MethodKey<K>]: D[K] extends AnyMethod
    ? K extends Streams
      ? (request: RequestOf<D[K]>, settings?: CallSettings) => AsyncIterable<ResponseOf<D[K]>>
      : (request: RequestOf<D[K]>, settings?: CallSettings) => Promise<ResponseOf<D[K]>>
    : never;
} & { readonly close: () => void };

/** Methods that return a stream. */
export type DirectorStreams = 'Watch' | 'WatchDrain' | 'Trace';

export type DirectorClient = PromiseClient<DirectorServiceDefinition, DirectorStreams>;
export type DataplaneClient = PromiseClient<DataplaneServiceDefinition, 'WatchEvents'>;
export type DataplaneTestClient = PromiseClient<DataplaneTestServiceDefinition>;

/** "unix:/absolute/path" for a socket's path. */
export function socketTarget(path: string): string {
  return `unix:${resolve(path)}`;
}

/** A client for the fulcrum.v1 API at a socket. Connects with the first call; close() it. */
export function connectDirector(socket: string): DirectorClient {
  return promiseClient<DirectorServiceDefinition, DirectorStreams>(socketTarget(socket), loadDirectorService());
}

/** A client for the private API of a dataplane at a socket. */
export function connectDataplane(socket: string): DataplaneClient {
  return promiseClient<DataplaneServiceDefinition, 'WatchEvents'>(
    socketTarget(socket),
    loadDataplaneServices().dataplane,
  );
}

/** A client for DataplaneTestService. */
export function connectDataplaneTest(socket: string): DataplaneTestClient {
  return promiseClient(socketTarget(socket), loadDataplaneServices().test);
}

/**
 * Finds and connects the director: at the socket given, else FULCRUM_SOCKET, else at the default place of this network
 * namespace. There, whoever answers is asked for its namespace. Fails with UNAVAILABLE if nobody or somebody else does.
 */
export async function openDirector(given?: string): Promise<DirectorClient> {
  const socket = findManagerSocket(given);
  const client = connectDirector(socket.path);
  try {
    const answer = await client.getStatus({});
    if (socket.byNamespace) checkNamespace(socket.path, answer.networkNamespace);
    return client;
  } catch (error) {
    client.close();
    throw unreachable(socket.path, error);
  }
}

function checkNamespace(path: string, theirs: string): void {
  const own = String(networkNamespaceInode());
  if (theirs === own) return;
  const message = `the director at ${path} serves network namespace ${theirs}, but this one is ${own}: its socket was left there under a number used again; start a director here, or name one with --socket`;
  throw new FulcrumError({ code: 'UNAVAILABLE', message });
}

function unreachable(path: string, error: unknown): unknown {
  if (!(error instanceof FulcrumError) || error.code !== 'UNAVAILABLE' || error.cause === undefined) return error;
  const why = /E[A-Z]{3,}/.exec(error.message)?.[0] ?? error.message;
  const message = `no director answers at ${path} (${why}): is it running in this network namespace? Start it with "fulcrum up", or name its socket with --socket or FULCRUM_SOCKET`;
  return new FulcrumError({ code: 'UNAVAILABLE', message, cause: error });
}

/** A promise client of any service definition at any target. */
export function promiseClient<D extends ServiceDefinition, Streams extends string = never>(
  target: string,
  definition: D,
  options: ChannelOptions = {},
  channelCredentials = credentials.createInsecure(),
): PromiseClient<D, Streams> {
  const client = new Client(target, channelCredentials, {
    'grpc.max_receive_message_length': maxMessageBytes,
    'grpc.max_send_message_length': maxMessageBytes,
    ...options,
  });
  const methods: Record<string, unknown> = { close: () => client.close() };
  for (const [name, method] of Object.entries(definition)) {
    const key = name.charAt(0).toLowerCase() + name.slice(1);
    methods[key] = method.responseStream
      ? (request: unknown, settings?: CallSettings) => stream(client, method, request, settings ?? {})
      : (request: unknown, settings?: CallSettings) => unary(client, method, request, settings ?? {});
  }
  return methods as PromiseClient<D, Streams>;
}

type Method = MethodDefinition<unknown, unknown>;

function callOptions(timeoutMs: number | undefined): CallOptions {
  return timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
}

function unary(client: Client, method: Method, request: unknown, settings: CallSettings): Promise<unknown> {
  return new Promise((done, fail) => {
    const { signal, timeoutMs = 10_000 } = settings;
    if (signal?.aborted) {
      fail(cancelled());
      return;
    }
    const call = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      new Metadata(),
      callOptions(timeoutMs),
      (error, response) => {
        signal?.removeEventListener('abort', abort);
        if (error) fail(fromServiceError(error));
        else done(response);
      },
    );
    const abort = () => call.cancel();
    signal?.addEventListener('abort', abort, { once: true });
  });
}

function cancelled(): FulcrumError {
  return new FulcrumError({ code: 'CANCELLED', message: 'the call was cancelled' });
}

async function* stream(
  client: Client,
  method: Method,
  request: unknown,
  settings: CallSettings,
): AsyncGenerator<unknown> {
  const { signal, timeoutMs } = settings;
  if (signal?.aborted) throw cancelled();
  const call = client.makeServerStreamRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    request,
    new Metadata(),
    callOptions(timeoutMs),
  );
  const abort = () => call.cancel();
  signal?.addEventListener('abort', abort, { once: true });
  try {
    yield* call;
  } catch (error) {
    throw isServiceError(error) ? fromServiceError(error) : error;
  } finally {
    signal?.removeEventListener('abort', abort);
    call.on('error', () => {}); // The cancellation itself, when the reader stops early.
    call.cancel();
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && 'code' in error && 'details' in error;
}
