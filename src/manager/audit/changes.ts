// SPDX-License-Identifier: Apache-2.0
// An edit's operations in words for who reads of it later: what changed from what to what, without secrets.
import { type Described, describe, operationText } from '../../config/operation_text.js';
import { withoutSecrets } from '../../config/secrets.js';
import type { Operation, Operation__Output } from '../../generated/fulcrum/v1/Operation.js';
import { loadDirectorService } from '../../grpc/loader.js';
import type { Model } from '../model.js';
import { type ServerKey, type ServiceKey, serverId, serviceId } from '../nouns.js';

/** Of an edit so many operations are told. */
const toldOperations = 20;
const longestText = 400;

/** Those of an edit that was carried out, in normal form, from a model. */
export function changesText(before: Model, operations: readonly Operation[]): readonly string[] {
  return operations.slice(0, toldOperations).map((operation) => cut(changeText(before, operation)));
}

function changeText(before: Model, operation: Operation): string {
  const [now, was] = [whole(operation), operationBefore(before, operation)];
  if (was === undefined) return operationText(withoutSecrets(now));
  return differenceText(describe(withoutSecrets(now)), describe(withoutSecrets(whole(was))));
}

/** What would have led to what there was. */
function operationBefore(model: Model, { editServer, editService, setTimeouts }: Operation): Operation | undefined {
  if (editServer) {
    const service = model.services.get(serviceId(editServer.service as ServiceKey));
    const spec = service?.servers.get(serverId(editServer.key as ServerKey))?.spec;
    return spec && { editServer: { ...editServer, spec } };
  }
  if (editService) {
    const spec = model.services.get(serviceId(editService.key as ServiceKey))?.spec;
    return spec && { editService: { ...editService, spec } };
  }
  return setTimeouts ? { setTimeouts: model.timeouts } : undefined;
}

/** "~ edit_server service=tcp:192.0.2.1:80 server=10.0.0.1:80 weight=1→5" */
function differenceText({ sign, action, settings }: Described, before: Described): string {
  const names = [...new Set([...Object.keys(before.settings), ...Object.keys(settings)])];
  const words = names.flatMap((name) => {
    const [was, is] = [valueText(before.settings[name]), valueText(settings[name])];
    if (was !== is) return [`${name}=${was}→${is}`];
    return ['service', 'server'].includes(name) ? [`${name}=${is}`] : [];
  });
  return [sign, action, ...words].join(' ');
}

function valueText(value: unknown): string {
  if (value === undefined) return 'default';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

/** In normal form it has no fields that are unset; as a message that was received, all of them. */
function whole(operation: Operation): Operation__Output {
  const { Apply } = loadedService();
  const request = Apply.requestDeserialize(Apply.requestSerialize({ operations: { operations: [operation] } }));
  return request.operations?.operations[0] as Operation__Output;
}

let service: ReturnType<typeof loadDirectorService> | undefined;
function loadedService(): ReturnType<typeof loadDirectorService> {
  service ??= loadDirectorService();
  return service;
}

function cut(text: string): string {
  return text.length > longestText ? `${text.slice(0, longestText)}…` : text;
}
