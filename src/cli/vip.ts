// SPDX-License-Identifier: Apache-2.0
// fulcrum vip: virtual IP addresses, how the link learns of them, and whether this director is the active one.
import { type Command, InvalidArgumentError, Option } from 'commander';
import { KeyError } from '../config/keys.js';
import { parsePrefixOrAddress, readPrefixText } from '../config/mark_rules.js';
import { vipEntry, words } from '../config/services.js';
import type { Vip, Vip__Output } from '../generated/fulcrum/v1/Vip.js';
import { type Cli, editSettings, present, print, printEdit, withDirector } from './cli.js';
import { tableLines, type View } from './output.js';

interface VipOptions {
  readonly announce?: string;
  readonly state?: string;
  readonly dryRun?: boolean;
}

export function register(program: Command, cli: Cli): void {
  const vip = program
    .command('vip')
    .description('virtual IP addresses')
    .addHelpText(
      'after',
      `
Every address of a virtual service is a VIP: announced by ARP (or ND) and active, until it is set otherwise here.
A standby VIP answers no ARP and announces nothing, but what arrives for it is forwarded.

A prefix declares a range: every address of it is local to the director. What was set of a single address goes before
what was set of a range that has it.

Examples:
  fulcrum vip set 203.0.113.10 --announce arp --state standby
  fulcrum vip activate 203.0.113.10
  fulcrum vip set 198.51.100.0/24 --announce route
  fulcrum vip list`,
    );
  vip
    .command('list')
    .description('list them')
    .action((_, command) => list(cli, command));
  vip
    .command('set')
    .description('declare one, or change what is given; a new one is announced by ARP and active')
    .argument('<address>', 'IPv4 or IPv6 address, or a range of them as a prefix', address)
    .addOption(new Option('--announce <how>', 'how the link learns of it').choices(Object.keys(words.announces)))
    .addOption(new Option('--state <state>', 'active or standby').choices(Object.keys(words.vipStates)))
    .option('--dry-run', 'only check whether the director would do it')
    .action((at, options, command) => set(cli, command, at, options));
  vip
    .command('activate')
    .description('make it active and announce it: the same as set --state active')
    .argument('<address>', 'IPv4 or IPv6 address, or a range of them as a prefix', address)
    .action((at, _, command) => set(cli, command, at, { state: 'active' }));
  vip
    .command('standby')
    .description('stop answering ARP for it: the same as set --state standby')
    .argument('<address>', 'IPv4 or IPv6 address, or a range of them as a prefix', address)
    .action((at, _, command) => set(cli, command, at, { state: 'standby' }));
  vip
    .command('delete')
    .description('forget what was set of it')
    .argument('<address>', 'IPv4 or IPv6 address, or a range of them as a prefix', address)
    .option('--dry-run', 'only check whether the director would do it')
    .action((at, options, command) => remove(cli, command, at, options));
}

function address(text: string): string {
  if (parsePrefixOrAddress(text) === undefined) {
    throw new InvalidArgumentError('An IPv4 or IPv6 address is needed, or a range such as 203.0.113.0/24.');
  }
  try {
    readPrefixText(text);
  } catch (error) {
    if (error instanceof KeyError) throw new InvalidArgumentError(`${error.message}.`);
    throw error;
  }
  return text;
}

export function vipView(vip: Vip__Output): { readonly [key: string]: View } {
  return { ...vipEntry(vip), services: vip.services };
}

async function list(cli: Cli, command: Command): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const { vips } = await director.listVips({});
    await print(cli, command, { vips: vips.map(vipView) }, () =>
      tableLines(
        [
          { title: 'ADDRESS', value: (vip) => vip.address },
          { title: 'ANNOUNCE', value: (vip) => vipEntry(vip).announce ?? '' },
          { title: 'STATE', value: (vip) => vipEntry(vip).state ?? '' },
          { title: 'SERVICES', value: (vip) => vip.services, right: true },
        ],
        vips,
      ),
    );
  });
}

async function set(cli: Cli, command: Command, at: string, options: VipOptions): Promise<void> {
  const announce = words.announces[options.announce ?? ''];
  const state = words.vipStates[options.state ?? ''];
  const vip: Vip = { address: at, ...(announce !== undefined && { announce }), ...(state !== undefined && { state }) };
  await withDirector(cli, command, async (director) => {
    const answer = await director.setVip({ vip, validateOnly: options.dryRun ?? false }, editSettings);
    await printEdit(cli, command, answer, vipView(present(answer.vip, 'VIP')));
  });
}

async function remove(cli: Cli, command: Command, at: string, options: VipOptions): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const request = { address: at, validateOnly: options.dryRun ?? false };
    await printEdit(cli, command, await director.deleteVip(request, editSettings), {});
  });
}
