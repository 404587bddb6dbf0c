// SPDX-License-Identifier: Apache-2.0
// What every kind of load source is, once it has been read: something that is asked, or listened to, and says something.
import type { FulcrumError } from '../../grpc/errors.js';
import type { Result, Target } from '../health/prober.js';
import type { AgentWords } from './agent_words.js';

export type Said =
  | { readonly kind: 'words'; readonly words: AgentWords; readonly text: string }
  | { readonly kind: 'number'; readonly number: number; readonly text: string };

export type Hear = (said: Said) => void;

/** Asks once, as a prober does; what was said is heard before the promise settles, or nothing was. */
export type Ask = (target: Target, timeoutMs: number, signal: AbortSignal, hear: Hear) => Promise<Result>;

export interface Listener {
  readonly hear: Hear;
  /** A report that is no use to us: the stream goes on. */
  readonly complain: (reason: string) => void;
  /** Once; everything is closed. A FulcrumError if the fault is this host's. */
  readonly ended: (why: string | FulcrumError) => void;
}

/** Opens a stream; returns what closes it, after which nothing is told any more. */
export type Listen = (target: Target, listener: Listener) => () => void;
