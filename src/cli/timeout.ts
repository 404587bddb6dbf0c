// SPDX-License-Identifier: Apache-2.0
// fulcrum timeout: how long connections stay in each state.
import { type Command, InvalidArgumentError } from 'commander';
import { suggestion } from '../config/document.js';
import { parseDecimal } from '../config/keys.js';
import {
  defaultTimeouts,
  largestTimeout,
  type Timeout,
  type TimeoutValues,
  timeoutByName,
  timeouts,
  timeoutsEntry,
  timeoutsFrom,
} from '../config/timeouts.js';
import { type Cli, editSettings, present, print, printEdit, withDirector } from './cli.js';
import { tableLines } from './output.js';

interface Assignment {
  readonly timeout: Timeout;
  readonly seconds: number;
}

export function register(program: Command, cli: Cli): void {
  const timeout = program
    .command('timeout')
    .description('timeouts of connections by state')
    .addHelpText(
      'after',
      `
A new value holds from the next packet of a connection on; timers that run already are left alone, as in LVS. tcp,
tcp_fin and udp are those of "ipvsadm --set". In "timeout set" a value of 0 means LVS's default.

Examples:
  fulcrum timeout list
  fulcrum timeout set tcp=3600 tcp_syn_recv=30
  fulcrum timeout set udp=0`,
    );
  timeout
    .command('list')
    .description('list them, in seconds')
    .option('--changed', 'only those that are not at their default')
    .action((options, command) => list(cli, command, options));
  timeout
    .command('set')
    .description('set one or several, all of them or none')
    .argument('<name=seconds...>', 'for example tcp=3600', (text: string, before?: readonly Assignment[]) => [
      ...(before ?? []),
      assignment(text),
    ])
    .option('--dry-run', 'only check whether the director would do it')
    .action((assignments, options, command) => set(cli, command, assignments, options));
}

function assignment(text: string): Assignment {
  const [, name = '', digits = ''] = /^\s*([^=]*?)\s*=\s*(.*?)\s*$/.exec(text) ?? [];
  if (name === '') throw new InvalidArgumentError('NAME=SECONDS is needed.');
  const timeout = timeoutByName(name);
  if (timeout === undefined) {
    const names = timeouts.map((known) => known.name);
    throw new InvalidArgumentError(`There is no timeout "${name}"${suggestion(name, names) || '; see "timeout list"'}`);
  }
  const seconds = parseDecimal(digits, 0, largestTimeout);
  if (seconds === undefined) {
    throw new InvalidArgumentError(`${name} needs a whole number of seconds from 0 to ${largestTimeout}.`);
  }
  return { timeout, seconds };
}

async function list(cli: Cli, command: Command, options: { readonly changed?: boolean }): Promise<void> {
  const values: TimeoutValues = await withDirector(cli, command, async (director) =>
    present((await director.getTimeouts({})).timeouts, 'timeouts'),
  );
  const rows = timeouts
    .map((timeout) => ({ ...timeout, seconds: values[timeout.field] }))
    .filter(({ seconds, initialS }) => !options.changed || seconds !== initialS);
  const view = rows.map(({ name, state, seconds, initialS }) => ({ name, state, seconds, default: initialS }));
  await print(cli, command, { timeouts: view }, () =>
    tableLines(
      [
        { title: 'NAME', value: ({ name }) => name },
        { title: 'SECONDS', value: ({ seconds }) => seconds, right: true },
        { title: 'DEFAULT', value: ({ initialS }) => initialS, right: true },
        { title: 'STATE', value: ({ state }) => state },
      ],
      rows,
    ),
  );
}

async function set(
  cli: Cli,
  command: Command,
  assignments: readonly Assignment[],
  options: { readonly dryRun?: boolean },
): Promise<void> {
  const given = new Map(assignments.map(({ timeout, seconds }) => [timeout.field, seconds]));
  // To the API 0 means "as it is".
  const wanted = timeoutsFrom(({ field }) => {
    const seconds = given.get(field);
    return seconds === undefined ? 0 : seconds || defaultTimeouts[field];
  });
  await withDirector(cli, command, async (director) => {
    const operations = { operations: [{ setTimeouts: wanted }] };
    const request = { operations, validateOnly: options.dryRun ?? false };
    await printEdit(cli, command, await director.apply(request, editSettings), timeoutsEntry(wanted));
  });
}
