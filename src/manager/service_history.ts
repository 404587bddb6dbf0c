// SPDX-License-Identifier: Apache-2.0
// Handlers of the calls about configurations as they are and were.
import type { Configuration__Output } from '../generated/fulcrum/v1/Configuration.js';
import type { DirectorServiceDefinition } from '../generated/fulcrum/v1/DirectorService.js';
import type { DirectorStreams } from '../grpc/client.js';
import { FulcrumError } from '../grpc/errors.js';
import type { Handlers } from '../grpc/handlers.js';
import { diff } from './diff.js';
import type { Past } from './history/history.js';
import { configurationMessage, revisionText } from './messages.js';
import { applyOperations, type Model } from './model.js';
import type { ServiceContext } from './service_context.js';
import { invalid } from './validate.js';

type AllHandlers = Handlers<DirectorServiceDefinition, DirectorStreams>;
export type HistoryHandlers = Pick<AllHandlers, 'listRevisions' | 'compareRevisions' | 'getConfiguration'>;

export function historyHandlers({ director, history }: ServiceContext): HistoryHandlers {
  const { lineage } = director.state;
  const message = ({ model, time, identity, method, changes, count }: Past) => ({
    revision: revisionText(lineage, model.revision),
    time,
    author: identity,
    method: method.split('/').at(-1) ?? method,
    changes: [...changes],
    changeCount: count,
  });
  /** The current one where nothing is given. */
  const modelAt = (revision: string, field: string): Model => {
    if (revision === '') return director.state.model;
    const number = /^(?:[0-9a-f]{8}-)?(\d{1,15})$/.exec(revision)?.[1];
    if (number === undefined || (revision.includes('-') && revision !== revisionText(lineage, Number(number))))
      throw invalid(field, `"${revision}" is no revision of this director: see ListRevisions`);
    const past = history.at(Number(number));
    if (past !== undefined) return past.model;
    throw new FulcrumError({
      code: 'NOT_FOUND',
      field,
      message: `revision ${revision} is not known any more, or not yet`,
    });
  };
  return {
    listRevisions: async ({ limit }) => {
      const all = history.list();
      return { revisions: (limit === 0 ? all : all.slice(0, limit)).map(message) };
    },
    compareRevisions: async ({ from, to }) => {
      const before = modelAt(from, 'from');
      // The model's values are whole.
      const after = configurationMessage(modelAt(to, 'to')) as Configuration__Output;
      return { operations: [...applyOperations(before, diff(before, after, true)).carriedOut] };
    },
    getConfiguration: async ({ revision }) => {
      const model = modelAt(revision, 'revision');
      return { configuration: configurationMessage(model), revision: revisionText(lineage, model.revision) };
    },
  };
}
