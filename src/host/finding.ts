// SPDX-License-Identifier: Apache-2.0
// What doctor finds: how bad it is, what was seen, why it matters, what to do.

export const levels = ['problem', 'warning', 'note', 'ok'] as const;
export type Level = (typeof levels)[number];

export interface Finding {
  readonly level: Level;
  /** "huge pages", "server 10.0.0.11:80 of tcp:203.0.113.10:80" */
  readonly subject: string;
  readonly found: string;
  /** Empty where all is well. */
  readonly why: string;
  /** A command, or what to do in words; empty: nothing. */
  readonly change: string;
}

export const ok = (subject: string, found: string): Finding => ({ level: 'ok', subject, found, why: '', change: '' });

const finding =
  (level: Level) =>
  (subject: string, found: string, why: string, change: string): Finding => ({ level, subject, found, why, change });

export const problem = finding('problem');
export const warning = finding('warning');
export const note = finding('note');
