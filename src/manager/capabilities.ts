// SPDX-License-Identifier: Apache-2.0
// What LVS has and the engine does not do yet. The model holds and validates all of LVS; this is the one place where an
// edit is refused because of the engine.
import { FulcrumError, joinPath } from '../grpc/errors.js';
import type { ServiceKey, ServiceSpec } from './nouns.js';

/** Throws REASON_NOT_SUPPORTED for what cannot be done. Paths lead to key and spec. */
export interface Capabilities {
  readonly checkService: (key: ServiceKey, spec: ServiceSpec, path: string) => void;
}

/** All of LVS. */
export const lvsCapabilities: Capabilities = { checkService: () => {} };

/** What the engine of this version does. */
export const engineCapabilities: Capabilities = {
  checkService(_key, spec, path) {
    if (spec.persistenceEngine === '') return;
    const message = 'a persistence engine is known to LVS, but is not built yet';
    throw new FulcrumError({
      reason: 'REASON_NOT_SUPPORTED',
      field: joinPath(path, 'spec.persistence_engine'),
      message,
    });
  },
};
