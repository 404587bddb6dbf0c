// SPDX-License-Identifier: Apache-2.0
// The compiled service says the same bytes and the same objects as the one that proto-loader makes of the .proto files.
import { mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import protobuf from 'protobufjs';
import { compiledService } from '../../../src/grpc/compiled_service.js';
import { loadProto, messageOptions, protoRoot } from '../../../src/grpc/loader.js';

const name = 'fulcrum.v1.DirectorService';

function compile(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-compiled-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => (target.startsWith('fulcrum/') ? join(protoRoot, target) : target);
  const path = join(directory, 'director.json');
  writeFileSync(path, JSON.stringify(root.loadSync('fulcrum/v1/director.proto').toJSON()));
  return path;
}

const largest = '18446744073709551615';
const key = { protocol: 'PROTOCOL_UDP', address: '203.0.113.10', port: 53 };

/** A request and a response for methods with every kind of field: 64 bits, optional, oneof, enum, repeated, nested. */
const messages: readonly (readonly [method: string, request: object, response: object])[] = [
  [
    'ListConnections',
    { pageSize: 7, service: key },
    { connections: [{ expiresMs: 5, inPackets: largest, active: true }] },
  ],
  ['ListConnections', {}, {}],
  ['CreateRealServer', { server: { key: { address: '10.0.0.1' }, spec: { weight: 0 } } }, { inForce: true }],
  ['CreateRealServer', { server: { spec: {} } }, {}],
  [
    'Apply',
    {
      operations: { operations: [{ zero: {} }, { deleteVip: '203.0.113.10' }, { flush: {} }] },
      mode: 'APPLY_MODE_RESTORE',
    },
    { results: [{ reason: 'REASON_STALE' }], operations: [{ setTimeouts: { tcpS: 1 } }] },
  ],
  ['Apply', { configuration: { services: [{ key }] }, prune: true }, {}],
  ['UpdateVirtualService', { updateMask: { paths: ['spec.scheduler'] } }, {}],
  ['Watch', {}, { revision: 'r', endOfSnapshot: {} }],
  [
    'GetStatistics',
    {},
    { services: [{ key, counters: { inBytes: largest } }], verdicts: [{ verdict: 'x', drop: true }] },
  ],
];

test('the same methods, paths, bytes and objects', (t) => {
  const compiled = compiledService(compile(t), [], name, messageOptions) ?? {};
  const loaded = loadProto('fulcrum/v1/director.proto')[name] as typeof compiled;
  t.deepEqual(Object.keys(compiled), Object.keys(loaded));
  for (const [method, { path, responseStream, requestStream }] of Object.entries(loaded)) {
    t.like(compiled[method], { path, responseStream, requestStream });
  }
  for (const [method, request, response] of messages) {
    const [ours, theirs] = [compiled[method], loaded[method]];
    if (!ours || !theirs) throw new Error(`there is no method ${method}`);
    t.deepEqual(ours.requestSerialize(request), theirs.requestSerialize(request));
    t.deepEqual(ours.responseSerialize(response), theirs.responseSerialize(response));
    const [asked, answered] = [theirs.requestSerialize(request), theirs.responseSerialize(response)];
    t.deepEqual(ours.requestDeserialize(asked), theirs.requestDeserialize(asked));
    t.deepEqual(ours.responseDeserialize(answered), theirs.responseDeserialize(answered));
  }
});

test('a file that is not there, or older than a source, is not used', (t) => {
  const path = compile(t);
  const source = join(protoRoot, 'fulcrum/v1/director.proto');
  t.is(compiledService(`${path}.not`, [], name, messageOptions), undefined);
  t.truthy(compiledService(path, [source], name, messageOptions));
  utimesSync(path, 0, 0);
  t.is(compiledService(path, [source], name, messageOptions), undefined);
});
