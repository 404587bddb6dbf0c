// SPDX-License-Identifier: Apache-2.0
// fulcrum doctor: looks at this host, a configuration and the running director, and says what to change.
import { accessSync, constants, existsSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Command } from 'commander';
import { ConfigurationError } from '../config/document.js';
import { readConfig } from '../config/parse.js';
import type { StartConfig } from '../generated/fulcrum/dataplane/v1/StartConfig.js';
import { FulcrumError } from '../grpc/errors.js';
import { defaultStateDirectory } from '../grpc/paths.js';
import { checkCertificate } from '../host/checks/certificates.js';
import { checkCpus } from '../host/checks/cpus.js';
import { checkDevices, checkInterfaces } from '../host/checks/devices.js';
import { checkDirector } from '../host/checks/director.js';
import { checkDrivers, gatherDrivers } from '../host/checks/drivers.js';
import { checkHugepages, checkLimits } from '../host/checks/memory.js';
import { checkGateways, checkPorts } from '../host/checks/ports.js';
import { checkNode, checkProcessor } from '../host/checks/processor.js';
import { checkRights } from '../host/checks/rights.js';
import { checkServices } from '../host/checks/servers.js';
import { checkState, type StateFacts } from '../host/checks/state.js';
import { type DirectorFacts, gatherDirector } from '../host/director_facts.js';
import { gatherFacts, type HostFacts } from '../host/facts.js';
import { type Finding, type Level, levels, note, problem } from '../host/finding.js';
import { hostAt } from '../host/host.js';
import { needsOf } from '../host/needs.js';
import { version } from '../manager/version.js';
import { type Cli, globalOptions, withDirector } from './cli.js';
import { exitCodes } from './exit_codes.js';
import { documentText, type View } from './output.js';

interface Options {
  readonly config?: string;
  readonly stateDir?: string;
  readonly tls?: readonly string[];
  readonly all?: boolean;
}

/** Between two looks at the counters. */
const sampleMs = 1_000;

export function register(program: Command, cli: Cli): void {
  program
    .command('doctor')
    .description('look at this host and at its director, from the IOMMU to the servers, and say what to change')
    .option('--config <file>', 'YAML configuration: what it asks of this host is looked at, too')
    .option('--state-dir <directory>', 'durable state (default: as of "fulcrum up")')
    .option('--tls <file...>', 'certificates of the API, to look at their dates')
    .option('--all', 'show what is in order, too')
    .addHelpText(
      'after',
      `
Nothing is changed, no packet is sent. A director need not run; if one does, it is asked by its API, and for a second its
counters and events are watched. Findings are, in this order:

  problem   it does not work, or not for everybody
  warning   it works, and not as it could, or not for long
  note      good to know
  ok        only with --all

Looked at: CPU, clock, Node.js, DPDK's drivers, rights and limits; with --config its CPUs, huge pages, PCI devices, IOMMU
and interfaces; of a director its version, whether what is wanted is in force, fill of tables, losses and what they
mean, address conflicts, ports, gateways, and every service: pool, health, neighbours, DR servers behind a gateway,
tunnels on links that are too narrow, NAT servers whose answers do not come back.

Exit status: 0 without a problem; 1 with one.

Examples:
  fulcrum doctor
  fulcrum doctor --config /etc/fulcrum/director.yaml --tls /etc/fulcrum/api.crt
  fulcrum doctor -o json | jq -r '.findings[] | select(.level == "problem") | .change'`,
    )
    .action((options, command) => doctor(cli, command, options));
}

async function doctor(cli: Cli, command: Command, options: Options): Promise<void> {
  const host = hostAt();
  const [facts, director] = await Promise.all([gatherFacts(host), askDirector(cli, command)]);
  const configuration = readGiven(options.config);
  const isRunning = director.facts?.status.dataplane?.connected ?? false;
  const findings = [
    ...configuration.findings,
    ...director.findings,
    ...(director.facts ? directorFindings(director.facts) : []),
    ...checkProcessor(facts),
    checkNode(process.version),
    ...checkDrivers(gatherDrivers(host), configuration.start),
    ...(configuration.start ? configurationFindings(facts, configuration.start, isRunning) : []),
    checkState(stateFacts(options.stateDir ?? defaultStateDirectory())),
    ...(options.tls ?? []).map((path) => checkCertificate(path, host.read(path), Date.now())),
  ];
  await show(cli, command, findings, options.all ?? false);
  if (findings.some(({ level }) => level === 'problem')) cli.setExitCode(exitCodes.refused);
}

