// SPDX-License-Identifier: Apache-2.0
// The standard gRPC services that no npm package describes well enough: reflection (v1, v1alpha), and health without
// List, whose map field proto-loader describes in a way that clients refuse.
import { fromJSON, type ServiceDefinition } from '@grpc/proto-loader';
import { messageOptions } from './loader.js';

type Json = Parameters<typeof fromJSON>[0];

interface Field {
  readonly type: string;
  readonly id: number;
  readonly rule?: string;
}

function field(type: string, id: number): Field {
  return { type, id };
}

function repeated(type: string, id: number): Field {
  return { type, id, rule: 'repeated' };
}

function load(packagePath: readonly string[], nested: object, service: string): ServiceDefinition {
  const root = packagePath.reduceRight<object>((inner, name) => ({ nested: { [name]: inner } }), { nested });
  return fromJSON(root as Json, messageOptions)[[...packagePath, service].join('.')] as ServiceDefinition;
}

const reflectionMessages = {
  ServerReflectionRequest: {
    oneofs: {
      messageRequest: {
        oneof: [
          'fileByFilename',
          'fileContainingSymbol',
          'fileContainingExtension',
          'allExtensionNumbersOfType',
          'listServices',
        ],
      },
    },
    fields: {
      host: field('string', 1),
      fileByFilename: field('string', 3),
      fileContainingSymbol: field('string', 4),
      fileContainingExtension: field('ExtensionRequest', 5),
      allExtensionNumbersOfType: field('string', 6),
      listServices: field('string', 7),
    },
  },
  ExtensionRequest: { fields: { containingType: field('string', 1), extensionNumber: field('int32', 2) } },
  ServerReflectionResponse: {
    oneofs: {
      messageResponse: {
        oneof: ['fileDescriptorResponse', 'allExtensionNumbersResponse', 'listServicesResponse', 'errorResponse'],
      },
    },
    fields: {
      validHost: field('string', 1),
      originalRequest: field('ServerReflectionRequest', 2),
      fileDescriptorResponse: field('FileDescriptorResponse', 4),
      allExtensionNumbersResponse: field('ExtensionNumberResponse', 5),
      listServicesResponse: field('ListServiceResponse', 6),
      errorResponse: field('ErrorResponse', 7),
    },
  },
  FileDescriptorResponse: { fields: { fileDescriptorProto: repeated('bytes', 1) } },
  ExtensionNumberResponse: { fields: { baseTypeName: field('string', 1), extensionNumber: repeated('int32', 2) } },
  ListServiceResponse: { fields: { service: repeated('ServiceResponse', 1) } },
  ServiceResponse: { fields: { name: field('string', 1) } },
  ErrorResponse: { fields: { errorCode: field('int32', 1), errorMessage: field('string', 2) } },
  ServerReflection: {
    methods: {
      ServerReflectionInfo: {
        requestType: 'ServerReflectionRequest',
        requestStream: true,
        responseType: 'ServerReflectionResponse',
        responseStream: true,
      },
    },
  },
};

const healthMessages = {
  HealthCheckRequest: { fields: { service: field('string', 1) } },
  HealthCheckResponse: {
    fields: { status: field('ServingStatus', 1) },
    nested: { ServingStatus: { values: { UNKNOWN: 0, SERVING: 1, NOT_SERVING: 2, SERVICE_UNKNOWN: 3 } } },
  },
  Health: {
    methods: {
      Check: { requestType: 'HealthCheckRequest', responseType: 'HealthCheckResponse' },
      Watch: { requestType: 'HealthCheckRequest', responseType: 'HealthCheckResponse', responseStream: true },
    },
  },
};

/** grpc.reflection.<version>.ServerReflection: the versions differ in nothing but the package's name. */
export function reflectionService(version: 'v1' | 'v1alpha'): ServiceDefinition {
  return load(['grpc', 'reflection', version], reflectionMessages, 'ServerReflection');
}

/** grpc.health.v1.Health as reflection shows it. */
export function describedHealthService(): ServiceDefinition {
  return load(['grpc', 'health', 'v1'], healthMessages, 'Health');
}
