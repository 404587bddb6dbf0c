// SPDX-License-Identifier: Apache-2.0
// fulcrum mark: the rules that give packets the marks by which fwmark services take them.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { KeyError, largestMark } from '../config/keys.js';
import {
  families,
  formatPorts,
  type MarkRuleEntry,
  markProtocols,
  markRuleEntry,
  parsePorts,
  readPrefixText,
  toMarkRule,
} from '../config/mark_rules.js';
import type { MarkRule__Output } from '../generated/fulcrum/v1/MarkRule.js';
import type { SetMarkRulesResponse__Output } from '../generated/fulcrum/v1/SetMarkRulesResponse.js';
import type { DirectorClient } from '../grpc/client.js';
import { FulcrumError } from '../grpc/errors.js';
import { type Cli, editSettings, print, printEdit, wholeNumber, withDirector } from './cli.js';
import { CommandError, exitCodes } from './exit_codes.js';
import { tableLines, type View } from './output.js';

interface AddOptions {
  readonly family?: string;
  readonly protocol?: string;
  readonly source?: string;
  readonly destination?: string;
  readonly sourcePorts?: string;
  readonly destinationPorts?: string;
  readonly local?: boolean;
  readonly at?: number;
  readonly dryRun?: boolean;
}

interface DeleteOptions {
  readonly all?: boolean;
  readonly dryRun?: boolean;
  readonly revision?: string;
}

/** As many as there may be. */
const mostRules = 1_000;
/** Others may edit at the same time: so often the list is read again. */
const attempts = 5;

export function register(program: Command, cli: Cli): void {
  const mark = program
    .command('mark')
    .description('mark rules: which packets a fwmark service takes')
    .addHelpText(
      'after',
      `
The rules are held against a packet in order, and the first one that matches gives it its mark. What a rule leaves out
matches anything. A fwmark service takes marked packets that are addressed to the director: to a VIP, to an address of a
VIP range (see "fulcrum vip"), or, whatever their destination, those that a rule with --local matches.

Examples:
  fulcrum mark add 7 --protocol tcp --destination 203.0.113.0/24 --destination-ports 80
  fulcrum mark add 7 --protocol tcp --destination 203.0.113.0/24 --destination-ports 8000-8099 --at 1
  fulcrum mark add 8 --protocol tcp --destination-ports 3128 --local
  fulcrum service add fwmark:7 --scheduler rr
  fulcrum mark list
  fulcrum mark delete 2`,
    );
  mark
    .command('list')
    .description('list them in order, with their numbers')
    .action((_, command) => list(cli, command));
  addOptions(mark.command('add'))
    .description('add one, at the end unless --at says where')
    .action((value, options, command) => add(cli, command, value, options));
  mark
    .command('delete')
    .description('delete those with these numbers, as "mark list" shows them')
    .argument('[number...]', 'for example 2', (text: string, before?: readonly number[]) => [
      ...(before ?? []),
      wholeNumber(1, mostRules)(text),
    ])
    .option('--all', 'all of them')
    .option('--revision <revision>', 'refuse if the configuration is not this revision any more')
    .option('--dry-run', 'only check whether the director would do it')
    .action((numbers, options, command) => remove(cli, command, numbers ?? [], options));
}

function addOptions(command: Command): Command {
  return command
    .argument('<mark>', `0 to ${largestMark}; 0: no mark, an exception to later rules`, wholeNumber(0, largestMark))
    .addOption(new Option('--family <family>', 'where no prefix tells it').choices(Object.keys(families)))
    .addOption(new Option('--protocol <protocol>', 'default: any').choices(Object.keys(markProtocols)))
    .option('--source <prefix>', 'an address or a prefix, 198.51.100.0/24', prefix)
    .option('--destination <prefix>', 'an address or a prefix', prefix)
    .option('--source-ports <ports>', '80 or 8000-8099; needs --protocol', ports)
    .option('--destination-ports <ports>', '80 or 8000-8099; needs --protocol', ports)
    .option('--local', 'what matches counts as addressed to the director, whatever its destination')
    .option('--at <number>', 'put it before the rule that has this number now; 1: first', wholeNumber(1, mostRules))
    .option('--dry-run', 'only check whether the director would do it');
}

function prefix(text: string): string {
  return checked(text, () => readPrefixText(text));
}

function ports(text: string): string {
  return checked(text, () => parsePorts(text));
}

/** The text itself, once a reader had no complaint. */
function checked(text: string, read: () => unknown): string {
  try {
    read();
    return text;
  } catch (error) {
    if (error instanceof KeyError) throw new InvalidArgumentError(`${error.message}.`);
    throw error;
  }
}

