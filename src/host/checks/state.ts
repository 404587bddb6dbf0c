// SPDX-License-Identifier: Apache-2.0
// Where the director keeps what must not be lost.
import { type Finding, ok, problem, warning } from '../finding.js';

export interface StateFacts {
  readonly directory: string;
  readonly isWritable: boolean;
  readonly freeMb: number;
}

const leastMb = 200;

export function checkState({ directory, isWritable, freeMb }: StateFacts): Finding {
  const subject = 'state directory';
  if (!isWritable)
    return problem(
      subject,
      `${directory} cannot be written`,
      'edits are refused',
      `its owner and rights; is the file system read-only?`,
    );
  const found = `${directory}, ${freeMb} MB free`;
  if (freeMb >= leastMb) return ok(subject, found);
  return warning(subject, found, 'an edit that cannot be written is refused', 'free some of it');
}
