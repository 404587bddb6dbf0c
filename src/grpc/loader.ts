// SPDX-License-Identifier: Apache-2.0
// Loads the project's .proto files with the one set of options that everything shares; src/generated is made with the
// same ones. Works from src/ (tsx) and from dist/: the project's root is the nearest directory above with proto/fulcrum.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type * as ProtoLoader from '@grpc/proto-loader';
import type { DataplaneServiceDefinition } from '../generated/fulcrum/dataplane/v1/DataplaneService.js';
import type { DataplaneTestServiceDefinition } from '../generated/fulcrum/dataplane/v1/DataplaneTestService.js';
import type { DirectorServiceDefinition } from '../generated/fulcrum/v1/DirectorService.js';
import { compiledService } from './compiled_service.js';

function findProjectRoot(from: string): string {
  for (let directory = from; ; directory = dirname(directory)) {
    if (existsSync(join(directory, 'proto', 'fulcrum'))) return directory;
    if (directory === dirname(directory)) throw new Error(`no directory above ${from} has proto/fulcrum in it`);
  }
}

/** Directory with package.json, proto/ and dist/. */
export const projectRoot = findProjectRoot(dirname(fileURLToPath(import.meta.url)));

/** Directory of the .proto files. */
export const protoRoot = join(projectRoot, 'proto');

/** The descriptor set that the build makes: what reflection serves. */
export const descriptorSetPath = join(projectRoot, 'dist', 'descriptors.binpb');

/** The management API's messages as the build has parsed them. */
export const compiledDirectorPath = join(projectRoot, 'dist', 'director.json');

/** How messages look in JavaScript: camelCase names, 64-bit numbers as text, enums by name, absent fields filled in. */
export const messageOptions = {
  keepCase: false,
  longs: String,
  enums: String,
  defaults: true,
  oneofs: true,
  arrays: true,
} as const satisfies ProtoLoader.Options;

/** Loads .proto files, named relative to proto/. */
export function loadProto(...files: readonly string[]): ProtoLoader.PackageDefinition {
  // Not at the top: it takes longer to load than all else that a command needs.
  const protoLoader = createRequire(import.meta.url)('@grpc/proto-loader') as typeof ProtoLoader;
  return protoLoader.loadSync([...files], { ...messageOptions, includeDirs: [protoRoot] });
}

/** fulcrum.v1.DirectorService: as the build compiled it, or from its .proto files if they have changed since. */
export function loadDirectorService(): DirectorServiceDefinition {
  const name = 'fulcrum.v1.DirectorService';
  const sources = ['director.proto', 'types.proto'].map((file) => join(protoRoot, 'fulcrum', 'v1', file));
  const definition =
    compiledService(compiledDirectorPath, sources, name, messageOptions) ??
    loadProto('fulcrum/v1/director.proto')[name];
  return definition as unknown as DirectorServiceDefinition;
}

/** Both services of the dataplane, and all message types of that package by full name. */
export function loadDataplaneServices(): {
  readonly dataplane: DataplaneServiceDefinition;
  readonly test: DataplaneTestServiceDefinition;
  readonly definitions: ProtoLoader.PackageDefinition;
} {
  const definitions = loadProto('fulcrum/dataplane/v1/dataplane.proto');
  return {
    dataplane: definitions['fulcrum.dataplane.v1.DataplaneService'] as unknown as DataplaneServiceDefinition,
    test: definitions['fulcrum.dataplane.v1.DataplaneTestService'] as unknown as DataplaneTestServiceDefinition,
    definitions,
  };
}
