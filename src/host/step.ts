// SPDX-License-Identifier: Apache-2.0
// One line of setup's plan: what is, what is wanted, what would be done about it, and how to take it back.
import type { Command } from '../lab/command.js';

export type Action =
  | { readonly kind: 'run'; readonly command: Command }
  /** A setting of the kernel, or a whole file. */
  | { readonly kind: 'write'; readonly path: string; readonly text: string; readonly mayBeRefused?: boolean };

export type StepState =
  /** Nothing to do. */
  | 'done'
  /** setup does it. */
  | 'todo'
  /** Done, and in force with the next boot. */
  | 'reboot'
  /** Somebody else has to do it: `why` says what. */
  | 'manual'
  /** Not without --force. */
  | 'refused';

export interface SetupStep {
  /** "hugepages of node 0"; no two steps have the same. */
  readonly subject: string;
  readonly state: StepState;
  readonly is: string;
  readonly wanted: string;
  readonly why: string;
  readonly actions: readonly Action[];
  /** Shell text that undoes it; empty: nothing was there before. */
  readonly undo: string;
}

export const write = (path: string, text: string): Action => ({ kind: 'write', path, text });
export const command = (...words: Command): Action => ({ kind: 'run', command: words });

/** As a shell takes it. */
export function actionText(action: Action): string {
  if (action.kind === 'run') return action.command.map(quoted).join(' ');
  const { path, text } = action;
  const isSetting = /^\/(proc|sys)\//.test(path);
  return isSetting ? `echo ${quoted(text)} > ${path}` : `write ${path}:\n${text.trimEnd().replaceAll(/^/gm, '  ')}`;
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** "1-3,5" */
export function cpuListText(cpus: readonly number[]): string {
  const sorted = [...new Set(cpus)].sort((a, b) => a - b);
  const runs: { first: number; last: number }[] = [];
  for (const cpu of sorted) {
    const run = runs.at(-1);
    if (run !== undefined && run.last === cpu - 1) run.last = cpu;
    else runs.push({ first: cpu, last: cpu });
  }
  return runs.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`)).join(',');
}
