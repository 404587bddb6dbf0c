// SPDX-License-Identifier: Apache-2.0
// fulcrum up: a director in the foreground.

import { Command, Option } from 'commander';
import { ConfigurationError } from '../config/document.js';
import { type DirectorOptions, runDirector } from '../supervisor/director.js';

interface UpOptions {
  readonly config: string;
  readonly runDir?: string;
  readonly stateDir?: string;
  readonly listen?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
  readonly log?: 'json' | 'text';
}

const managerOptions = {
  listen: '--listen',
  tlsCert: '--tls-cert',
  tlsKey: '--tls-key',
  tlsClientCa: '--tls-client-ca',
};

export function upCommand(): Command {
  return new Command('up')
    .description('start a director here, keep its processes running, and stop them on Ctrl-C')
    .requiredOption('--config <file>', 'YAML configuration')
    .option('--run-dir <directory>', 'sockets (default: /run/fulcrum/<inode of the network namespace>)')
    .option('--state-dir <directory>', 'durable state (default: /var/lib/fulcrum/<name of the network namespace>)')
    .option('--listen <host:port>', 'serve the API on TCP too; needs the three --tls options')
    .option('--tls-cert <file>', 'certificate of the API')
    .option('--tls-key <file>', 'its key')
    .option('--tls-client-ca <file>', 'authority that signs clients')
    .addOption(new Option('--log <format>', 'default: text on a terminal, else json').choices(['json', 'text']))
    .action(up);
}

async function up(options: UpOptions): Promise<void> {
  try {
    await runDirector(directorOptions(options));
  } catch (error) {
    // Each problem has a line of its own that begins with the file's name.
    const prefix = error instanceof ConfigurationError ? '' : 'fulcrum up: ';
    process.stderr.write(`${prefix}${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}

function directorOptions(options: UpOptions): DirectorOptions {
  const managerArguments = Object.entries(managerOptions).flatMap(([key, name]) => {
    const value = options[key as keyof UpOptions];
    return value === undefined ? [] : [name, value];
  });
  return {
    config: options.config,
    ...(options.runDir !== undefined && { runDirectory: options.runDir }),
    ...(options.stateDir !== undefined && { stateDirectory: options.stateDir }),
    managerArguments,
    log: options.log ?? (process.stdout.isTTY ? 'text' : 'json'),
  };
}
