// SPDX-License-Identifier: Apache-2.0
import test from 'ava';
import { loadProto } from '../../../src/grpc/loader.js';
import { indexDescriptors, splitDescriptorSet } from '../../../src/grpc/reflection.js';

/** Field 1 of a FileDescriptorSet, for each file. */
function join(files: readonly Buffer[]): Buffer {
  return Buffer.concat(
    files.flatMap((file) => {
      const head = [0x0a];
      for (let rest = file.length; ; rest >>>= 7) {
        head.push(rest < 0x80 ? rest : (rest & 0x7f) | 0x80);
        if (rest < 0x80) return [Buffer.from(head), file];
      }
    }),
  );
}

function descriptors(): Buffer[] {
  const definition = loadProto('fulcrum/v1/director.proto')['fulcrum.v1.ServerSpec'];
  return (definition as unknown as { fileDescriptorProtos: Buffer[] }).fileDescriptorProtos;
}

test('a set is split into its files, byte by byte', (t) => {
  const files = descriptors();
  t.true(files.length >= 2);
  t.deepEqual(splitDescriptorSet(join(files)), files);
});

test('symbols of every kind lead to their file', (t) => {
  const { files, symbols } = indexDescriptors(descriptors());
  for (const symbol of [
    'fulcrum.v1.DirectorService',
    'fulcrum.v1.DirectorService.Apply',
    'fulcrum.v1.ServerSpec',
    'fulcrum.v1.ServerSpec.weight',
    'fulcrum.v1.Operation.action',
    'fulcrum.v1.Protocol',
    'fulcrum.v1.PROTOCOL_TCP',
    'google.protobuf.FieldMask',
  ]) {
    const file = symbols.get(symbol);
    t.truthy(file, symbol);
    t.true(files.has(file ?? ''), symbol);
  }
  t.is(symbols.get('fulcrum.v1.Nothing'), undefined);
});

test('a set that is cut off is an error', (t) => {
  const set = join(descriptors());
  t.throws(() => splitDescriptorSet(set.subarray(0, set.length - 1)), { message: /cut off/ });
});
