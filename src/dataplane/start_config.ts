// SPDX-License-Identifier: Apache-2.0
// StartConfig from proto3 JSON to protobuf bytes. Strict: an unknown field, a wrong type or an unknown enum value is an
// error with its path, since a typo must not start a director with a default in its place.
import type { MessageTypeDefinition, PackageDefinition } from '@grpc/proto-loader';
import { FulcrumError, joinPath, quote } from '../grpc/errors.js';

interface FieldDescriptor {
  readonly name: string;
  readonly label: string;
  readonly type: string;
  readonly typeName: string;
}

const packageName = 'fulcrum.dataplane.v1';
const maxUint32 = 0xffff_ffff;
const maxUint64 = 0xffff_ffff_ffff_ffffn;

/** What the host itself needs to know of a StartConfig, and the bytes for the engine. */
export interface ParsedStartConfig {
  readonly bytes: Buffer;
  readonly testing: boolean;
}

/** Parses the JSON text of a StartConfig. Throws FulcrumError with the path of the field that is wrong. */
export function parseStartConfig(text: string, definitions: PackageDefinition): ParsedStartConfig {
  const type = definitions[`${packageName}.StartConfig`] as MessageTypeDefinition<object, object>;
  const message = readMessage(parseJson(text), 'StartConfig', '', definitions);
  return { bytes: type.serialize(message), testing: message.testing === true };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid('', `the configuration is not JSON: ${(error as Error).message}`);
  }
}

function invalid(field: string, message: string): FulcrumError {
  return new FulcrumError({ reason: 'REASON_INVALID', field, message });
}

function descriptorOf(definitions: PackageDefinition, name: string): { readonly type: object } {
  const definition = definitions[`${packageName}.${name}`];
  if (definition === undefined) throw new Error(`${packageName}.${name} is not defined`);
  return definition as { readonly type: object };
}

/** proto3 JSON takes both names of a field: memoryMb and memory_mb. */
function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function readMessage(value: unknown, typeName: string, path: string, definitions: PackageDefinition) {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(path, 'must be an object');
  const { field: fields } = descriptorOf(definitions, typeName).type as { field: FieldDescriptor[] };
  const message: Record<string, unknown> = {};
  for (const [key, member] of Object.entries(value)) {
    const name = camelCase(key);
    const field = fields.find((candidate) => candidate.name === name);
    if (field === undefined) throw invalid(joinPath(path, key), `is not a field of ${typeName}`);
    if (name in message) throw invalid(joinPath(path, key), 'is given twice');
    if (member !== null) message[name] = readField(member, field, joinPath(path, key), definitions);
  }
  return message;
}

function readField(value: unknown, field: FieldDescriptor, path: string, definitions: PackageDefinition): unknown {
  if (field.label !== 'LABEL_REPEATED') return readValue(value, field, path, definitions);
  if (!Array.isArray(value)) throw invalid(path, 'must be a list');
  return value.map((element, index) => readValue(element, field, `${path}[${index}]`, definitions));
}

function readValue(value: unknown, field: FieldDescriptor, path: string, definitions: PackageDefinition): unknown {
  switch (field.type) {
    case 'TYPE_MESSAGE':
      return readMessage(value, field.typeName, path, definitions);
    case 'TYPE_ENUM':
      return readEnum(value, field.typeName, path, definitions);
    case 'TYPE_STRING':
      if (typeof value !== 'string') throw invalid(path, `must be text, not ${quote(value)}`);
      return value;
    case 'TYPE_BOOL':
      if (typeof value !== 'boolean') throw invalid(path, `must be true or false, not ${quote(value)}`);
      return value;
    case 'TYPE_UINT32':
      return Number(readUnsigned(value, path, BigInt(maxUint32)));
    case 'TYPE_UINT64':
      return readUnsigned(value, path, maxUint64).toString();
    default:
      throw new Error(`${path}: no rule for ${field.type}`);
  }
}

function readUnsigned(value: unknown, path: string, max: bigint): bigint {
  const whole = typeof value === 'number' ? Number.isInteger(value) : typeof value === 'string' && /^\d+$/.test(value);
  if (!whole) throw invalid(path, `must be a whole number, not ${quote(value)}`);
  const number = BigInt(value as number | string);
  if (number < 0n || number > max) {
    throw new FulcrumError({ reason: 'REASON_OUT_OF_RANGE', field: path, message: `${number} is not in 0 … ${max}` });
  }
  return number;
}

function readEnum(value: unknown, typeName: string, path: string, definitions: PackageDefinition): string {
  const { value: values } = descriptorOf(definitions, typeName).type as { value: { name: string; number: number }[] };
  const found = values.find((candidate) => candidate.name === value || candidate.number === value);
  if (found === undefined) {
    throw invalid(path, `${quote(value)} is not one of ${values.map(({ name }) => name).join(', ')}`);
  }
  return found.name;
}
