// SPDX-License-Identifier: Apache-2.0
// What ipvsadm says, and with which status it ends, when something is wrong: usage errors by their own text, refusals
// of the director by (operation, reason), as ipvsadm words the kernel's error numbers.
import type { Operation } from '../../generated/fulcrum/v1/Operation.js';
import type { Reason__Output } from '../../generated/fulcrum/v1/Reason.js';

/** Done. */
export const exitDone = 0;
/** A listing failed. */
export const exitListingFailed = 1;
/** Wrong usage, or no director. */
export const exitUsage = 2;
/** Refused; also no command, or an option that cannot be read. */
export const exitRefused = 255;

/** A command line that means nothing. `ends`: reading rules from stdin stops here too. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly status: number;
  readonly ends: boolean;

  constructor(message: string, status: number = exitUsage, ends = true) {
    super(message);
    this.status = status;
    this.ends = ends;
  }
}

export const tryHelp = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.";

export type Action = NonNullable<Operation['action']>;

const isServerAction = (action: Action | undefined): boolean =>
  action === 'addServer' || action === 'editServer' || action === 'deleteServer';

const texts: Readonly<Partial<Record<Reason__Output, string>>> = {
  REASON_SERVICE_EXISTS: 'Service already exists',
  REASON_SERVICE_NOT_FOUND: 'No such service',
  REASON_SERVER_EXISTS: 'Destination already exists',
  REASON_SERVER_NOT_FOUND: 'No such destination',
  REASON_SCHEDULER_NOT_FOUND: 'Scheduler or persistence engine not found',
  REASON_INVALID: 'Invalid operation.  Possibly wrong module version, address not unicast, ...',
  REASON_OUT_OF_RANGE: 'Numerical result out of range',
  REASON_FAMILY_MISMATCH: 'Operation not supported with specified address family',
  REASON_NO_ROOM: 'Memory allocation problem',
};

/** ipvsadm's words for a refusal; the director's own where ipvsadm has none. */
export function refusalText(action: Action | undefined, reason: Reason__Output, message: string): string {
  if (reason === 'REASON_SERVICE_NOT_FOUND' && isServerAction(action)) return 'Service not defined';
  return texts[reason] ?? (message === '' ? `refused (${reason})` : message);
}

export const notInForce =
  'The change is stored, but not in force yet: the dataplane has not acknowledged it (see "fulcrum status")';
