// SPDX-License-Identifier: Apache-2.0
// Reading the words of keepalived's statements. What cannot be read is told and counts as not written, as keepalived has it.
import { largestPort, parseDecimal } from '../../config/keys.js';
import { usableAddress } from '../address.js';
import type { Warn } from '../source.js';
import { programOf } from '../words.js';
import type { Statement } from './blocks.js';

export type Handlers = Readonly<Record<string, (statement: Statement) => void>>;

/** Reads a block: a handler for each keyword, or the advice for what has no equivalent. */
export function readBlock(
  body: readonly Statement[],
  { handlers, advice = {}, where }: { handlers: Handlers; advice?: Readonly<Record<string, string>>; where: string },
  warn: Warn,
): void {
  for (const statement of body) {
    const { keyword, place } = statement;
    const handler = Object.hasOwn(handlers, keyword) ? handlers[keyword] : undefined;
    if (handler !== undefined) handler(statement);
    else if (Object.hasOwn(advice, keyword)) warn(place, `${keyword}: ${advice[keyword]}`);
    else warn(place, `unknown keyword "${keyword}" in ${where}; skipped${statement.body ? ' with its block' : ''}`);
  }
}

export function wordOf(statement: Statement, index = 0): string | undefined {
  return statement.words[index]?.text;
}

/** A whole number within bounds. */
export function numberOf(statement: Statement, minimum: number, maximum: number, warn: Warn): number | undefined {
  const text = wordOf(statement) ?? '';
  const value = parseDecimal(text, minimum, maximum);
  if (value === undefined)
    warn(statement.place, `${statement.keyword} "${text}" is not a number from ${minimum} to ${maximum}; ignored`);
  return value;
}

/** Seconds, to a millisecond. */
export function secondsOf(statement: Statement, warn: Warn): number | undefined {
  const text = wordOf(statement) ?? '';
  if (!/^\d+(\.\d*)?$/.test(text)) {
    warn(statement.place, `${statement.keyword} "${text}" is not a number of seconds; ignored`);
    return undefined;
  }
  return Math.round(Number(text) * 1000) / 1000;
}

/** Nothing means on. */
export function booleanOf(statement: Statement, warn: Warn): boolean | undefined {
  const text = wordOf(statement) ?? 'on';
  if (/^(on|true|yes)$/i.test(text)) return true;
  if (/^(off|false|no)$/i.test(text)) return false;
  warn(statement.place, `${statement.keyword} "${text}" is neither on nor off; ignored`);
  return undefined;
}

export interface Target {
  readonly address: string;
  /** Undefined if none was written. */
  readonly port: number | undefined;
}

/** "IP [PORT]". */
export function targetOf(statement: Statement, warn: Warn, index = 0): Target | undefined {
  const usable = usableAddress(wordOf(statement, index) ?? '');
  const portText = wordOf(statement, index + 1);
  const port = portText === undefined ? undefined : parseDecimal(portText, 0, largestPort);
  if ('reason' in usable) {
    warn(statement.place, `${statement.keyword}: ${usable.reason}; skipped`);
    return undefined;
  }
  if (portText !== undefined && port === undefined) {
    warn(statement.place, `${statement.keyword}: "${portText}" is not a port; skipped`);
    return undefined;
  }
  return { address: usable.address, port };
}

/** An address alone. */
export function addressOf(statement: Statement, warn: Warn): string | undefined {
  return targetOf({ ...statement, words: statement.words.slice(0, 1) }, warn)?.address;
}

/** "script [user [group]]": the script runs as the manager does. */
export function scriptOf(statement: Statement, warn: Warn): readonly string[] | undefined {
  const [script, ...user] = statement.words;
  const program = script === undefined ? [] : programOf(script.text);
  if (user.length > 0)
    warn(
      statement.place,
      `${statement.keyword}: the script runs as the user of the manager, not as ${user.map(({ text }) => text).join(':')}`,
    );
  if (program.length > 0) return program;
  warn(statement.place, `${statement.keyword} names no script; ignored`);
  return undefined;
}
