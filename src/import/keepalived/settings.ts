// SPDX-License-Identifier: Apache-2.0
// What a virtual server hands down to its real servers, and they to their checkers, under the same keywords: the nearest
// one that is written counts.
import { largestWeight } from '../../config/servers.js';
import type { Warn } from '../source.js';
import { booleanOf, type Handlers, numberOf, secondsOf } from './values.js';

export interface Settings {
  readonly alpha?: boolean | undefined;
  readonly inhibit?: boolean | undefined;
  readonly retry?: number | undefined;
  readonly connectTimeout?: number | undefined;
  readonly delayLoop?: number | undefined;
  readonly delayBeforeRetry?: number | undefined;
  readonly warmup?: number | undefined;
  readonly weight?: number | undefined;
  readonly virtualhost?: string | undefined;
}

export type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

const mostRetries = 999;

/** Handlers for what checkers, too, can have. */
export function checkerSettings(settings: Writable<Settings>, warn: Warn): Handlers {
  return {
    alpha: (statement) => {
      settings.alpha = booleanOf(statement, warn) ?? settings.alpha;
    },
    retry: (statement) => {
      settings.retry = numberOf(statement, 0, mostRetries, warn) ?? settings.retry;
    },
    connect_timeout: (statement) => {
      settings.connectTimeout = secondsOf(statement, warn) ?? settings.connectTimeout;
    },
    delay_loop: (statement) => {
      settings.delayLoop = secondsOf(statement, warn) ?? settings.delayLoop;
    },
    delay_before_retry: (statement) => {
      settings.delayBeforeRetry = secondsOf(statement, warn) ?? settings.delayBeforeRetry;
    },
    warmup: (statement) => {
      settings.warmup = secondsOf(statement, warn) ?? settings.warmup;
    },
  };
}

/** Handlers for what virtual and real servers can have. */
export function serverSettings(settings: Writable<Settings>, warn: Warn): Handlers {
  return {
    ...checkerSettings(settings, warn),
    inhibit_on_failure: (statement) => {
      settings.inhibit = booleanOf(statement, warn) ?? settings.inhibit;
    },
    weight: (statement) => {
      settings.weight = numberOf(statement, 0, largestWeight, warn) ?? settings.weight;
    },
    virtualhost: (statement) => {
      settings.virtualhost = statement.words[0]?.text;
    },
  };
}

/** What is not written is that of the outer block. */
export function inherit(own: Settings, outer: Settings): Settings {
  const written = Object.fromEntries(Object.entries(own).filter(([, value]) => value !== undefined));
  return { ...outer, ...written };
}
