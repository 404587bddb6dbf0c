// SPDX-License-Identifier: Apache-2.0
// fulcrum setup: makes a host ready for a configuration, or says what it would do.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { ConfigurationError } from '../config/document.js';
import { readConfig } from '../config/parse.js';
import type { StartConfig } from '../generated/fulcrum/dataplane/v1/StartConfig.js';
import { applySteps, SetupError } from '../host/apply.js';
import { gatherFacts } from '../host/facts.js';
import { type Host, hostAt } from '../host/host.js';
import { needsOf } from '../host/needs.js';
import { planOf } from '../host/plan.js';
import { actionText, type SetupStep } from '../host/step.js';
import { type Cli, globalOptions } from './cli.js';
import { CommandError, exitCodes } from './exit_codes.js';
import { documentText, type View } from './output.js';

interface Options {
  readonly config: string;
  readonly apply?: boolean;
  readonly persist?: boolean;
  readonly force?: boolean;
  readonly all?: boolean;
  readonly root: string;
}

export function register(program: Command, cli: Cli): void {
  program
    .command('setup')
    .description(
      'make this host ready for a configuration: huge pages, drivers, CPUs, offloads; says first what it would do',
    )
    .requiredOption('--config <file>', 'YAML configuration of the director')
    .option('--apply', 'do it; without this nothing is changed')
    .option('--persist', 'plan, or write, also what makes it last over a boot')
    .option('--force', 'take devices, too, that the default route or an ssh session goes by')
    .option('--all', 'show what is in order already')
    .option('--root <directory>', 'look at, and write to, the files below this directory; no program is run', '/')
    .addHelpText(
      'after',
      `
Each step says what is, what is wanted and why, and the commands that would do it. With --apply they are run one step at
a time; each is read back, and the first that does not take effect ends it, with what would undo it. Run again, it finds
nothing to do. Only what the configuration needs is touched:

  huge pages        of 2 MB, on the NUMA nodes of the workers, as many as packet buffers and connection tables take
  PCI devices       vfio-pci loaded; bound to it by dpdk-devbind.py; without an IOMMU, vfio's unsafe mode. A device that
                    the default route or an ssh session goes by is refused without --force. Devices that DPDK shares
                    with the kernel (mlx5, mlx4, mana) stay with their driver
  interfaces        of AF_PACKET, AF_XDP and pcap ports: up, as wide as the port's MTU, offloads that merge frames off
  CPUs              interrupts off those of the workers; with "idle: poll" the kernel's isolcpus, nohz_full and rcu_nocbs
  sysctls           kernel.numa_balancing and kernel.nmi_watchdog off, where they would disturb workers

With --persist: /etc/sysctl.d/80-fulcrum.conf, /etc/modules-load.d/fulcrum.conf, /etc/modprobe.d/fulcrum.conf,
/etc/default/grub.d/80-fulcrum.cfg (in force with the next boot), and fulcrum-setup.service, which runs
"fulcrum setup --config FILE --apply" with every boot before the director starts.

Exit status: 0 nothing is left to do; 5 there is something to do, and no --apply; 1 a step failed, or was refused.

Examples:
  fulcrum setup --config /etc/fulcrum/director.yaml
  fulcrum setup --config /etc/fulcrum/director.yaml --apply --persist
  fulcrum setup --config director.yaml -o json | jq '.steps[] | select(.state == "manual")'`,
    )
    .action((options, command) => setup(cli, command, options));
}

async function setup(cli: Cli, command: Command, options: Options): Promise<void> {
  const host = hostAt(options.root);
  const apply = options.apply ?? false;
  const plan = planner(host, options);
  const planned = await plan();
  if (!apply) {
    await show(cli, command, options, planned);
    cli.setExitCode(exitCodeOf(planned));
    return;
  }
  const isTable = globalOptions(command).output === 'table';
  const done = await applied(host, plan, async (step) => {
    if (isTable) await cli.write(`${stepLines(step).join('\n')}\n`);
  });
  const left = (await plan()).filter(({ state }) => state !== 'done');
  if (!isTable) await show(cli, command, { ...options, all: true }, await plan());
  else await cli.write(`${[...left.flatMap(stepLines), doneText(done, left.length)].join('\n')}\n`);
  if (left.some(({ state }) => state === 'refused')) cli.setExitCode(exitCodes.refused);
}

