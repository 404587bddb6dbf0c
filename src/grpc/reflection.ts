// SPDX-License-Identifier: Apache-2.0
// Server reflection, v1 and v1alpha, over the descriptor set that the build makes: the files are given out byte by byte
// as the compiler wrote them, imports included. (Descriptors that proto-loader makes up lack their dependencies, and
// clients refuse them: grpc/grpc-node #2595.) Only what the index needs is read out of them.
import { type Server, type ServerDuplexStream, type ServiceDefinition, status } from '@grpc/grpc-js';
import type { ServiceDefinition as LoadedService } from '@grpc/proto-loader';
import { describedHealthService, reflectionService } from './standard_services.js';

// Numbers of the fields in google/protobuf/descriptor.proto that the index is made of.
const fileDescriptorSet = { file: 1 };
const fileDescriptor = { name: 1, package: 2, dependency: 3, message: 4, enumeration: 5, service: 6, extension: 7 };
const messageDescriptor = { name: 1, field: 2, nested: 3, enumeration: 4, extension: 6, oneof: 8 };
const enumDescriptor = { name: 1, value: 2 };
const serviceDescriptor = { name: 1, method: 2 };
const anyName = 1;

interface DescribedFile {
  readonly bytes: Buffer;
  readonly dependencies: readonly string[];
}

/** Files by name, and the file that defines each symbol. */
export interface DescriptorIndex {
  readonly files: ReadonlyMap<string, DescribedFile>;
  readonly symbols: ReadonlyMap<string, string>;
}

function readVarint(bytes: Buffer, start: number): { readonly value: number; readonly next: number } {
  let value = 0;
  for (let at = start, scale = 1; ; at++, scale *= 128) {
    const byte = bytes[at];
    if (byte === undefined) throw new Error('descriptor set is cut off');
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return { value, next: at + 1 };
  }
}

/** Length-delimited fields of a serialized message, as [number, bytes]; others are stepped over. */
function* lengthDelimited(bytes: Buffer): Generator<readonly [number, Buffer]> {
  for (let at = 0; at < bytes.length; ) {
    const tag = readVarint(bytes, at);
    const wireType = tag.value % 8;
    at = tag.next;
    if (wireType === 2) {
      const length = readVarint(bytes, at);
      at = length.next + length.value;
      if (at > bytes.length) throw new Error('descriptor set is cut off');
      yield [Math.floor(tag.value / 8), bytes.subarray(length.next, at)];
    } else if (wireType === 0) at = readVarint(bytes, at).next;
    else if (wireType === 1) at += 8;
    else if (wireType === 5) at += 4;
    else throw new Error(`descriptor set has a field of wire type ${wireType}`);
  }
}

function texts(bytes: Buffer, field: number): string[] {
  return all(bytes, field).map((value) => value.toString());
}

function all(bytes: Buffer, field: number): Buffer[] {
  return [...lengthDelimited(bytes)].filter(([number]) => number === field).map(([, value]) => value);
}

function qualified(scope: string, bytes: Buffer): string {
  const name = texts(bytes, anyName)[0] ?? '';
  return scope === '' ? name : `${scope}.${name}`;
}

function* enumSymbols(scope: string, bytes: Buffer): Generator<string> {
  yield qualified(scope, bytes);
  // An enum's values are siblings of the enum.
  for (const value of all(bytes, enumDescriptor.value)) yield qualified(scope, value);
}

function* messageSymbols(scope: string, bytes: Buffer): Generator<string> {
  const name = qualified(scope, bytes);
  yield name;
  for (const field of [messageDescriptor.field, messageDescriptor.oneof, messageDescriptor.extension]) {
    for (const member of all(bytes, field)) yield qualified(name, member);
  }
  for (const nested of all(bytes, messageDescriptor.nested)) yield* messageSymbols(name, nested);
  for (const nested of all(bytes, messageDescriptor.enumeration)) yield* enumSymbols(name, nested);
}

function* fileSymbols(bytes: Buffer): Generator<string> {
  const scope = texts(bytes, fileDescriptor.package)[0] ?? '';
  for (const message of all(bytes, fileDescriptor.message)) yield* messageSymbols(scope, message);
  for (const enumeration of all(bytes, fileDescriptor.enumeration)) yield* enumSymbols(scope, enumeration);
  for (const extension of all(bytes, fileDescriptor.extension)) yield qualified(scope, extension);
  for (const service of all(bytes, fileDescriptor.service)) {
    const name = qualified(scope, service);
    yield name;
    for (const method of all(service, serviceDescriptor.method)) yield qualified(name, method);
  }
}

