// SPDX-License-Identifier: Apache-2.0
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import test from 'ava';
import {
  FulcrumError,
  fromServiceError,
  isStatusName,
  joinPath,
  quote,
  statusName,
  toStatus,
} from '../../../src/grpc/errors.js';

/** What grpc-js makes of a status on the other side. */
function received(error: unknown): FulcrumError {
  const { code, details, metadata } = toStatus(error);
  return fromServiceError(Object.assign(new Error(details), { code, details, metadata }) as ServiceError);
}

test('an error survives the way to the client: code, reason, field, message', (t) => {
  const sent = new FulcrumError({ reason: 'REASON_SERVICE_EXISTS', field: 'service.key', message: 'exists already' });
  t.is(toStatus(sent).code, status.ALREADY_EXISTS);
  t.is(toStatus(sent).details, 'service.key: exists already');
  const { code, reason, field, message } = received(sent);
  t.deepEqual(
    { code, reason, field, message },
    { code: 'ALREADY_EXISTS', reason: 'REASON_SERVICE_EXISTS', field: 'service.key', message: 'exists already' },
  );
  t.is(received(sent).describe(), 'service.key: exists already');
});

test('without reason and field nothing is added', (t) => {
  const sent = toStatus(new FulcrumError({ code: 'UNAVAILABLE', message: 'nobody there' }));
  t.deepEqual(sent.metadata?.getMap(), {});
  t.is(sent.details, 'nobody there');
});

test('a code that is given goes before that of the reason', (t) => {
  t.is(new FulcrumError({ reason: 'REASON_SCHEDULER_NOT_FOUND', message: '' }).code, 'INVALID_ARGUMENT');
  t.is(
    new FulcrumError({ code: 'UNIMPLEMENTED', reason: 'REASON_SCHEDULER_NOT_FOUND', message: '' }).code,
    'UNIMPLEMENTED',
  );
});

test('anything else is internal', (t) => {
  t.is(received(new TypeError('x is undefined')).code, 'INTERNAL');
});

test('a reason that is not ours is none', (t) => {
  const metadata = new Metadata();
  metadata.set('fulcrum-reason', 'toString');
  const error = Object.assign(new Error(''), { code: 3, details: 'd', metadata }) as ServiceError;
  t.is(fromServiceError(error).reason, 'REASON_UNSPECIFIED');
});

test('why grpc-js could not connect, without its frame', (t) => {
  const details = 'No connection established. Last error: Error: connect ENOENT /run/x.sock. Resolution note: ';
  t.is(
    fromServiceError(Object.assign(new Error(), { code: 14, details }) as ServiceError).message,
    'connect ENOENT /run/x.sock',
  );
});

test('paths', (t) => {
  const error = new FulcrumError({ reason: 'REASON_INVALID', field: 'services[1].key', message: 'm' });
  t.is(error.within('configuration').field, 'configuration.services[1].key');
  t.is(joinPath('operations', '[2].flush'), 'operations[2].flush');
  t.is(joinPath('', 'a'), 'a');
  t.is(joinPath('a', ''), 'a');
});

test('quoted values are cut, and show what cannot be seen', (t) => {
  t.is(quote('a"b\n'), '"a\\"b\\n"');
  t.is(quote('x'.repeat(1000)).length, 83);
});

test('names of statuses', (t) => {
  t.is(statusName(5), 'NOT_FOUND');
  t.is(statusName(99), 'UNKNOWN');
  t.is(statusName(undefined), 'UNKNOWN');
  t.deepEqual(['NOT_FOUND', 'OK', '5', 'ENOENT', undefined].map(isStatusName), [true, false, false, false, false]);
});
