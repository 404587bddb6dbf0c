// SPDX-License-Identifier: Apache-2.0
// What LVS has and the engine does not do yet. The model holds and validates all of LVS; this is the one place where an
// edit is refused because of the engine.
import { FulcrumError, joinPath } from '../grpc/errors.js';
import { familyOf } from './address.js';
import { type ServerKey, type ServerSpec, type ServiceKey, type ServiceSpec, serviceFamily } from './nouns.js';

/** Throws REASON_NOT_SUPPORTED, or REASON_SCHEDULER_NOT_FOUND, for what cannot be done. Paths lead to key and spec. */
export interface Capabilities {
  readonly checkService: (key: ServiceKey, spec: ServiceSpec, path: string) => void;
  readonly checkServer: (service: ServiceKey, key: ServerKey, spec: ServerSpec, path: string) => void;
}

/** All of LVS. */
export const lvsCapabilities: Capabilities = { checkService: () => {}, checkServer: () => {} };

const builtSchedulers: readonly string[] = 'rr wrr lc wlc dh sh mh sed nq fo ovf twos'.split(' ');

function notBuilt(path: string, field: string, what: string): FulcrumError {
  const message = `${what} is known to LVS, but is not built yet`;
  return new FulcrumError({ reason: 'REASON_NOT_SUPPORTED', field: joinPath(path, field), message });
}

function checkScheduler(scheduler: string, path: string): void {
  if (builtSchedulers.includes(scheduler)) return;
  throw new FulcrumError({
    code: 'UNIMPLEMENTED',
    reason: 'REASON_SCHEDULER_NOT_FOUND',
    field: joinPath(path, 'spec.scheduler'),
    message: `scheduler "${scheduler}" is known to LVS, but is not built yet; there are: ${builtSchedulers.join(' ')}`,
  });
}

/** What the engine of this version does. */
export const engineCapabilities: Capabilities = {
  checkService(key, spec, path) {
    if (key.fwmark !== 0) throw notBuilt(path, 'key.fwmark', 'a service by fwmark');
    if (key.protocol === 'PROTOCOL_SCTP') throw notBuilt(path, 'key.protocol', 'SCTP');
    if (serviceFamily(key) === 6) throw notBuilt(path, 'key.address', 'a service on an IPv6 address');
    checkScheduler(spec.scheduler, path);
    if (spec.persistenceEngine !== '') throw notBuilt(path, 'spec.persistence_engine', 'a persistence engine');
  },
  checkServer(_service, key, spec, path) {
    if (familyOf(key.address) === 6) throw notBuilt(path, 'key.address', 'a real server on an IPv6 address');
    if (spec.tunnelType === 'TUNNEL_TYPE_GUE' || spec.tunnelType === 'TUNNEL_TYPE_GRE') {
      throw notBuilt(path, 'spec.tunnel_type', 'a tunnel other than IPIP');
    }
  },
};