/** Splits a serialized FileDescriptorSet into its files. */
export function splitDescriptorSet(set: Buffer): Buffer[] {
  return all(set, fileDescriptorSet.file);
}

/** Indexes serialized FileDescriptorProtos. */
export function indexDescriptors(fileDescriptors: Iterable<Buffer>): DescriptorIndex {
  const files = new Map<string, DescribedFile>();
  const symbols = new Map<string, string>();
  for (const bytes of fileDescriptors) {
    const name = texts(bytes, fileDescriptor.name)[0] ?? '';
    files.set(name, { bytes, dependencies: texts(bytes, fileDescriptor.dependency) });
    for (const symbol of fileSymbols(bytes)) symbols.set(symbol, name);
  }
  return { files, symbols };
}

/** A file and everything that it imports, directly or not. */
function closure(index: DescriptorIndex, name: string, found = new Map<string, Buffer>()): Map<string, Buffer> {
  const file = index.files.get(name);
  if (file === undefined || found.has(name)) return found;
  found.set(name, file.bytes);
  for (const dependency of file.dependencies) closure(index, dependency, found);
  return found;
}

interface ReflectionRequest {
  readonly messageRequest?: string;
  readonly fileByFilename?: string;
  readonly fileContainingSymbol?: string;
}

function answer(index: DescriptorIndex, services: readonly string[], request: ReflectionRequest): object {
  switch (request.messageRequest) {
    case 'listServices':
      return { listServicesResponse: { service: services.map((name) => ({ name })) } };
    case 'fileByFilename':
      return filesAnswer(index, request.fileByFilename, `file ${request.fileByFilename}`);
    case 'fileContainingSymbol':
      return filesAnswer(
        index,
        index.symbols.get(request.fileContainingSymbol ?? ''),
        `symbol ${request.fileContainingSymbol}`,
      );
    default:
      // proto3 has no extensions.
      return errorAnswer(status.NOT_FOUND, 'no extensions are defined here');
  }
}

function filesAnswer(index: DescriptorIndex, name: string | undefined, what: string): object {
  const files = [...closure(index, name ?? '').values()];
  if (files.length === 0) return errorAnswer(status.NOT_FOUND, `${what} is not known`);
  return { fileDescriptorResponse: { fileDescriptorProto: files } };
}

function errorAnswer(errorCode: number, errorMessage: string): object {
  return { errorResponse: { errorCode, errorMessage } };
}

/** Descriptors that proto-loader makes for a service without imports; good enough for those. */
function ownDescriptors(definition: LoadedService): Buffer[] {
  return Object.values(definition).flatMap((method) => method.requestType.fileDescriptorProtos);
}

/**
 * Adds reflection to a server that also has the health service.
 * @param descriptorSet Serialized FileDescriptorSet with imports.
 * @param services Full names of the services to list, besides health and reflection itself.
 */
export function addReflection(server: Server, descriptorSet: Buffer, services: readonly string[]): void {
  const reflection = {
    'grpc.reflection.v1.ServerReflection': reflectionService('v1'),
    'grpc.reflection.v1alpha.ServerReflection': reflectionService('v1alpha'),
  };
  const standard = { 'grpc.health.v1.Health': describedHealthService(), ...reflection };
  const descriptors = [...Object.values(standard).flatMap(ownDescriptors), ...splitDescriptorSet(descriptorSet)];
  const index = indexDescriptors(descriptors);
  const listed = [...services, ...Object.keys(standard)];
  const serve = (call: ServerDuplexStream<ReflectionRequest & { host?: string }, object>) => {
    call.on('data', (request) => {
      call.write({ validHost: request.host, originalRequest: request, ...answer(index, listed, request) });
    });
    call.on('end', () => call.end());
    call.on('error', () => {}); // The client is gone.
  };
  for (const definition of Object.values(reflection)) {
    server.addService(definition as unknown as ServiceDefinition, { ServerReflectionInfo: serve });
  }
}
