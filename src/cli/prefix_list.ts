// SPDX-License-Identifier: Apache-2.0
// fulcrum prefix-list: lists of prefixes that services allow or deny by name.
import { readFile } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { formatServiceKey, KeyError } from '../config/keys.js';
import { readPrefixText } from '../config/mark_rules.js';
import { listName } from '../config/traffic.js';
import type { Operation } from '../generated/fulcrum/v1/Operation.js';
import type { DirectorClient } from '../grpc/client.js';
import { FulcrumError } from '../grpc/errors.js';
import { type Cli, editSettings, print, printEdit, withDirector } from './cli.js';
import { CommandError, exitCodes } from './exit_codes.js';
import { tableLines } from './output.js';

interface SetOptions {
  readonly file?: string;
  readonly dryRun?: boolean;
}

/** Others may edit at the same time: so often the list is read again. */
const attempts = 5;

export function register(program: Command, cli: Cli): void {
  const lists = program
    .command('prefix-list')
    .description('lists of prefixes that services allow or deny')
    .addHelpText(
      'after',
      `
A list has prefixes of either family, and may have many: only the first packet of a connection is held against them.
Services name it ("fulcrum service traffic"); a change of the list
holds for the connections that begin from then on.

Examples:
  fulcrum prefix-list set office 198.51.100.0/24 2001:db8:aa::/48
  fulcrum prefix-list set bogons --file bogons.txt      # one prefix a line, "#" begins a comment
  fulcrum prefix-list add office 203.0.113.7
  fulcrum service traffic tcp:203.0.113.10:443 --deny bogons
  fulcrum prefix-list show office
  fulcrum prefix-list delete office`,
    );
  lists
    .command('list')
    .description('list them with the number of their prefixes and the services that refer to them')
    .action((_, command) => list(cli, command));
  lists
    .command('show')
    .description('print the prefixes of one')
    .argument('<name>', 'of the list', nameArgument)
    .action((name, _, command) => show(cli, command, name));
  edits(lists.command('set'))
    .description('make one, or replace all of its prefixes')
    .action((name, prefixes, options, command) =>
      change(cli, command, options, name, prefixes, (_before, given) => given),
    );
  edits(lists.command('add'))
    .description('add prefixes to one')
    .action((name, prefixes, options, command) =>
      change(cli, command, options, name, prefixes, (before, given) => [...existing(before, name), ...given]),
    );
  edits(lists.command('remove'))
    .description('remove prefixes from one')
    .action((name, prefixes, options, command) =>
      change(cli, command, options, name, prefixes, (before, given) => without(existing(before, name), given)),
    );
  lists
    .command('delete')
    .description('delete one that no service refers to')
    .argument('<name>', 'of the list', nameArgument)
    .option('--dry-run', 'only check whether the director would do it')
    .action((name, { dryRun }, command) => remove(cli, command, name, dryRun ?? false));
}

function edits(command: Command): Command {
  return command
    .argument('<name>', 'of the list', nameArgument)
    .argument('[prefixes...]', 'such as 198.51.100.0/24; an address alone stands for itself')
    .option('--file <file>', 'with prefixes, one a line; "-" for standard input')
    .option('--dry-run', 'only check whether the director would do it');
}

function nameArgument(text: string): string {
  if (new RegExp(listName).test(text)) return text;
  throw new InvalidArgumentError('A letter, then letters, digits, "_" and "-" are needed, at most 64.');
}

async function list(cli: Cli, command: Command): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const { lists } = await director.listPrefixLists({ namesOnly: true });
    const rows = lists.map((entry) => ({
      name: entry.list?.name ?? '',
      prefixes: entry.prefixes,
      services: entry.services.map(formatServiceKey),
    }));
    await print(cli, command, { prefix_lists: rows }, () =>
      tableLines(
        [
          { title: 'NAME', value: ({ name }) => name },
          { title: 'PREFIXES', value: ({ prefixes }) => prefixes, right: true },
          { title: 'SERVICES', value: ({ services }) => services.join(', ') },
        ],
        rows,
      ),
    );
  });
}