/** The plan as of each call. */
function planner(host: Host, options: Options): () => Promise<readonly SetupStep[]> {
  const start = readStart(options.config);
  return async () => {
    const facts = await gatherFacts(host, options.apply === true && start.idle === 'IDLE_POLICY_POLL');
    return planOf(facts, needsOf(start, facts), {
      persist: options.persist ?? false,
      force: options.force ?? false,
      program: resolve(process.argv[1] ?? 'fulcrum').replace(/\/dist\/src\/cli\/main\.js$/, '/bin/fulcrum'),
      config: resolve(options.config),
      read: (path) => host.read(path),
    });
  };
}

function readStart(path: string): StartConfig {
  try {
    return readConfig(path).start;
  } catch (error) {
    // Its lines begin with the file's name already.
    if (error instanceof ConfigurationError) throw error;
    throw new CommandError(error instanceof Error ? error.message : String(error));
  }
}

async function applied(
  host: Host,
  plan: () => Promise<readonly SetupStep[]>,
  say: (step: SetupStep) => Promise<void>,
): Promise<number> {
  try {
    return await applySteps({ host, plan, say });
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    const undo = error.step.undo === '' ? '' : `; to undo it: ${error.step.undo}`;
    throw new CommandError(`${error.message}${undo}`);
  }
}

function exitCodeOf(steps: readonly SetupStep[]): 0 | 1 | 5 {
  if (steps.some(({ state }) => state === 'todo')) return exitCodes.differs;
  return steps.some(({ state }) => state === 'refused') ? exitCodes.refused : exitCodes.done;
}

async function show(cli: Cli, command: Command, options: Options, steps: readonly SetupStep[]): Promise<void> {
  const view: View = { steps: steps.map(stepView) };
  const shown = options.all ? steps : steps.filter(({ state }) => state !== 'done');
  const todo = steps.filter(({ state }) => state === 'todo').length;
  const end = todo === 0 ? 'Nothing to do.' : `${stepsText(todo)} to do: see --apply.`;
  const table = (): readonly string[] => [...shown.flatMap(stepLines), end];
  await cli.write(await documentText(globalOptions(command).output, view, table));
}

const stepView = ({ actions, ...step }: SetupStep): View => ({ ...step, commands: actions.map(actionText) });

const stateWords: Readonly<Record<SetupStep['state'], string>> = {
  done: 'in order',
  todo: 'to do',
  reboot: 'after a reboot',
  manual: 'by hand',
  refused: 'refused',
};

function stepLines({ subject, state, is, wanted, why, actions, undo }: SetupStep): readonly string[] {
  if (state === 'done') return [`${subject}: in order (${is})`];
  const commands = actions.flatMap((action) => actionText(action).split('\n'));
  return [
    `${subject}: ${stateWords[state]}`,
    `  is      ${is}`,
    `  wanted  ${wanted}`,
    `  why     ${why}`,
    ...shortened(commands).map((text) => `  # ${text}`),
    ...(undo === '' ? [] : [`  undo    ${undo.length > mostUndo ? `${undo.slice(0, mostUndo)} …` : undo}`]),
    '',
  ];
}

const mostCommands = 12;
const mostUndo = 160;

/** -o json has all. */
function shortened(lines: readonly string[]): readonly string[] {
  if (lines.length <= mostCommands) return lines;
  return [...lines.slice(0, mostCommands - 1), `… and ${lines.length - mostCommands + 1} more like these`];
}

const stepsText = (count: number): string => `${count} step${count === 1 ? '' : 's'}`;

function doneText(done: number, left: number): string {
  const rest = left === 0 ? '' : ` Left to others, see above: ${left}.`;
  return done === 0 ? `Nothing to do.${rest}` : `${stepsText(done)} done.${rest}`;
}
