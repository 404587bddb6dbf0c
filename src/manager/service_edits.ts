// SPDX-License-Identifier: Apache-2.0
// Handlers of the calls that edit. Each is translated to operations, so that all edits follow one set of rules.
import { withDefaults } from '../config/tunables.js';
import type { DirectorServiceDefinition } from '../generated/fulcrum/v1/DirectorService.js';
import type { Operation__Output } from '../generated/fulcrum/v1/Operation.js';
import type { RealServer } from '../generated/fulcrum/v1/RealServer.js';
import type { VirtualService__Output } from '../generated/fulcrum/v1/VirtualService.js';
import type { DirectorStreams } from '../grpc/client.js';
import { FulcrumError, joinPath } from '../grpc/errors.js';
import type { Handlers } from '../grpc/handlers.js';
import { diff } from './diff.js';
import { mergeSpec } from './masks.js';
import { markRulesMessage, realServerMessage, revisionText, virtualServiceMessage } from './messages.js';
import { type Applied, applyOperations, type Model } from './model.js';
import { type Server, type ServerKey, type Service, type ServiceKey, serverId, serviceId } from './nouns.js';
import {
  applyNamed,
  checkCurrent,
  checkEtag,
  type FieldName,
  findService,
  makeEdit,
  type ServiceContext,
  under,
} from './service_context.js';
import { effectiveServerKey, invalid, readServerKey, readServerSpec, readServiceKey } from './validate.js';
import { vipsOf } from './vips.js';

type AllHandlers = Handlers<DirectorServiceDefinition, DirectorStreams>;
type EditMethods =
  | `${'create' | 'update' | 'delete'}${'VirtualService' | 'RealServer'}`
  | 'setVip'
  | 'deleteVip'
  | 'setTunables'
  | 'setMarkRules'
  | 'apply';
export type EditHandlers = Pick<AllHandlers, EditMethods>;
type RequestOf<M extends EditMethods> = Parameters<EditHandlers[M]>[0];

export function editHandlers(context: ServiceContext): EditHandlers {
  return {
    createVirtualService: async ({ service, validateOnly }, call) => {
      const apply = (model: Model) => createService(model, service);
      const { applied, lineage, inForce } = await makeEdit(context, { apply, validateOnly }, call);
      return { service: virtualServiceMessage(serviceIn(applied.model, service?.key), lineage), inForce };
    },
    updateVirtualService: async (request, call) => {
      const apply = (model: Model, lineage: string) => updateService(model, lineage, request);
      const edit = { apply, validateOnly: request.validateOnly };
      const { applied, lineage, inForce } = await makeEdit(context, edit, call);
      return { service: virtualServiceMessage(serviceIn(applied.model, request.service?.key), lineage), inForce };
    },
    deleteVirtualService: async (request, call) => {
      const apply = (model: Model, lineage: string) => deleteService(model, lineage, request);
      const { inForce } = await makeEdit(context, { apply, validateOnly: request.validateOnly }, call);
      return { inForce };
    },
    createRealServer: async ({ service, server, validateOnly }, call) => {
      const addServer = { service, key: server?.key ?? null, spec: server?.spec ?? null };
      const apply = (model: Model) => applyNamed(model, [{ action: 'addServer', addServer }], serverField);
      const { applied, lineage, inForce } = await makeEdit(context, { apply, validateOnly }, call);
      return { server: serverMessage(applied, lineage), inForce };
    },
    updateRealServer: async (request, call) => {
      const apply = (model: Model, lineage: string) => updateServer(model, lineage, request);
      const edit = { apply, validateOnly: request.validateOnly };
      const { applied, lineage, inForce } = await makeEdit(context, edit, call);
      return { server: serverMessage(applied, lineage), inForce };
    },
    deleteRealServer: async (request, call) => {
      const apply = (model: Model, lineage: string) => deleteServer(model, lineage, request);
      const { inForce } = await makeEdit(context, { apply, validateOnly: request.validateOnly }, call);
      return { inForce };
    },
    setVip: async ({ vip, validateOnly }, call) => {
      const apply = (model: Model) => applyNamed(model, [{ action: 'setVip', setVip: vip }], under('vip'));
      const { applied, inForce } = await makeEdit(context, { apply, validateOnly }, call);
      const address = applied.carriedOut[0]?.setVip?.address ?? '';
      return { vip: vipsOf(applied.model).get(address) ?? null, inForce };
    },
    deleteVip: async ({ address, validateOnly }, call) => {
      const operation: Operation__Output = { action: 'deleteVip', deleteVip: address };
      const apply = (model: Model) => applyNamed(model, [operation], under('address'));
      const { inForce } = await makeEdit(context, { apply, validateOnly }, call);
      return { inForce };
    },
    setTunables: async (request, call) => {
      const edit = { apply: setOf(request, setTunables(request)), validateOnly: request.validateOnly };
      const { applied, lineage, inForce } = await makeEdit(context, edit, call);
      const { model } = applied;
      return { tunables: withDefaults(model.tunables), revision: revisionText(lineage, model.revision), inForce };
    },
    setMarkRules: async (request, call) => {
      const edit = { apply: setOf(request, setMarkRules(request)), validateOnly: request.validateOnly };
      const { applied, lineage, inForce } = await makeEdit(context, edit, call);
      const { model } = applied;
      return { markRules: markRulesMessage(model) ?? {}, revision: revisionText(lineage, model.revision), inForce };
    },
    apply: async (request, call) => {
      const apply = (model: Model, lineage: string) => applyRequest(model, lineage, request);
      const edit = { apply, validateOnly: request.validateOnly };
      const { applied, lineage, inForce } = await makeEdit(context, edit, call);
      return {
        results: [...applied.results],
        operations: [...applied.carriedOut],
        revision: revisionText(lineage, applied.model.revision),
        inForce,
      };
    },
  };
}