async function show(cli: Cli, command: Command, name: string): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const prefixes = await prefixesOf(director, name);
    await print(cli, command, { name, prefixes }, () => prefixes);
  });
}

async function prefixesOf(director: DirectorClient, name: string): Promise<readonly string[]> {
  const { lists } = await director.listPrefixLists({ name });
  return lists[0]?.list?.prefixes ?? [];
}

/** Of arguments, then of the file; each complaint names where it stands. */
async function given(cli: Cli, prefixes: readonly string[], file: string | undefined): Promise<readonly string[]> {
  const read = prefixes.map((text, index) => checked(text, `prefix ${index + 1}`));
  if (file === undefined) {
    if (read.length > 0) return read;
    throw new CommandError('give prefixes, or --file', exitCodes.usage);
  }
  const lines = (await textOf(cli, file)).split('\n').map((line) => line.replace(/#.*/, '').trim());
  const name = file === '-' ? '<stdin>' : file;
  return [...read, ...lines.flatMap((line, index) => (line === '' ? [] : [checked(line, `${name}:${index + 1}`)]))];
}

async function textOf(cli: Cli, file: string): Promise<string> {
  if (file !== '-') {
    return readFile(file, 'utf8').catch((error: Error) => {
      throw new CommandError(`${file}: ${error.message}`);
    });
  }
  let text = '';
  for await (const piece of cli.input()) text += piece;
  return text;
}

/** As the director writes it: an address alone with its length. */
function checked(text: string, where: string): string {
  try {
    readPrefixText(text);
  } catch (error) {
    if (error instanceof KeyError) throw new CommandError(`${where}: ${error.message}`, exitCodes.usage);
    throw error;
  }
  return text;
}

function existing(before: readonly string[] | undefined, name: string): readonly string[] {
  if (before !== undefined) return before;
  throw new CommandError(`there is no prefix list "${name}"`);
}

/** Every one that is to go must be there. */
function without(before: readonly string[], given: readonly string[]): readonly string[] {
  const key = (text: string) => {
    const { family, value, length } = readPrefixText(text);
    return `${family} ${value}/${length}`;
  };
  const going = new Map(given.map((text) => [key(text), text]));
  const kept = before.filter((text) => !going.delete(key(text)));
  const [unknown] = going.values();
  if (unknown !== undefined) throw new CommandError(`${unknown} is not in the list`);
  return kept;
}

async function change(
  cli: Cli,
  command: Command,
  { file, dryRun = false }: SetOptions,
  name: string,
  texts: readonly string[],
  result: (before: readonly string[] | undefined, given: readonly string[]) => readonly string[],
): Promise<void> {
  const prefixes = await given(cli, texts, file);
  await withDirector(cli, command, async (director) => {
    for (let attempt = 1; ; attempt++) {
      const { revision, lists } = await director.listPrefixLists({ namesOnly: true });
      const isThere = lists.some(({ list }) => list?.name === name);
      const before = isThere ? await prefixesOf(director, name) : undefined;
      const operation = { setPrefixList: { name, prefixes: [...result(before, prefixes)] } };
      try {
        await edit(cli, command, director, operation, dryRun, revision);
        return;
      } catch (error) {
        const isStale = error instanceof FulcrumError && error.reason === 'REASON_STALE';
        if (!isStale || attempt === attempts) throw error;
      }
    }
  });
}

async function remove(cli: Cli, command: Command, name: string, dryRun: boolean): Promise<void> {
  await withDirector(cli, command, (director) => edit(cli, command, director, { deletePrefixList: name }, dryRun, ''));
}

async function edit(
  cli: Cli,
  command: Command,
  director: DirectorClient,
  operation: Operation,
  validateOnly: boolean,
  revision: string,
): Promise<void> {
  const operations = { operations: [operation] };
  const answer = await director.apply({ operations, mode: 'APPLY_MODE_ATOMIC', validateOnly, revision }, editSettings);
  await printEdit(cli, command, answer, {});
}
