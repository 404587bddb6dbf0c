// SPDX-License-Identifier: Apache-2.0
// Operations travel twice: to the dataplane, and back to the caller. Here an operation is encoded once, whatever messages
// it becomes part of; with a hundred thousand of them that is half of what encoding costs.
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js';
import type { MessageTypeDefinition, PackageDefinition } from '@grpc/proto-loader';

type Serialize = (message: object) => Buffer;
type AnyMessage = MessageTypeDefinition<object, object>;

/** Both services with serializers that share what they encode; the messages' bytes are those of the usual ones. */
export interface SharedEncoding {
  readonly dataplane: <D extends ServiceDefinition>(definition: D) => D;
  readonly director: <D extends ServiceDefinition>(definition: D) => D;
}

/** `definitions`: all message types of both packages, by full name. */
export function sharedEncoding(definitions: PackageDefinition): SharedEncoding {
  const message = (name: string): AnyMessage => definitions[name] as AnyMessage;
  const operation = once(message('fulcrum.v1.Operation').serialize);
  const result = once(message('fulcrum.v1.OperationResult').serialize);
  const operations = withRepeated(message('fulcrum.v1.Operations'), { operations: operation });
  const response = withRepeated(message('fulcrum.v1.ApplyResponse'), { results: result, operations: operation });
  const request = withMember(message('fulcrum.dataplane.v1.ApplyRequest'), 'operations', operations);
  return {
    dataplane: (definition) => withApply(definition, { requestSerialize: request }),
    director: (definition) => withApply(definition, { responseSerialize: response }),
  };
}

function withApply<D extends ServiceDefinition>(definition: D, change: Partial<MethodDefinition<object, object>>): D {
  return { ...definition, Apply: { ...definition.Apply, ...change } };
}

/** Remembers the bytes for as long as the object lives, which must not be changed any more. */
function once(serialize: Serialize): Serialize {
  const known = new WeakMap<object, Buffer>();
  return (message) => {
    const before = known.get(message);
    if (before !== undefined) return before;
    const bytes = serialize(message);
    known.set(message, bytes);
    return bytes;
  };
}

/** Fields of a message may come in any order: those that are encoded here are put before the rest. */
function withRepeated(type: AnyMessage, fields: Readonly<Record<string, Serialize>>): Serialize {
  const encoders = Object.entries(fields).map(([name, serialize]) => ({ name, serialize, tag: tagOf(type, name) }));
  return (message) => {
    const rest: Record<string, unknown> = { ...message };
    const parts = encoders.map(({ name, serialize, tag }) => {
      const elements = (rest[name] ?? []) as readonly object[];
      delete rest[name];
      return delimited(tag, elements.map(serialize));
    });
    return Buffer.concat([...parts, type.serialize(rest)]);
  };
}

function withMember(type: AnyMessage, name: string, serialize: Serialize): Serialize {
  const tag = tagOf(type, name);
  return (message) => {
    const { [name]: member, ...rest } = message as Record<string, object | null | undefined>;
    if (member === null || member === undefined) return type.serialize(message);
    return Buffer.concat([delimited(tag, [serialize(member)]), type.serialize(rest)]);
  };
}

interface FieldDescriptor {
  readonly name: string;
  readonly number: number;
}

/** Of a field that is length-delimited: wire type 2. */
function tagOf(type: AnyMessage, name: string): number {
  const { field: fields } = type.type as unknown as { readonly field: readonly FieldDescriptor[] };
  const field = fields.find((candidate) => candidate.name === name);
  if (field === undefined) throw new Error(`there is no field ${name}`);
  return field.number * 8 + 2;
}

/** Messages one after the other, each with its tag and length. */
function delimited(tag: number, messages: readonly Buffer[]): Buffer {
  const tagBytes = varintBytes(tag);
  let size = 0;
  for (const { length } of messages) size += tagBytes + varintBytes(length) + length;
  const bytes = Buffer.allocUnsafe(size);
  let at = 0;
  for (const message of messages) {
    at = writeVarint(bytes, tag, at);
    at = writeVarint(bytes, message.length, at);
    at += message.copy(bytes, at);
  }
  return bytes;
}

function varintBytes(value: number): number {
  let bytes = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes++;
  return bytes;
}

function writeVarint(to: Buffer, value: number, begin: number): number {
  let at = begin;
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) to[at++] = (rest % 0x80) + 0x80;
  to[at++] = rest;
  return at;
}
