// SPDX-License-Identifier: Apache-2.0
// What every noun uses: the options that all commands have, the director, the printing of results.
import { type Command, InvalidArgumentError } from 'commander';
import { KeyError, parseDecimal, parseServerKey, parseServiceKey } from '../config/keys.js';
import type { ServerKey__Output } from '../generated/fulcrum/v1/ServerKey.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import type { DirectorClient } from '../grpc/client.js';
import { CommandError, type ExitCode, exitCodes } from './exit_codes.js';
import { documentText, type OutputFormat, type View } from './output.js';
import type { Streams } from './streams.js';

/** The world as the commands see it; tests bring their own. */
export interface Cli extends Streams {
  /** Finds and connects the director; the socket if one was named. */
  connect(socket: string | undefined): Promise<DirectorClient>;
  /** Aborts on Ctrl-C. */
  readonly signal: AbortSignal;
  /** For commands whose answer is no error but not 0 either. */
  setExitCode(code: ExitCode): void;
}

interface GlobalOptions {
  readonly output: OutputFormat;
  readonly socket?: string;
}

/** Every edit waits until all workers use it. */
const editTimeoutMs = 120_000;

export const editSettings = { timeoutMs: editTimeoutMs } as const;

export function globalOptions(command: Command): GlobalOptions {
  return command.optsWithGlobals<GlobalOptions>();
}

/** Opens the director that the options name, for as long as `use` takes. */
export async function withDirector<T>(
  cli: Cli,
  command: Command,
  use: (director: DirectorClient) => Promise<T>,
): Promise<T> {
  const director = await cli.connect(globalOptions(command).socket);
  try {
    return await use(director);
  } finally {
    director.close();
  }
}

export async function print(cli: Cli, command: Command, view: View, table: () => readonly string[]): Promise<void> {
  await cli.write(await documentText(globalOptions(command).output, view, table));
}

/** An edit prints nothing on a terminal, and what it made or left for programs; not being in force has its exit code. */
export async function printEdit(cli: Cli, command: Command, answer: { inForce: boolean }, view: View): Promise<void> {
  const { dryRun } = command.opts<{ dryRun?: boolean }>();
  await print(cli, command, view, () => []);
  if (!dryRun) requireInForce(answer);
}

/** An edit that the dataplane has not got yet has an exit code of its own. */
export function requireInForce({ inForce }: { inForce: boolean }): void {
  if (inForce) return;
  throw new CommandError(
    'stored, but not in force yet: the dataplane has not acknowledged it (see "fulcrum status")',
    exitCodes.notInForce,
  );
}

/** For commander: text → key, with the key's own complaint. */
export function serviceArgument(text: string): ServiceKey__Output {
  return argument(() => parseServiceKey(text));
}

/** A server's address; without a port it is the service's. */
export function serverOf(text: string, service: ServiceKey__Output): ServerKey__Output {
  try {
    return parseServerKey(text, service);
  } catch (error) {
    if (error instanceof KeyError) throw new CommandError(error.message, exitCodes.usage);
    throw error;
  }
}

function argument<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof KeyError) throw new InvalidArgumentError(`${error.message}.`);
    throw error;
  }
}

/** For commander: a whole number within bounds. */
export function wholeNumber(minimum: number, maximum: number): (text: string) => number {
  return (text) => {
    const value = parseDecimal(text, minimum, maximum);
    if (value === undefined) throw new InvalidArgumentError(`A whole number from ${minimum} to ${maximum} is needed.`);
    return value;
  };
}

/** For commander: seconds, also parts of one. */
export function seconds(text: string): number {
  const value = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || value <= 0)
    throw new InvalidArgumentError('A number of seconds above 0 is needed.');
  return value;
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const longestMs = 0xffff_ffff;

/** For commander: "90", "90s", "5m", "1h30m"; in milliseconds. */
export function duration(text: string): number {
  const isWhole = /^(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+$/.test(text);
  const parts = isWhole ? text.matchAll(/([\d.]+)([a-z]+)/g) : [['', /^\d+(?:\.\d+)?$/.test(text) ? text : '0', 's']];
  const ms = [...parts].reduce((sum, [, number, unit]) => sum + Number(number) * (unitMs[unit ?? ''] ?? 0), 0);
  if (ms < 1 || ms > longestMs)
    throw new InvalidArgumentError(
      'A duration above 0 is needed: "90" or "90s" are seconds, "5m", "1h30m", at most 49 days.',
    );
  return Math.round(ms);
}

/** "4m12s", "350ms". */
export function durationText(ms: number): string {
  if (ms < 1_000) return `${ms}ms`;
  const seconds = Math.floor(ms / 1_000);
  const parts = [
    [Math.floor(seconds / 3_600), 'h'],
    [Math.floor(seconds / 60) % 60, 'm'],
    [seconds % 60, 's'],
  ] as const;
  return parts.flatMap(([value, unit]) => (value > 0 ? [`${value}${unit}`] : [])).join('');
}

/** A message that the API always sends. */
export function present<T>(message: T | null | undefined, what: string): T {
  if (message === null || message === undefined) throw new CommandError(`the director sent no ${what}`);
  return message;
}
