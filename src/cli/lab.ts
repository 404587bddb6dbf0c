// SPDX-License-Identifier: Apache-2.0
// fulcrum lab up: client, director and three real servers on this machine, with real requests through all three
// forwarding methods, over IPv4 and IPv6, and a table of who answered them.

import { writeFileSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import { Lab } from '../lab/lab.js';
import { services, urlOf } from '../lab/plan.js';
import { Tally } from '../lab/tally.js';
import { WorldExists } from '../lab/world.js';
import { type Cli, wholeNumber } from './cli.js';
import { CommandError } from './exit_codes.js';

interface LabUpOptions {
  readonly once?: boolean;
  readonly json?: boolean;
  readonly workers: number;
  readonly requests: number;
  readonly prefix: string;
  readonly keepConfig?: string;
}

/** Pause between two requests to a VIP while the table is watched. */
const intervalMs = 50;
const tableMs = 1000;

export function register(program: Command, _cli: Cli): void {
  program
    .command('lab')
    .description('a director with client and real servers on this machine, for trying out')
    .command('up')
    .description('build it, send requests, show who answered; removed without a trace at the end')
    .option('--once', 'send a number of requests to each VIP and end; exit code 0 only if none failed')
    .option('--json', 'with the result as JSON in the last line')
    .option('--workers <number>', 'workers of the dataplane', wholeNumber(1, 16), 1)
    .option('--requests <number>', 'requests to each VIP with --once', wholeNumber(1, 1_000_000), 300)
    .option('--prefix <name>', 'names of the namespaces begin with it', prefix, 'fulcrum')
    .option('--keep-config <file>', "write the director's configuration here, to begin with one's own")
    .action(labUp);
}

function prefix(text: string): string {
  if (/^[a-z][a-z0-9-]{0,19}$/.test(text)) return text;
  throw new InvalidArgumentError('at most 20 lower-case letters, digits and "-" are needed, with a letter in front');
}

const say = (text: string): void => {
  process.stderr.write(`lab: ${text}\n`);
};

async function labUp(options: LabUpOptions): Promise<void> {
  if (process.getuid?.() !== 0) throw new CommandError('network namespaces need root: run it as root or with sudo');
  const stopping = new AbortController();
  const stop = (): void => {
    if (!stopping.signal.aborted) say('removing everything');
    stopping.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  // Nobody reads the table any longer: that is a reason to end, but not before everything is removed.
  process.stdout.removeAllListeners('error').on('error', stop);
  process.stderr.on('error', stop);
  try {
    process.exitCode = await runLab(options, stopping.signal);
  } catch (error) {
    if (stopping.signal.aborted) process.exitCode = 130;
    else if (error instanceof WorldExists)
      throw new CommandError(`${error.message}; stop it, or choose another --prefix`);
    else throw new CommandError(error instanceof Error ? error.message : String(error));
  }
}

async function runLab(options: LabUpOptions, signal: AbortSignal): Promise<number> {
  const lab = await Lab.start({ prefix: options.prefix, workers: options.workers, say, signal });
  const tally = new Tally();
  try {
    if (options.keepConfig !== undefined) writeFileSync(options.keepConfig, lab.configuration);
    if (options.once) await once(lab, tally, options.requests, signal);
    else await watch(lab, tally, signal);
  } finally {
    await lab.destroy();
  }
  const failures = tally.failures();
  for (const line of failures) say(line);
  if (options.json) process.stdout.write(`${JSON.stringify(tally.json())}\n`);
  return options.once && failures.length > 0 ? 1 : 0;
}

async function once(lab: Lab, tally: Tally, requests: number, signal: AbortSignal): Promise<void> {
  say(`${requests} requests to each of ${services.map(({ vip }) => vip).join(', ')}`);
  await lab.requestInTurn(requests, (result) => tally.add(result), signal);
  process.stdout.write(`${tally.table().join('\n')}\n`);
}

/** Shows the table until the signal, or until the director ends. */
async function watch(lab: Lab, tally: Tally, signal: AbortSignal): Promise<void> {
  const inside = (name: string): string => `ip netns exec ${lab.world.name(name)}`;
  say('ready; Ctrl-C removes everything. From another terminal:');
  say(`  ${inside('director')} bin/ipvsadm -Ln`);
  say(`  ${inside('director')} bin/fulcrum stats`);
  for (const service of services.filter(({ method }) => method === 'nat'))
    say(`  ${inside('client')} curl ${urlOf(service)}`);
  const client = lab.requestForever(intervalMs, (result) => tally.add(result));
  const timer = setInterval(() => draw(tally.table()), tableMs);
  const ending = await Promise.race([
    new Promise<undefined>((resolve) => signal.addEventListener('abort', () => resolve(undefined), { once: true })),
    lab.director.task.ended.then((reason) => `the director ended (${reason}):\n${lab.director.log.join('\n')}`),
    client.ended.then((reason) => `the client ended (${reason}): ${client.tail.join('\n')}`),
  ]);
  clearInterval(timer);
  draw(tally.table());
  if (ending !== undefined && !signal.aborted) throw new Error(ending);
}

let drawn = 0;

/** On a terminal the table stays where it is; in a file one follows the other. */
function draw(lines: readonly string[]): void {
  const up = process.stdout.isTTY && drawn > 0 ? `\x1b[${drawn}A\x1b[J` : '';
  process.stdout.write(`${up}${lines.join('\n')}\n${process.stdout.isTTY ? '' : '\n'}`);
  drawn = lines.length;
}
