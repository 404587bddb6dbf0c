// SPDX-License-Identifier: Apache-2.0
// Which role an edit needs, by what it does. Who operates may shift load among what is served: weights and drains of
// real servers, and counters. Everything else changes what is served, and is for administrators.
import { isDeepStrictEqual } from 'node:util';
import type { Operation } from '../../generated/fulcrum/v1/Operation.js';
import type { ServerChange } from '../../generated/fulcrum/v1/ServerChange.js';
import { type Caller, greatest, mayDo, type Role } from '../../grpc/caller.js';
import { FulcrumError } from '../../grpc/errors.js';
import { describeOperation } from '../director.js';
import type { Model } from '../model.js';
import { type ServerKey, type ServerSpec, type ServiceKey, serverId, serviceId } from '../nouns.js';

/** Of an operation in normal form, before it is carried out. */
export function roleForOperation(model: Model, operation: Operation): Role {
  if (operation.setDrain || operation.zero) return 'operate';
  if (operation.editServer) return changesWeightOnly(model, operation.editServer) ? 'operate' : 'admin';
  return 'admin';
}

/** Earlier operations of the same edit may only have changed weights, or it is for administrators anyway. */
function changesWeightOnly(model: Model, { service, key, spec }: ServerChange): boolean {
  const before = model.services.get(serviceId(service as ServiceKey))?.servers.get(serverId(key as ServerKey))?.spec;
  return before !== undefined && isDeepStrictEqual({ ...before, weight: 0 }, { ...(spec as ServerSpec), weight: 0 });
}

export interface Edited {
  readonly before: Model;
  readonly carriedOut: readonly Operation[];
}

/** Refuses an edit that its caller may not make. */
export function checkMayEdit(caller: Caller, method: string, { before, carriedOut }: Edited): void {
  const needed = greatest(carriedOut.map((operation) => roleForOperation(before, operation)));
  if (mayDo(caller.role, needed)) return;
  const offending = carriedOut.find((operation) => !mayDo(caller.role, roleForOperation(before, operation)));
  const what = offending === undefined ? '' : ` for ${describeOperation(offending)}`;
  const name = method.split('/').at(-1) ?? method;
  const message = `${caller.identity} has the role ${caller.role}: ${name} needs ${needed}${what}`;
  throw new FulcrumError({ code: 'PERMISSION_DENIED', message });
}
