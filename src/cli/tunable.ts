// SPDX-License-Identifier: Apache-2.0
// fulcrum tunable: LVS's sysctl values and those of the director's own IP stack, read and set while it runs.
import { type Command, InvalidArgumentError } from 'commander';
import { suggestion } from '../config/document.js';
import { parseDecimal } from '../config/keys.js';
import {
  isSyncTunable,
  notAvailable,
  type Tunable,
  type TunableValues,
  tunableByName,
  tunables,
  tunablesEntry,
} from '../config/tunables.js';
import { type Cli, editSettings, present, print, printEdit, withDirector } from './cli.js';
import { CommandError } from './exit_codes.js';
import { tableLines } from './output.js';

interface SetOptions {
  readonly dryRun?: boolean;
  readonly revision?: string;
}

interface Assignment {
  readonly tunable: Tunable;
  readonly value: number;
}

export function register(program: Command, cli: Cli): void {
  const tunable = program
    .command('tunable')
    .description("LVS's tunables (net.ipv4.vs.*), and some of the director's own IP stack")
    .addHelpText(
      'after',
      `
They have the names, meanings and defaults that they have in Linux. They are kept over restarts. A name may be given as
sysctl has it, too: net.ipv4.vs.conn_reuse_mode. The automatic mode (1) of secure_tcp, drop_entry and drop_packet reads 2
while it is at work. All of them are in docs/configuration.md.

Examples:
  fulcrum tunable list
  fulcrum tunable list --changed
  fulcrum tunable get conn_reuse_mode
  fulcrum tunable set conn_reuse_mode=0 expire_nodest_conn=1`,
    );
  tunable
    .command('list')
    .description('list them with their values, defaults and meanings')
    .option('--changed', 'only those that are not at their default')
    .action((options, command) => list(cli, command, options));
  tunable
    .command('get')
    .description('print the value of one, or of several, a line each')
    .argument('<name...>', 'for example conn_reuse_mode', (text: string, before?: readonly Tunable[]) => [
      ...(before ?? []),
      named(text),
    ])
    .action((wanted, _, command) => get(cli, command, wanted));
  tunable
    .command('set')
    .description('set one or several, all of them or none')
    .argument('<name=value...>', 'for example conn_reuse_mode=0', (text: string, before?: readonly Assignment[]) => [
      ...(before ?? []),
      assignment(text),
    ])
    .option('--dry-run', 'only check whether the director would do it')
    .option('--revision <revision>', 'refuse if the configuration is not this revision any more')
    .action((assignments, options, command) => set(cli, command, assignments, options));
}

function named(text: string): Tunable {
  const name = text.replace(/^net[./]ipv4[./]vs[./]/, '');
  const tunable = tunableByName(name);
  if (tunable !== undefined) return tunable;
  if (isSyncTunable(name)) throw new CommandError(`${name} ${notAvailable}`);
  const names = tunables.map((known) => known.name);
  throw new InvalidArgumentError(`There is no tunable "${name}"${suggestion(name, names) || '; see "tunable list"'}`);
}

function assignment(text: string): Assignment {
  const [, name = '', digits = ''] = /^\s*([^=]*?)\s*=\s*(.*?)\s*$/.exec(text) ?? [];
  if (name === '') throw new InvalidArgumentError('NAME=VALUE is needed.');
  const tunable = named(name);
  const value = parseDecimal(digits, tunable.minimum, tunable.maximum);
  if (value === undefined) {
    throw new InvalidArgumentError(
      `${tunable.name} needs a whole number from ${tunable.minimum} to ${tunable.maximum}.`,
    );
  }
  return { tunable, value };
}

function read(cli: Cli, command: Command): Promise<TunableValues> {
  return withDirector(cli, command, async (director) => present((await director.getTunables({})).tunables, 'tunables'));
}

async function list(cli: Cli, command: Command, options: { readonly changed?: boolean }): Promise<void> {
  const values = await read(cli, command);
  const rows = tunables
    .map((tunable) => ({ ...tunable, value: values[tunable.field] ?? tunable.initial }))
    .filter(({ value, initial }) => !options.changed || value !== initial);
  const view = rows.map(({ name, value, initial, minimum, maximum, meaning }) => ({
    name,
    value,
    default: initial,
    minimum,
    maximum,
    meaning,
  }));
  await print(cli, command, { tunables: view }, () =>
    tableLines(
      [
        { title: 'NAME', value: ({ name }) => name },
        { title: 'VALUE', value: ({ value }) => value, right: true },
        { title: 'DEFAULT', value: ({ initial }) => initial, right: true },
        { title: 'MEANING', value: ({ meaning }) => meaning },
      ],
      rows,
    ),
  );
}

async function get(cli: Cli, command: Command, wanted: readonly Tunable[]): Promise<void> {
  const values = await read(cli, command);
  const rows = wanted.map(({ name, field, initial }) => [name, values[field] ?? initial] as const);
  await print(cli, command, Object.fromEntries(rows), () => rows.map(([, value]) => String(value)));
}

async function set(cli: Cli, command: Command, assignments: readonly Assignment[], options: SetOptions): Promise<void> {
  const wanted: TunableValues = Object.fromEntries(assignments.map(({ tunable, value }) => [tunable.field, value]));
  await withDirector(cli, command, async (director) => {
    const request = { tunables: wanted, validateOnly: options.dryRun ?? false, revision: options.revision ?? '' };
    const answer = await director.setTunables(request, editSettings);
    await printEdit(cli, command, answer, tunablesEntry(present(answer.tunables, 'tunables')));
  });
}