function ruleOf(mark: number, options: AddOptions): MarkRule__Output {
  const { family, protocol, source, destination, sourcePorts, destinationPorts, local } = options;
  const entry: MarkRuleEntry = {
    mark,
    ...(family !== undefined && { family }),
    ...(protocol !== undefined && { protocol }),
    ...(source !== undefined && { source }),
    ...(destination !== undefined && { destination }),
    ...(sourcePorts !== undefined && { source_ports: sourcePorts }),
    ...(destinationPorts !== undefined && { destination_ports: destinationPorts }),
    ...(local && { local }),
  };
  try {
    return toMarkRule(entry, (_field, read) => read());
  } catch (error) {
    if (error instanceof KeyError) throw new CommandError(error.message, exitCodes.usage);
    throw error;
  }
}

function ruleView(rule: MarkRule__Output): View {
  return { ...markRuleEntry(rule) };
}

async function list(cli: Cli, command: Command): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const { markRules, revision } = await director.getMarkRules({});
    const rules = markRules?.rules ?? [];
    const rows = rules.map((rule, index) => ({ ...rule, entry: markRuleEntry(rule), number: index + 1 }));
    await print(cli, command, { mark_rules: rules.map(ruleView), revision }, () =>
      tableLines(
        [
          { title: 'NUMBER', value: ({ number }) => number, right: true },
          { title: 'MARK', value: ({ mark }) => mark, right: true },
          { title: 'FAMILY', value: ({ family }) => nameOf(families, family) },
          { title: 'PROTOCOL', value: ({ entry }) => entry.protocol ?? 'any' },
          { title: 'SOURCE', value: ({ source }) => source || 'any' },
          { title: 'PORTS', value: ({ sourcePorts }) => formatPorts(sourcePorts) || 'any' },
          { title: 'DESTINATION', value: ({ destination }) => destination || 'any' },
          { title: 'PORTS', value: ({ destinationPorts }) => formatPorts(destinationPorts) || 'any' },
          { title: 'LOCAL', value: ({ local }) => (local ? 'yes' : 'no') },
        ],
        rows,
      ),
    );
  });
}

function nameOf<T>(names: Readonly<Record<string, T>>, value: T): string {
  return Object.keys(names).find((name) => names[name] === value) ?? 'any';
}

/** Reads the list, changes it, and puts it back if nothing was changed meanwhile; otherwise again. */
async function edit(
  director: DirectorClient,
  change: (rules: readonly MarkRule__Output[]) => readonly MarkRule__Output[],
  validateOnly: boolean,
): Promise<SetMarkRulesResponse__Output> {
  for (let attempt = 1; ; attempt++) {
    const { markRules, revision } = await director.getMarkRules({});
    const rules = [...change(markRules?.rules ?? [])];
    try {
      return await director.setMarkRules({ markRules: { rules }, validateOnly, revision }, editSettings);
    } catch (error) {
      const isStale = error instanceof FulcrumError && error.reason === 'REASON_STALE';
      if (!isStale || attempt === attempts) throw error;
    }
  }
}

async function add(cli: Cli, command: Command, value: number, options: AddOptions): Promise<void> {
  const rule = ruleOf(value, options);
  await withDirector(cli, command, async (director) => {
    const answer = await edit(
      director,
      (rules) => {
        const at = Math.min((options.at ?? rules.length + 1) - 1, rules.length);
        return [...rules.slice(0, at), rule, ...rules.slice(at)];
      },
      options.dryRun ?? false,
    );
    await printEdit(cli, command, answer, { mark_rules: (answer.markRules?.rules ?? []).map(ruleView) });
  });
}

/** A number means the rule that the caller has seen: if the list changes between reading and writing, it is refused. */
async function remove(cli: Cli, command: Command, numbers: readonly number[], options: DeleteOptions): Promise<void> {
  if ((numbers.length === 0) === !options.all) {
    throw new CommandError('give the numbers of the rules, or --all', exitCodes.usage);
  }
  await withDirector(cli, command, async (director) => {
    const { markRules, revision } = await director.getMarkRules({});
    const rules = markRules?.rules ?? [];
    const unknown = numbers.find((number) => number > rules.length);
    if (unknown !== undefined) throw new CommandError(`there is no rule ${unknown}; there are ${rules.length}`);
    const kept = options.all ? [] : rules.filter((_, index) => !numbers.includes(index + 1));
    const request = {
      markRules: { rules: kept },
      validateOnly: options.dryRun ?? false,
      revision: options.revision ?? revision,
    };
    const answer = await director.setMarkRules(request, editSettings);
    await printEdit(cli, command, answer, { mark_rules: (answer.markRules?.rules ?? []).map(ruleView) });
  });
}
