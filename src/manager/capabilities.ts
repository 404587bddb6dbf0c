// SPDX-License-Identifier: Apache-2.0
// What cannot be done though the model allows it. The model holds and validates all of LVS; this is the one place where
// an edit is refused because of the engine, or of the host that checks are made from.
import type { Check__Output } from '../generated/fulcrum/v1/Check.js';
import type { LoadSource__Output } from '../generated/fulcrum/v1/LoadSource.js';
import { FulcrumError, joinPath } from '../grpc/errors.js';
import { prepareChecks } from './health/prepare.js';
import { prepareLoad } from './load/prepare.js';
import type { ServiceKey, ServiceSpec } from './nouns.js';

export interface Capabilities {
  /** Throws REASON_NOT_SUPPORTED for what cannot be done. The path leads to key and spec. */
  readonly checkService: (key: ServiceKey, spec: ServiceSpec, path: string) => void;
  /** Throws for a check that cannot be made: a file that cannot be read, a program that is not there. */
  readonly checkHealth: (checks: readonly Check__Output[], path: string) => void;
  /** The same for a load source. */
  readonly checkLoad: (source: LoadSource__Output, path: string) => void;
}

/** All of LVS. */
export const lvsCapabilities: Capabilities = {
  checkService: () => {},
  checkHealth: () => {},
  checkLoad: () => {},
};

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
  checkHealth: (checks, path) => {
    prepareChecks(checks, path);
  },
  checkLoad: (source, path) => {
    prepareLoad(source, path);
  },
};

/** For what was taken once: that a file has gone since is no reason not to start. */
export const storedCapabilities: Capabilities = { ...engineCapabilities, checkHealth: () => {}, checkLoad: () => {} };
