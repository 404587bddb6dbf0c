// SPDX-License-Identifier: Apache-2.0
// What the handlers of the API work with, and what they share.
import type { Operation__Output } from '../generated/fulcrum/v1/Operation.js';
import { FulcrumError, joinPath } from '../grpc/errors.js';
import type { CallContext } from '../grpc/handlers.js';
import type { Director, Outcome } from './director.js';
import type { Drainer } from './drainer.js';
import type { ClientWays } from './health/client_ways.js';
import type { History } from './history/history.js';
import { type LiveOf, revisionText } from './messages.js';
import { type Applied, applyOperations, type Model } from './model.js';
import { type Server, type Service, type ServiceKey, serviceId } from './nouns.js';
import type { Reconciler } from './reconciler.js';
import type { Verifier } from './verify/verifier.js';
import type { Broadcaster } from './watch.js';

export interface ServiceContext {
  readonly director: Director;
  readonly reconciler: Reconciler;
  readonly broadcaster: Broadcaster;
  readonly ways: Pick<ClientWays, 'checkEdit'>;
  /** How long an edit waits for the dataplane before it is answered with in_force = false. */
  readonly inForceTimeoutMs: number;
  readonly liveOf: LiveOf;
  readonly drainer: Drainer;
  readonly history: History;
  readonly verifier: Pick<Verifier, 'disagreements' | 'comparedAt'>;
}

/** Part of the time until the caller's own deadline after which it is told that an edit is not in force yet. */
const deadlineShare = 0.8;

/** Renames fields of "operations[index].<action>.<rest>" to those of the request that the operations were made from. */
export type FieldName = (index: number, rest: string) => string;

export function renamed(error: unknown, name: FieldName): unknown {
  if (!(error instanceof FulcrumError)) return error;
  const match = /^operations\[(\d+)\]\.?[a-z_]*\.?(.*)$/.exec(error.field);
  if (match === null) return error;
  const field = name(Number(match[1]), match[2] ?? '');
  return new FulcrumError({
    code: error.code,
    reason: error.reason,
    field,
    message: error.message,
    cause: error.cause,
  });
}

/** Applies operations made from a request, with the request's names in errors. */
export function applyNamed(model: Model, operations: readonly Operation__Output[], name: FieldName): Applied {
  try {
    return applyOperations(model, operations);
  } catch (error) {
    throw renamed(error, name);
  }
}

/** Under a prefix: "key.port" → "service.key.port". */
export function under(prefix: string): FieldName {
  return (_index, rest) => joinPath(prefix, rest);
}

export interface EditRequest {
  readonly apply: (model: Model, lineage: string) => Applied;
  readonly validateOnly: boolean;
}

export interface EditAnswer extends Outcome {
  readonly inForce: boolean;
}

/** Makes an edit, and waits until the dataplane has it. */
export async function makeEdit(
  { director, reconciler, ways, inForceTimeoutMs }: ServiceContext,
  { apply: edit, validateOnly }: EditRequest,
  call: CallContext,
): Promise<EditAnswer> {
  const apply: EditRequest['apply'] = (model, lineage) => {
    const applied = edit(model, lineage);
    ways.checkEdit(applied.carriedOut);
    return applied;
  };
  const outcome = await director.edit({ apply, validateOnly, identity: call.identity, method: call.method });
  if (validateOnly) return { ...outcome, inForce: false };
  const left = (call.deadlineMs - Date.now()) * deadlineShare;
  return { ...outcome, inForce: await reconciler.inForce(outcome.generation, Math.min(inForceTimeoutMs, left)) };
}

export function findService(model: Model, key: ServiceKey, field: string): Service {
  const service = model.services.get(serviceId(key));
  if (service !== undefined) return service;
  const message = `there is no virtual service ${serviceId(key)}`;
  throw new FulcrumError({ reason: 'REASON_SERVICE_NOT_FOUND', field, message });
}

/** Refuses an etag or revision that is not the current one. Empty: not asked for. */
export function checkCurrent(given: string, current: string, field: string): void {
  if (given === '' || given === current) return;
  const message = `"${given}" is not the current one any more, which is "${current}"`;
  throw new FulcrumError({ reason: 'REASON_STALE', field, message });
}

export function checkEtag(object: Service | Server | undefined, etag: string, lineage: string, field: string): void {
  if (etag === '') return;
  if (object !== undefined) checkCurrent(etag, revisionText(lineage, object.version), field);
  else
    throw new FulcrumError({ reason: 'REASON_STALE', field, message: `"${etag}" is that of an object that is gone` });
}
