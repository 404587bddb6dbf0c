// SPDX-License-Identifier: Apache-2.0
// A director for command tests that keeps LVS's rules: the manager's own model behind a few handlers, all of LVS allowed.
import { keptTimeouts } from '../../../../src/config/timeouts.js';
import type { Operation__Output } from '../../../../src/generated/fulcrum/v1/Operation.js';
import type { ServiceStatistics } from '../../../../src/generated/fulcrum/v1/ServiceStatistics.js';
import type { VirtualService__Output } from '../../../../src/generated/fulcrum/v1/VirtualService.js';
import { FulcrumError } from '../../../../src/grpc/errors.js';
import { lvsCapabilities } from '../../../../src/manager/capabilities.js';
import { virtualServiceMessage } from '../../../../src/manager/messages.js';
import { applyOperations, emptyModel, type Model } from '../../../../src/manager/model.js';
import { serviceId } from '../../../../src/manager/nouns.js';
import { readServiceKey } from '../../../../src/manager/validate.js';
import type { DirectorHandlers } from './fake_director.js';
import { tableSize } from './sample_state.js';

/** The operations that make services, given in the order of an unsorted listing. */
function operationsFor(services: readonly VirtualService__Output[]): Operation__Output[] {
  return services.flatMap(({ key, spec, servers }): Operation__Output[] => [
    { action: 'addService', addService: { key, spec } },
    ...[...servers]
      .reverse()
      .map((server): Operation__Output => ({ action: 'addServer', addServer: { service: key, ...server } })),
  ]);
}

/** Counters are those given until -Z; connections stay as they are. */
export function modelDirector(
  services: readonly VirtualService__Output[],
  statistics: readonly ServiceStatistics[],
): Partial<DirectorHandlers> {
  let model: Model = applyOperations(emptyModel, operationsFor(services), 'APPLY_MODE_ATOMIC', lvsCapabilities).model;
  let counted = [...statistics];
  const zero = () => {
    counted = counted.map((service) => ({
      ...service,
      counters: {},
      rates: {},
      servers: (service.servers ?? []).map((server) => ({ ...server, counters: {}, rates: {} })),
    }));
  };
  return {
    apply: async ({ operations, mode }) => {
      const given = operations?.operations ?? [];
      const applied = applyOperations(model, given, mode, lvsCapabilities);
      model = applied.model;
      if (applied.carriedOut.some((operation) => operation.zero !== undefined)) zero();
      return { results: [...applied.results], inForce: true };
    },
    getStatus: async () => ({ dataplane: { connectionCapacity: tableSize } }),
    getStatistics: async () => ({ services: counted }),
    getTimeouts: async () => ({ timeouts: { ...keptTimeouts, ...model.timeouts } }),
    listConnections: async () => ({}),
    listVirtualServices: async () => ({
      services: [...model.services.values()].map((service) => virtualServiceMessage(service, 'sample')),
    }),
    getVirtualService: async ({ key }) => {
      const service = model.services.get(serviceId(readServiceKey(key, 'key')));
      if (service === undefined) {
        throw new FulcrumError({ reason: 'REASON_SERVICE_NOT_FOUND', field: 'key', message: 'there is none' });
      }
      return { service: virtualServiceMessage(service, 'sample') };
    },
  };
}
