// SPDX-License-Identifier: Apache-2.0
// One ipvsadm command line → one Command: the command is the first option, readers.ts takes the others in turn, then
// the tables of options.ts say whether they go together.
import { isIPv6 } from 'node:net';
import type { Operation } from '../../generated/fulcrum/v1/Operation.js';
import type { ServiceKey__Output } from '../../generated/fulcrum/v1/ServiceKey.js';
import { exitRefused, tryHelp, UsageError } from './messages.js';
import { operationOf } from './operation.js';
import {
  type CommandName,
  commandRules,
  firstViolation,
  type OptionName,
  optionNames,
  type TunnelOption,
  tunnelOptions,
  tunnelRules,
} from './options.js';
import { type Draft, newDraft, type Resolver, readers, timeout } from './readers.js';
import { type Match, ScanError, scan } from './scan.js';

/** Columns of a listing, in ipvsadm's order of precedence when several are asked for. */
export const listColumns = ['stats', 'rate', 'thresholds', 'persistent-conn', 'tun-info'] as const;
export type Columns = 'plain' | (typeof listColumns)[number];

export interface ListCommand {
  readonly kind: 'list';
  readonly what: 'services' | 'connections' | 'timeouts' | 'daemons';
  /** Only this one, without the first line. */
  readonly service: ServiceKey__Output | undefined;
  readonly columns: Columns;
  readonly persistentConnections: boolean;
  readonly numeric: boolean;
  readonly exact: boolean;
  readonly sorted: boolean;
}

export type Command =
  | ListCommand
  | { readonly kind: 'edit'; readonly operation: Operation }
  | { readonly kind: 'save'; readonly numeric: boolean }
  | { readonly kind: 'restore' | 'help' | 'version' | 'start-daemon' | 'stop-daemon' };

/** Parses the words after "ipvsadm". Throws UsageError. */
export async function parse(words: readonly string[], resolver: Resolver): Promise<Command> {
  if (words.length === 0) return listOf(newDraft('list'));
  const matches = scan(words);
  const first = firstOption(matches);
  const command = 'command' in first.option ? first.option.command : undefined;
  if (command === undefined) throw new UsageError(tryHelp, exitRefused);
  if (command === 'help' || command === 'version') return { kind: command };
  if (command === 'start-daemon' || command === 'stop-daemon') checkDaemonRole(command, first.value);
  const draft = newDraft(command);
  let rest = await readOptions(matches, draft, resolver);
  const timeouts = command === 'set' ? timeoutsOf(rest) : [];
  rest = rest.slice(timeouts.length);
  if (rest[0] !== undefined) throw new UsageError(`unexpected argument ${rest[0]}`);
  check(draft);
  return commandOf(draft, timeouts);
}

type Matches = Generator<Match, readonly string[]>;

function firstOption(matches: Matches): Match {
  try {
    const first = matches.next();
    if (!first.done) return first.value;
  } catch (error) {
    if (!(error instanceof ScanError)) throw error;
  }
  throw new UsageError(tryHelp, exitRefused);
}

function checkDaemonRole(command: CommandName, role: string | undefined): void {
  if (role !== 'master' && role !== 'backup') throw new UsageError(`illegal ${command} parameter specified`);
}

/** Fills the draft; returns the left-over words. */
async function readOptions(matches: Matches, draft: Draft, resolver: Resolver): Promise<readonly string[]> {
  for (;;) {
    const match = nextMatch(matches);
    if (match.done) return match.value;
    const { option, value, word } = match.value;
    if ('command' in option) throw new UsageError(`invalid option \`${word}'`);
    const { name, read } = readers[option.setting];
    if (name !== undefined) give(draft, name);
    await read?.(draft, value ?? '', resolver);
  }
}

function nextMatch(matches: Matches): IteratorResult<Match, readonly string[]> {
  try {
    return matches.next();
  } catch (error) {
    // popt's errors do not end a restore: the next line is read.
    if (error instanceof ScanError) throw new UsageError(error.message, exitRefused, false);
    throw error;
  }
}

function give(draft: Draft, name: OptionName): void {
  if (draft.given.has(name)) throw new UsageError(`multiple '${name}' options specified`);
  draft.given.add(name);
}

function timeoutsOf(words: readonly string[]): readonly number[] {
  if (words.length < 3) throw new UsageError('--set option requires 3 timeout values');
  return words.slice(0, 3).map((word) => timeout(word, 0));
}

/** What can only be said once everything has been read. */
function check(draft: Draft): void {
  const violation = firstViolation(optionNames, draft.given, commandRules[draft.command], {
    name: draft.command,
    kind: 'command',
  });
  if (violation !== undefined) throw new UsageError(violation);
  if (draft.command === 'list') checkList(draft.given);
  if (draft.command === 'add-service' || draft.command === 'edit-service') checkService(draft);
  if (draft.command === 'add-server' || draft.command === 'edit-server') checkServer(draft);
}

function checkList(given: ReadonlySet<OptionName>): void {
  const any = (...names: readonly OptionName[]): boolean => names.some((name) => given.has(name));
  const isConflict =
    (any('connection', 'timeout', 'daemon') && any('stats', 'rate', 'thresholds')) ||
    (any('timeout', 'daemon') && any('persistent-conn'));
  if (isConflict) throw new UsageError('options conflicts in the list command');
}

function checkService(draft: Draft): void {
  const { service, given } = draft;
  if (service.fwmark !== 0) return;
  if (service.port === 0 && !given.has('persistent')) {
    throw new UsageError('Zero port specified for non-persistent service');
  }
  if (given.has('ops') && service.protocol !== 'PROTOCOL_UDP') {
    throw new UsageError('One-Packet Scheduling is only for UDP virtual services');
  }
}

function checkServer(draft: Draft): void {
  const given = new Set<TunnelOption>(tunnelOptions.filter((name) => draft.given.has(name)));
  const isTunnel = draft.method === 'FORWARDING_METHOD_TUN';
  if (!isTunnel && isIPv6(draft.server.address) !== draft.isIpv6) {
    throw new UsageError('Different address family is allowed only for tunneling servers');
  }
  if (!isTunnel && (given.size > 0 || draft.given.has('tun-type'))) {
    throw new UsageError('Tunnel options conflict with forward method');
  }
  const violation = firstViolation(tunnelOptions, given, tunnelRules[draft.tunnelType], {
    name: draft.tunnelType,
    kind: 'tunnel type',
  });
  if (violation !== undefined) throw new UsageError(violation);
}

function commandOf(draft: Draft, timeouts: readonly number[]): Command {
  switch (draft.command) {
    case 'list':
      return listOf(draft);
    case 'save':
      return { kind: 'save', numeric: draft.given.has('numeric') };
    case 'restore':
    case 'start-daemon':
    case 'stop-daemon':
    case 'help':
    case 'version':
      return { kind: draft.command };
    default:
      return { kind: 'edit', operation: operationOf(draft, draft.command, timeouts) };
  }
}

function listOf(draft: Draft): ListCommand {
  const { given } = draft;
  return {
    kind: 'list',
    what: given.has('connection')
      ? 'connections'
      : given.has('timeout')
        ? 'timeouts'
        : given.has('daemon')
          ? 'daemons'
          : 'services',
    service: given.has('service-address') ? draft.service : undefined,
    columns: listColumns.find((name) => given.has(name)) ?? 'plain',
    persistentConnections: given.has('persistent-conn'),
    numeric: given.has('numeric'),
    exact: given.has('exact'),
    sorted: !given.has('nosort'),
  };
}
