// SPDX-License-Identifier: Apache-2.0
// Edits: one Apply in restore mode, and what ipvsadm would say to each refusal.
import type { Operation } from '../../generated/fulcrum/v1/Operation.js';
import type { DirectorClient } from '../../grpc/client.js';
import { type Action, exitDone, exitRefused, notInForce, refusalText } from './messages.js';
import type { Host } from './run.js';

/** An Apply waits until every worker uses the change; ten thousand edits need their time. */
const applyTimeoutMs = 120_000;

/** Status of the last operation, 255 if what was accepted is not in force. */
export async function applyOperations(
  operations: readonly Operation[],
  host: Host,
  client: DirectorClient,
): Promise<number> {
  if (operations.length === 0) return exitDone;
  const answer = await client.apply(
    { operations: { operations: [...operations] }, mode: 'APPLY_MODE_RESTORE' },
    { timeoutMs: applyTimeoutMs },
  );
  let status = exitDone;
  for (const [index, result] of answer.results.entries()) {
    status = result.reason === 'REASON_UNSPECIFIED' ? exitDone : exitRefused;
    if (status === exitDone) continue;
    host.complain(refusalText(actionOf(operations[index]), result.reason, result.message));
  }
  const isAccepted = answer.results.some((result) => result.reason === 'REASON_UNSPECIFIED');
  if (!isAccepted || answer.inForce) return status;
  host.complain(notInForce);
  return exitRefused;
}

function actionOf(operation: Operation | undefined): Action | undefined {
  return Object.keys(operation ?? {})[0] as Action | undefined;
}
