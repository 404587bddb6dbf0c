// SPDX-License-Identifier: Apache-2.0
// fulcrum completion: what a shell needs to complete these commands.
import { Argument, type Command } from 'commander';
import { formatServerKey, formatServiceKey, parseServiceKey } from '../config/keys.js';
import { type Cli, withDirector } from './cli.js';
import { bashScript } from './completion/bash.js';
import { fishScript } from './completion/fish.js';
import { zshScript } from './completion/zsh.js';
import { type CommandNode, treeOf } from './tree.js';

export const completionScripts: Readonly<Record<string, (tree: CommandNode) => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

export function register(program: Command, cli: Cli): void {
  program
    .command('completion')
    .description('print what a shell needs to complete commands, options, services and servers')
    .addArgument(new Argument('<shell>', 'whose').choices([...Object.keys(completionScripts), 'services', 'servers']))
    .argument('[service]', 'with "servers": of this virtual service')
    .addHelpText(
      'after',
      `
Words and options are written into the script. The names of services and servers are asked of the director, when there is
one: "completion services" and "completion servers SERVICE" print them, one a line.

Examples:
  source <(fulcrum completion bash)
  fulcrum completion bash > /etc/bash_completion.d/fulcrum
  fulcrum completion zsh > "\${fpath[1]}/_fulcrum"
  fulcrum completion fish > ~/.config/fish/completions/fulcrum.fish`,
    )
    .action((shell: string, service: string | undefined, _, command) => complete(cli, command, shell, service));
}

async function complete(cli: Cli, command: Command, shell: string, service: string | undefined): Promise<void> {
  const script = completionScripts[shell];
  if (script) {
    const { wholeProgram } = await import('./fulcrum.js');
    await cli.write(script(treeOf(await wholeProgram(cli))));
  } else if (shell === 'services') await printServices(cli, command);
  else await printServers(cli, command, service ?? '');
}

async function printServices(cli: Cli, command: Command): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const { services } = await director.listVirtualServices({ pageSize: mostNames });
    await cli.write(services.map(({ key }) => (key ? `${formatServiceKey(key)}\n` : '')).join(''));
  });
}

/** More than anybody chooses from. */
const mostNames = 500;

async function printServers(cli: Cli, command: Command, service: string): Promise<void> {
  const key = parseServiceKey(service);
  await withDirector(cli, command, async (director) => {
    const { servers } = await director.listRealServers({ service: key, pageSize: mostNames });
    await cli.write(servers.map((server) => (server.key ? `${formatServerKey(server.key)}\n` : '')).join(''));
  });
}
