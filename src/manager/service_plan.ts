// SPDX-License-Identifier: Apache-2.0
// Handler of Plan: the manager works out the operations as for an Apply, the dataplane tries them on a draft.
import type { DirectorServiceDefinition } from '../generated/fulcrum/v1/DirectorService.js';
import type { DirectorStreams } from '../grpc/client.js';
import { FulcrumError } from '../grpc/errors.js';
import type { Handlers } from '../grpc/handlers.js';
import { revisionText } from './messages.js';
import type { ServiceContext } from './service_context.js';
import { applyRequest } from './service_edits.js';

export type PlanHandlers = Pick<Handlers<DirectorServiceDefinition, DirectorStreams>, 'plan'>;

export function planHandlers({ director, reconciler, ways }: ServiceContext): PlanHandlers {
  return {
    plan: async (request, { signal }) => {
      const { model, lineage, generation } = director.state;
      const { carriedOut, effects } = applyRequest(model, lineage, { ...request, mode: 'APPLY_MODE_ATOMIC' });
      ways.checkEdit(carriedOut);
      const dataplane = reconciler.dataplane();
      const { generationApplied, state } = reconciler.status();
      if (generationApplied !== generation) {
        const message = `the dataplane does not have what is declared yet (generation ${generationApplied} of ${generation})`;
        throw new FulcrumError({ code: 'UNAVAILABLE', message });
      }
      const { services } = await dataplane.plan(
        { instanceId: state?.instanceId ?? '', baseGeneration: generation, operations: { operations: [...effects] } },
        { signal },
      );
      return { operations: [...carriedOut], revision: revisionText(lineage, model.revision), services };
    },
  };
}