interface NamedEdit {
  readonly operation: Operation__Output;
  readonly field: string;
}

function setTunables({ tunables }: RequestOf<'setTunables'>): NamedEdit {
  return { operation: { action: 'setTunables', setTunables: tunables }, field: 'tunables' };
}

function setMarkRules({ markRules }: RequestOf<'setMarkRules'>): NamedEdit {
  return { operation: { action: 'setMarkRules', setMarkRules: markRules }, field: 'mark_rules' };
}

/** One operation, unless the configuration has been changed since the caller saw it. */
function setOf({ revision }: { readonly revision: string }, { operation, field }: NamedEdit) {
  return (model: Model, lineage: string): Applied => {
    checkCurrent(revision, revisionText(lineage, model.revision), 'revision');
    return applyNamed(model, [operation], under(field));
  };
}

/** A service that an edit has just been made to. */
function serviceIn(model: Model, key: VirtualService__Output['key'] | undefined): Service {
  return findService(model, readServiceKey(key, 'service.key'), 'service.key');
}

/** The server that the one operation of an edit was about. */
function serverMessage({ model, carriedOut }: Applied, lineage: string): RealServer {
  const change = carriedOut[0]?.addServer ?? carriedOut[0]?.editServer;
  const service = model.services.get(serviceId(change?.service as ServiceKey)) as Service;
  return realServerMessage(service.servers.get(serverId(change?.key as ServerKey)) as Server, lineage, service);
}

/** Operations on a service begin with the service itself, and its health if it has some; its servers follow. */
const serviceField =
  (ownOperations: number): FieldName =>
  (index, rest) =>
    joinPath(index < ownOperations ? 'service' : `service.servers[${index - ownOperations}]`, rest);

/** Requests about a server name its service apart. */
const serverField: FieldName = (_index, rest) => (/^service\b/.test(rest) ? rest : joinPath('server', rest));

function createService(model: Model, service: VirtualService__Output | null): Applied {
  const key = service?.key ?? null;
  const health = service?.health ?? null;
  const traffic = service?.traffic ?? null;
  const own: Operation__Output[] = [
    ...(health === null ? [] : [{ action: 'setHealth', setHealth: { service: key, health } } as const]),
    ...(traffic === null ? [] : [{ action: 'setTraffic', setTraffic: { service: key, traffic } } as const]),
  ];
  const operations: Operation__Output[] = [
    { action: 'addService', addService: { key, spec: service?.spec ?? null } },
    ...own,
    ...(service?.servers ?? []).map(
      (server): Operation__Output => ({
        action: 'addServer',
        addServer: { service: key, key: server.key, spec: server.spec },
      }),
    ),
  ];
  return applyNamed(model, operations, serviceField(1 + own.length));
}

