// SPDX-License-Identifier: Apache-2.0
// fulcrum config: the whole configuration as one YAML file, applied as one change.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Command } from 'commander';
import { operationText, operationView } from '../config/operation_text.js';
import { withoutSecrets } from '../config/secrets.js';
import type { ApplyResponse__Output } from '../generated/fulcrum/v1/ApplyResponse.js';
import type { DataplaneStatus__Output } from '../generated/fulcrum/v1/DataplaneStatus.js';
import type { RevisionInfo__Output } from '../generated/fulcrum/v1/RevisionInfo.js';
import type { DirectorClient } from '../grpc/client.js';
import {
  type Cli,
  editSettings,
  globalOptions,
  present,
  print,
  requireInForce,
  wholeNumber,
  withDirector,
} from './cli.js';
import { readText, withConfigurationFile } from './configuration_file.js';
import { CommandError, exitCodes } from './exit_codes.js';
import { type Column, jsonText, tableLines } from './output.js';

interface FileOptions {
  readonly file: string;
  readonly prune?: boolean;
  readonly dryRun?: boolean;
  readonly revision?: string;
  readonly first?: boolean;
}

export function register(program: Command, cli: Cli): void {
  const config = program
    .command('config')
    .description('the configuration as one file')
    .addHelpText(
      'after',
      `
A file has six parts, each of which may be left out:

  services:
    - address: tcp:203.0.113.10:80
      scheduler: wrr
      servers:                          # in the order in which they are added
        - { address: 10.0.0.11:80, method: nat, weight: 2 }
        - { address: 10.0.0.12:80, method: nat }
      deny: [bogons]                    # a prefix list, or prefixes
      max_connections: 10000
      mss: auto
      health:                           # left out: no checks
        checks:
          - { type: http, path: /health, interval: 2, fall: 3 }
  vips:
    - { address: 203.0.113.10, announce: arp, state: active }
    - { address: 198.51.100.0/24, announce: route }
  timeouts: { tcp: 900, tcp_fin: 120, udp: 300 }
  tunables: { conn_reuse_mode: 0 }
  mark_rules:                           # the first one that matches
    - { mark: 7, protocol: tcp, destination: 198.51.100.0/24, destination_ports: 80 }
  prefix_lists:
    bogons: [10.0.0.0/8, 192.168.0.0/16]

The file of "fulcrum up" may be given too: only these parts of it are read.

Examples:
  fulcrum config show > director.yaml
  fulcrum config diff -f director.yaml
  fulcrum config apply -f director.yaml --prune --dry-run
  fulcrum config apply -f director.yaml --prune
  fulcrum config history
  fulcrum config diff 5c1f00aa-41
  fulcrum config rollback 5c1f00aa-41`,
    );
  fileOptions(config.command('apply'))
    .description('make the director run what the file says, all of it or nothing; what it does not name stays')
    .option('--dry-run', 'print what would be done, and do nothing')
    .option('--revision <revision>', 'refuse if the configuration is not this revision any more')
    .option('--first', 'do nothing if the director has ever had a configuration')
    .action((options, command) => apply(cli, command, options));
  config
    .command('diff')
    .description(
      'print what apply would do, or what leads from one revision to another; exit status 5 if that is anything',
    )
    .argument('[from]', 'a revision, instead of a file')
    .argument('[to]', 'another one; left out: the current one')
    .option('-f, --file <file>', 'YAML file; "-" for standard input')
    .option('--prune', pruneHelp)
    .action((from, to, options, command) => diff(cli, command, options, from, to));
  config
    .command('show')
    .description('print the configuration as a file that apply reads (YAML, or JSON with -o json)')
    .argument('[revision]', 'as it was then: see history')
    .action((revision, _, command) => show(cli, command, revision));
  config
    .command('history')
    .description('print who changed what when, the newest first: the last hundred revisions at least')
    .option('--limit <number>', 'no more than so many', wholeNumber(1, 1_000_000))
    .action((options, command) => history(cli, command, options));
  config
    .command('verify')
    .description('wait for the next digest of what each worker uses; exit status 5 if that is not what is declared')
    .action((_, command) => verify(cli, command));
  config
    .command('rollback')
    .description('make the director run what it ran at a revision; that is a new revision')
    .argument('<revision>', 'see history')
    .option('--dry-run', 'print what would be done, and do nothing')
    .action((revision, options, command) => rollback(cli, command, revision, options));
  config
    .command('dataplane')
    .description('print what the dataplane of such a file starts with, as its process reads it; needs no director')
    .requiredOption('-f, --file <file>', 'YAML file, as "fulcrum up" reads it')
    .action((options) => printStart(cli, options));
}

const pruneHelp =
  'delete services, servers, VIPs, mark rules and prefix lists that the file does not name; tunables go back to their defaults';

function fileOptions(command: Command): Command {
  return command.requiredOption('-f, --file <file>', 'YAML file; "-" for standard input').option('--prune', pruneHelp);
}

/** Applies the file. */
function send(
  cli: Cli,
  director: DirectorClient,
  options: FileOptions,
  validateOnly: boolean,
): Promise<ApplyResponse__Output> {
  const { prune = false, revision = '' } = options;
  return withConfigurationFile(cli, options.file, (configuration) =>
    director.apply({ configuration, mode: 'APPLY_MODE_ATOMIC', prune, validateOnly, revision }, editSettings),
  );
}

async function printOperations(
  cli: Cli,
  command: Command,
  answer: Pick<ApplyResponse__Output, 'operations' | 'revision'>,
): Promise<void> {
  const view = { operations: answer.operations.map(operationView), revision: answer.revision };
  await print(cli, command, view, () => answer.operations.map(operationText));
}

