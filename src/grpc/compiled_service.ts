// SPDX-License-Identifier: Apache-2.0
// A service definition from messages that the build has parsed before: a command starts in half the time that parsing
// the .proto files takes. What it makes behaves as proto-loader's does with messageOptions.
import { readFileSync, statSync } from 'node:fs';
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import Long from 'long';
import protobuf from 'protobufjs/light.js';

// As proto-loader does: 64-bit numbers lose no digit.
protobuf.util.Long = Long as unknown as typeof protobuf.util.Long;
protobuf.configure();

/** The service, or undefined if the file is not there or older than one of its sources. */
export function compiledService(
  path: string,
  sources: readonly string[],
  name: string,
  options: protobuf.IConversionOptions,
): ServiceDefinition | undefined {
  const made = changedAt(path);
  if (made === undefined || sources.some((source) => (changedAt(source) ?? 0) > made)) return undefined;
  const root = protobuf.Root.fromJSON(JSON.parse(readFileSync(path, 'utf8')));
  root.resolveAll();
  const methods = root
    .lookupService(name)
    .methodsArray.map((method) => [method.name, definitionOf(method, name, options)]);
  return Object.fromEntries(methods);
}

function changedAt(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

function definitionOf(method: protobuf.Method, service: string, options: protobuf.IConversionOptions) {
  const { resolvedRequestType: request, resolvedResponseType: response } = method;
  if (!request || !response) throw new Error(`${service}.${method.name} has no messages`);
  const definition: MethodDefinition<object, object> = {
    path: `/${service}/${method.name}`,
    requestStream: method.requestStream ?? false,
    responseStream: method.responseStream ?? false,
    requestSerialize: (message) => bytesOf(request, message),
    requestDeserialize: (bytes) => request.toObject(request.decode(bytes), options),
    responseSerialize: (message) => bytesOf(response, message),
    responseDeserialize: (bytes) => response.toObject(response.decode(bytes), options),
    originalName: method.name.charAt(0).toLowerCase() + method.name.slice(1),
  };
  return definition;
}

function bytesOf(type: protobuf.Type, message: object): Buffer {
  const bytes = type.encode(type.fromObject(message)).finish();
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes);
}