const directorFindings = (facts: DirectorFacts): readonly Finding[] => [
  ...checkDirector(facts, version),
  ...checkPorts(facts),
  ...checkGateways(facts),
  ...checkServices(facts),
];

function configurationFindings(facts: HostFacts, start: StartConfig, isRunning: boolean): readonly Finding[] {
  const needs = needsOf(start, facts);
  return [
    ...checkCpus(facts, needs),
    ...checkHugepages(facts, needs, start.hugepages === 'HUGEPAGES_ON', isRunning),
    ...checkDevices(facts, needs),
    ...checkInterfaces(facts, needs, isRunning),
    ...checkRights(facts, needs),
    ...checkLimits(facts, needs, process.geteuid?.() === 0),
  ];
}

interface Asked {
  readonly facts?: DirectorFacts;
  readonly findings: readonly Finding[];
}

async function askDirector(cli: Cli, command: Command): Promise<Asked> {
  try {
    return { facts: await withDirector(cli, command, (director) => gatherDirector(director, sampleMs)), findings: [] };
  } catch (error) {
    if (!(error instanceof FulcrumError)) throw error;
    const why = 'services and servers are not looked at';
    return { findings: [note('director', error.message, why, 'fulcrum up --config FILE, if it is to run')] };
  }
}

interface Given {
  readonly start?: StartConfig;
  readonly findings: readonly Finding[];
}

function readGiven(path: string | undefined): Given {
  if (path === undefined) {
    const why = 'CPUs, huge pages and devices are looked at for what a configuration asks of them';
    return { findings: [note('configuration', 'none was given', why, 'fulcrum doctor --config FILE')] };
  }
  try {
    return { start: readConfig(path).start, findings: [] };
  } catch (error) {
    const why = 'no director starts with it';
    if (error instanceof ConfigurationError)
      return { findings: error.message.split('\n').map((line) => problem('configuration', line, why, `edit ${path}`)) };
    return { findings: [problem('configuration', `${path}: ${(error as Error).message}`, why, 'is the path right?')] };
  }
}

/** The directory itself is made when the director starts. */
function stateFacts(directory: string): StateFacts {
  let existing = directory;
  while (!existsSync(existing)) existing = dirname(existing);
  const { bavail, bsize } = statfsSync(existing);
  return { directory, isWritable: mayWrite(existing), freeMb: Math.floor((bavail * bsize) / 2 ** 20) };
}

function mayWrite(directory: string): boolean {
  try {
    accessSync(directory, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

async function show(cli: Cli, command: Command, findings: readonly Finding[], all: boolean): Promise<void> {
  const sorted = levels.flatMap((level) => findings.filter((finding) => finding.level === level));
  const view: View = { findings: sorted.map((finding) => ({ ...finding })), ...countsOf(findings) };
  const table = (): readonly string[] => [
    ...sorted.filter(({ level }) => all || level !== 'ok').flatMap(linesOf),
    summary(findings),
  ];
  await cli.write(await documentText(globalOptions(command).output, view, table));
}

function countsOf(findings: readonly Finding[]): Readonly<Record<Level, number>> {
  const count = (level: Level): number => findings.filter((finding) => finding.level === level).length;
  return { problem: count('problem'), warning: count('warning'), note: count('note'), ok: count('ok') };
}

function linesOf({ level, subject, found, why, change }: Finding): readonly string[] {
  const lines = [`${level.padEnd(8)} ${subject}: ${found}`];
  if (why !== '') lines.push(`  why    ${why}`);
  if (change !== '') lines.push(`  do     ${change}`);
  return level === 'ok' ? lines : [...lines, ''];
}

function summary(findings: readonly Finding[]): string {
  const { problem: problems, warning: warnings, note: notes, ok: fine } = countsOf(findings);
  const many = (count: number, word: string): string => `${count} ${word}${count === 1 ? '' : 's'}`;
  return `${many(problems, 'problem')}, ${many(warnings, 'warning')}, ${many(notes, 'note')}, ${fine} in order`;
}
