// SPDX-License-Identifier: Apache-2.0
// Puts the services part of the configuration file into force, through the API like any other client.

import { setTimeout as delay } from 'node:timers/promises';
import { formatProblem } from '../config/document.js';
import type { DirectorConfig } from '../config/parse.js';
import { documentPath } from '../config/services.js';
import type { DirectorClient } from '../grpc/client.js';
import { FulcrumError } from '../grpc/errors.js';

/** Applies it and waits until every worker uses it. A refusal names the place in the file. */
export async function applyServices(
  client: DirectorClient,
  config: DirectorConfig,
  signal: AbortSignal,
): Promise<void> {
  if (config.services === undefined) return;
  try {
    const answer = await client.apply(
      { configuration: config.services, mode: 'APPLY_MODE_ATOMIC', prune: true },
      { signal, timeoutMs: 60_000 },
    );
    if (!answer.inForce) await untilInForce(client, signal);
  } catch (error) {
    if (!(error instanceof FulcrumError) || error.field === '') throw error;
    throw new Error(formatProblem(config.document.problem(documentPath(error.field), error.message)), { cause: error });
  }
}

/** The answer of Apply came before the dataplane's: its state is asked for until it has caught up. */
async function untilInForce(client: DirectorClient, signal: AbortSignal): Promise<void> {
  for (;;) {
    const { dataplane } = await client.getStatus({}, { signal });
    if (dataplane?.connected && dataplane.generationApplied === dataplane.generationWanted) return;
    await delay(50, undefined, { signal });
  }
}
