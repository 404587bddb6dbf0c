// SPDX-License-Identifier: Apache-2.0
// The fulcrum command line: nouns and verbs, common options, errors in one line, exit codes.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import { FulcrumError } from '../grpc/errors.js';
import { projectRoot } from '../grpc/loader.js';
import type { Cli } from './cli.js';
import { register as registerConfig } from './config.js';
import { register as registerConnection } from './connection.js';
import { CommandError, type ExitCode, exitCodeOf, exitCodes, exitCodesHelp } from './exit_codes.js';
import { register as registerExplain } from './explain.js';
import { register as registerMark } from './mark.js';
import { register as registerNeighbor } from './neighbor.js';
import { outputFormats } from './output.js';
import { register as registerPlan } from './plan.js';
import { register as registerPort } from './port.js';
import { register as registerPrefixList } from './prefix_list.js';
import { register as registerRoute } from './route.js';
import { register as registerServer } from './server.js';
import { register as registerService } from './service.js';
import { register as registerStats } from './stats.js';
import { register as registerStatus } from './status.js';
import type { Streams } from './streams.js';
import { register as registerTimeout } from './timeout.js';
import { register as registerTrace } from './trace.js';
import { register as registerTunable } from './tunable.js';
import { register as registerVip } from './vip.js';
import { register as registerWatch } from './watch.js';

/** Everything of Cli but what run() itself knows. */
export type CliHost = Omit<Cli, 'setExitCode'>;

interface Noun {
  register(program: Command, cli: Cli): void;
}

/** Commands that bring much code along; loaded when they, or the help on all commands, are asked for. */
const heavyNouns: Readonly<Record<string, () => Promise<Noun>>> = {
  import: () => import('./import.js'),
  up: () => import('./up.js'),
  lab: () => import('./lab.js'),
  bench: () => import('./bench.js'),
};

/** Runs the words after "fulcrum"; returns the exit code. */
export async function fulcrum(words: readonly string[], host: CliHost): Promise<number> {
  let exitCode: number = exitCodes.done;
  const cli: Cli = {
    ...host,
    setExitCode: (code: ExitCode) => {
      exitCode = code;
    },
  };
  const program = await buildProgram(cli, words);
  try {
    await program.parseAsync(joinServiceWords(words), { from: 'user' });
    return exitCode;
  } catch (error) {
    return await failure(error, cli);
  }
}

async function buildProgram(cli: Cli, words: readonly string[]): Promise<Command> {
  const { version } = createRequire(import.meta.url)(join(projectRoot, 'package.json')) as { version: string };
  const program = new Command('fulcrum')
    .description('Linux Virtual Server as a DPDK appliance: commands to the director of this network namespace.')
    .version(version, '-V, --version', 'print the version')
    .addOption(new Option('-o, --output <format>', 'how to print').choices(outputFormats).default('table'))
    .option('--socket <path>', 'socket of the director (default: FULCRUM_SOCKET, else that of this network namespace)')
    .configureHelp({ showGlobalOptions: true, helpWidth: 100 })
    .addHelpText('after', examples)
    .addHelpText('afterAll', exitCodesHelp)
    .exitOverride();
  captureOutput(program, cli);
  program.commandsGroup('Virtual services:');
  for (const register of [registerService, registerServer, registerVip, registerMark, registerPrefixList])
    register(program, cli);
  program.commandsGroup('Observation:');
  for (const register of [
    registerStatus,
    registerStats,
    registerConnection,
    registerExplain,
    registerNeighbor,
    registerPort,
    registerRoute,
    registerTrace,
    registerWatch,
  ]) {
    register(program, cli);
  }
  program.commandsGroup('Director:');
  for (const register of [registerConfig, registerPlan, registerTunable, registerTimeout]) register(program, cli);
  await registerHeavy(program, cli, words);
  program.helpCommand('help [command...]', 'the same as --help');
  return program;
}

const examples = `
Examples:
  fulcrum service add tcp:203.0.113.10:80 --scheduler wrr
  fulcrum server add tcp:203.0.113.10:80 10.0.0.11:80 --method nat --weight 2
  fulcrum status
  fulcrum stats
  fulcrum config show > director.yaml
  ip netns exec director fulcrum service list -o json

"fulcrum COMMAND --help" tells more about each. The same director also takes ipvsadm's commands: see "ipvsadm -h".`;

/** Commander's own text goes where the command's goes. */
function captureOutput(program: Command, streams: Streams): void {
  program.configureOutput({
    writeOut: (text) => void streams.write(text),
    writeErr: (text) => streams.complain(text.trimEnd()),
    outputError: (text, write) =>
      write(
        `fulcrum: ${text
          .replace(/^error: /, '')
          .trimEnd()
          .replaceAll('\n', ' ')}`,
      ),
  });
}

async function registerHeavy(program: Command, cli: Cli, words: readonly string[]): Promise<void> {
  const noun = words.find((word) => !word.startsWith('-'));
  const isKnown = program.commands.some((command) => command.name() === noun);
  for (const [name, load] of Object.entries(heavyNouns)) {
    if (!isKnown || noun === name) (await load()).register(program, cli);
  }
}

const protocolWords = ['tcp', 'udp', 'sctp', 'fwmark'];

/** "tcp 203.0.113.10:80" in two words is the same as "tcp:203.0.113.10:80". */
function joinServiceWords(words: readonly string[]): string[] {
  const joined: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? '';
    const next = words[at + 1];
    const isValue = words[at - 1] === '--protocol';
    if (!isValue && protocolWords.includes(word) && next !== undefined && !next.startsWith('-')) {
      joined.push(`${word}:${next}`);
      at++;
    } else joined.push(word);
  }
  return joined;
}

/** Prints what went wrong, one line; the exit code that goes with it. */
async function failure(error: unknown, cli: Cli): Promise<number> {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  if (cli.signal.aborted) return 130;
  if (error instanceof CommandError) {
    cli.complain(`fulcrum: ${error.message}`);
    return error.exitCode;
  }
  if (error instanceof FulcrumError) {
    cli.complain(`fulcrum: ${error.describe()}`);
    return exitCodeOf(error.code);
  }
  const { ConfigurationError } = await import('../config/document.js');
  if (!(error instanceof ConfigurationError)) throw error;
  cli.complain(error.message);
  return exitCodes.refused;
}