function updateService(model: Model, lineage: string, request: RequestOf<'updateVirtualService'>): Applied {
  const key = readServiceKey(request.service?.key, 'service.key');
  const current = model.services.get(serviceId(key));
  checkEtag(current, request.service?.etag ?? '', lineage, 'service.etag');
  if (current === undefined && request.allowMissing) return createService(model, request.service);
  const spec = current && mergeSpec(current.spec, request.service?.spec, request.updateMask);
  const editService = { key, spec: spec ?? null };
  return applyNamed(model, [{ action: 'editService', editService }], serviceField(1));
}

function deleteService(model: Model, lineage: string, request: RequestOf<'deleteVirtualService'>): Applied {
  const key = readServiceKey(request.key, 'key');
  checkEtag(findService(model, key, 'key'), request.etag, lineage, 'etag');
  return applyNamed(model, [{ action: 'deleteService', deleteService: key }], under('key'));
}

function updateServer(model: Model, lineage: string, request: RequestOf<'updateRealServer'>): Applied {
  const service = findService(model, readServiceKey(request.service, 'service'), 'service');
  const given = readServerKey(request.server?.key, 'server.key');
  const asGiven = service.servers.get(serverId(given));
  const spec = asGiven ? mergeSpec(asGiven.spec, request.server?.spec, request.updateMask) : request.server?.spec;
  // A server of DR or TUN may be named with another port: it has its service's.
  const key = effectiveServerKey(service.key, given, readServerSpec(spec, 'server.spec'));
  const current = service.servers.get(serverId(key));
  checkEtag(current, request.server?.etag ?? '', lineage, 'server.etag');
  const change = { service: service.key, key, spec: spec ?? null };
  const add = current === undefined && request.allowMissing;
  const operation: Operation__Output = add
    ? { action: 'addServer', addServer: change }
    : { action: 'editServer', editServer: change };
  return applyNamed(model, [operation], serverField);
}

function deleteServer(model: Model, lineage: string, request: RequestOf<'deleteRealServer'>): Applied {
  const service = findService(model, readServiceKey(request.service, 'service'), 'service');
  const key = readServerKey(request.key, 'key');
  const server = service.servers.get(serverId(key));
  if (server !== undefined) checkEtag(server, request.etag, lineage, 'etag');
  const deletion: Operation__Output = { action: 'deleteServer', deleteServer: { service: service.key, key } };
  return applyNamed(model, [deletion], under(''));
}

/** What is asked of Plan is asked of Apply, too. */
type ApplyParts = Pick<RequestOf<'apply'>, 'what' | 'operations' | 'configuration' | 'prune' | 'revision' | 'mode'>;

export function applyRequest(model: Model, lineage: string, request: ApplyParts): Applied {
  checkCurrent(request.revision, revisionText(lineage, model.revision), 'revision');
  if (typeof request.mode === 'number') throw invalid('mode', `${request.mode} is not a known value`);
  if (request.what === 'operations') {
    if (request.prune) throw invalid('prune', 'is only for a configuration');
    const operations = request.operations?.operations ?? [];
    return applyOperations(model, operations, request.mode);
  }
  if (request.what !== 'configuration' || request.configuration === null || request.configuration === undefined) {
    throw invalid('', 'operations or configuration must be given');
  }
  if (request.mode === 'APPLY_MODE_RESTORE') throw invalid('mode', 'RESTORE is only for operations');
  return applyConfiguration(model, request.configuration, request.prune);
}

function applyConfiguration(
  model: Model,
  configuration: NonNullable<RequestOf<'apply'>['configuration']>,
  prune: boolean,
): Applied {
  try {
    return applyOperations(model, diff(model, configuration, prune));
  } catch (error) {
    throw error instanceof FulcrumError ? error.within('configuration') : error;
  }
}
