// SPDX-License-Identifier: Apache-2.0
// Operations that are encoded once: what the usual decoders make of it.
import type { MethodDefinition } from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';
import test from 'ava';
import { loadDataplaneServices, loadDirectorService } from '../../../src/grpc/loader.js';
import { sharedEncoding } from '../../../src/manager/encoding.js';
import { applyOperations, emptyModel } from '../../../src/manager/model.js';
import { addServer, addService, setTunables } from './support/operations.js';

const { dataplane, definitions } = loadDataplaneServices();
const encoding = sharedEncoding(definitions);
type Method = MethodDefinition<object, object>;
const request = encoding.dataplane(dataplane).Apply as unknown as Method;
const response = encoding.director(loadDirectorService()).Apply as unknown as Method;
const usualRequest = dataplane.Apply as unknown as Method;

const web = 'tcp 192.0.2.1:80';
// Long enough for lengths of one, two and three bytes.
const servers = Array.from({ length: 2_000 }, (_, index) => addServer(web, `10.0.${index >> 8}.${index & 255}:80`));
const { carriedOut, results } = applyOperations(emptyModel, [
  addService(web, { scheduler: 'rr' }),
  ...servers.slice(1).filter(({ addServer: change }) => !/\.(0|255)$/.test(change?.key?.address ?? '')),
  setTunables({ sloppyTcp: 1 }),
]);

test('a request to the dataplane is decoded as that of the usual encoder', (t) => {
  const base = { instanceId: 'abc', lineage: 'def', baseGeneration: 300, generation: 301, mode: 'APPLY_MODE_ATOMIC' };
  for (const operations of [carriedOut, carriedOut.slice(0, 1), []]) {
    const message = { ...base, operations: { operations } };
    const decoded = usualRequest.requestDeserialize(request.requestSerialize(message));
    t.deepEqual(decoded, usualRequest.requestDeserialize(usualRequest.requestSerialize(message)));
  }
  const snapshot = { ...base, snapshot: { services: [{ key: { address: '192.0.2.1', port: 80 } }] } };
  t.deepEqual(request.requestSerialize(snapshot), usualRequest.requestSerialize(snapshot));
});

test('an answer to the caller likewise, refused operations too', (t) => {
  const usual = definitions['fulcrum.v1.ApplyResponse'] as MessageTypeDefinition<object, object>;
  const refused = { reason: 'REASON_STALE', field: 'key', message: 'no' };
  const message = { results: [...results, refused], operations: [...carriedOut], revision: 'x-1', inForce: true };
  t.deepEqual(usual.deserialize(response.responseSerialize(message)), usual.deserialize(usual.serialize(message)));
  t.is(response.responseSerialize({}).length, 0);
});

test('what was encoded for one is not encoded again for the other', (t) => {
  const operation = { ...carriedOut[0] };
  let reads = 0;
  const watched = Object.defineProperty({}, 'addService', {
    enumerable: true,
    get: () => {
      reads++;
      return operation.addService;
    },
  });
  request.requestSerialize({ operations: { operations: [watched] } });
  const before = reads;
  t.true(before > 0);
  response.responseSerialize({ results: [], operations: [watched] });
  t.is(reads, before);
});