async function apply(cli: Cli, command: Command, options: FileOptions): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const dryRun = options.dryRun ?? false;
    const first = options.first ? await firstRevision(director) : '';
    if (first === undefined) return;
    const answer = await send(cli, director, first === '' ? options : { ...options, revision: first }, dryRun);
    await printOperations(cli, command, answer);
    if (!dryRun && !answer.inForce) {
      throw new CommandError(
        'stored, but not in force yet: the dataplane has not acknowledged it (see "fulcrum status")',
        exitCodes.notInForce,
      );
    }
  });
}

/** The revision of a director that has not been configured yet; undefined of any other. */
async function firstRevision(director: DirectorClient): Promise<string | undefined> {
  const { revision } = await director.getConfiguration({});
  return revision.endsWith('-0') ? revision : undefined;
}

async function printStart(cli: Cli, { file }: FileOptions): Promise<void> {
  const text = await readText(cli, file);
  const [{ parseConfig }, { thisMachine }] = await Promise.all([
    import('../config/parse.js'),
    import('../config/machine.js'),
  ]);
  const { start } = parseConfig(text, file === '-' ? '<stdin>' : file, thisMachine());
  await cli.write(`${JSON.stringify(start)}\n`);
}

async function diff(
  cli: Cli,
  command: Command,
  { file, prune }: Partial<FileOptions>,
  from: string | undefined,
  to = '',
): Promise<void> {
  if ((file === undefined) === (from === undefined)) command.error('error: name either a file (-f) or a revision');
  if (from !== undefined && prune) command.error('error: --prune is for a file');
  await withDirector(cli, command, async (director) => {
    const answer =
      file === undefined
        ? {
            operations: (await director.compareRevisions({ from: from ?? '', to })).operations.map(withoutSecrets),
            revision: to,
          }
        : await send(cli, director, { file, ...(prune && { prune }) }, true);
    await printOperations(cli, command, answer);
    if (answer.operations.length > 0) cli.setExitCode(exitCodes.differs);
  });
}

interface HistoryOptions {
  readonly limit?: number;
}

async function history(cli: Cli, command: Command, { limit = 0 }: HistoryOptions): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const { revisions } = await director.listRevisions({ limit });
    const view = revisions.map(({ revision, time, author, method, changes, changeCount }) => ({
      revision,
      time,
      author,
      method,
      changes,
      change_count: changeCount,
    }));
    await print(cli, command, { revisions: view }, () => tableLines(historyColumns, revisions));
  });
}

const historyColumns: readonly Column<RevisionInfo__Output>[] = [
  { title: 'REVISION', value: ({ revision }) => revision },
  { title: 'TIME', value: ({ time }) => time || '-' },
  { title: 'AUTHOR', value: ({ author }) => author || '-' },
  { title: 'METHOD', value: ({ method }) => method || '-' },
  { title: 'CHANGES', value: ({ changes, changeCount }) => changesText(changes, changeCount) },
];

function changesText([first = '']: readonly string[], count: number): string {
  return count > 1 ? `${first}, and ${count - 1} more` : first;
}

interface RollbackOptions {
  readonly dryRun?: boolean;
}

async function rollback(cli: Cli, command: Command, revision: string, options: RollbackOptions): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const { configuration } = await director.getConfiguration({ revision });
    const request = {
      configuration: present(configuration, 'configuration'),
      mode: 'APPLY_MODE_ATOMIC',
      prune: true,
      validateOnly: options.dryRun ?? false,
    } as const;
    const answer = await director.apply(request, editSettings);
    await printOperations(cli, command, answer);
    if (!options.dryRun) requireInForce(answer);
  });
}

async function show(cli: Cli, command: Command, revision = ''): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const { fromConfiguration } = await import('../config/services.js');
    const configuration = present((await director.getConfiguration({ revision })).configuration, 'configuration');
    const section = fromConfiguration(configuration);
    if (globalOptions(command).output === 'json') {
      await cli.write(`${jsonText(JSON.parse(JSON.stringify(section)), 2)}\n`);
      return;
    }
    const { fileText } = await import('../config/text.js');
    await cli.write(fileText(section));
  });
}

const verifyEveryMs = 200;
const longestVerifyMs = 10_000;

async function verify(cli: Cli, command: Command): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const begun = Date.now();
    for (;;) {
      const { dataplane } = await director.getStatus({});
      if (!dataplane?.connected)
        throw new CommandError(`the dataplane is not connected: ${dataplane?.lastError ?? ''}`, exitCodes.unreachable);
      // Made of an answer that came after the question.
      if (Date.parse(dataplane.comparedAt) > begun + verifyEveryMs) {
        await printComparison(cli, command, dataplane);
        return;
      }
      if (Date.now() > begun + longestVerifyMs)
        throw new CommandError(
          'no comparison has come about: the configuration changes all the time, or is not in force (see "fulcrum status")',
          exitCodes.notInForce,
        );
      await sleep(verifyEveryMs, undefined, { signal: cli.signal });
    }
  });
}

async function printComparison(
  cli: Cli,
  command: Command,
  { workers, generationApplied, disagreements, comparedAt }: DataplaneStatus__Output,
): Promise<void> {
  const view = {
    generation: BigInt(generationApplied),
    workers,
    compared_at: comparedAt,
    disagreements: disagreements.map(({ worker, difference, since }) => ({ worker, difference, since })),
  };
  await print(cli, command, view, () =>
    disagreements.length === 0
      ? [`${workers} workers use what is declared, generation ${generationApplied}`]
      : disagreements.map(({ worker, difference, since }) => `worker ${worker}: ${difference} (since ${since})`),
  );
  if (disagreements.length > 0) cli.setExitCode(exitCodes.differs);
}
