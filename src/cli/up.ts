// SPDX-License-Identifier: Apache-2.0
// fulcrum up: a director in the foreground.

import { type Command, Option } from 'commander';
import { ConfigurationError } from '../config/document.js';
import { type DirectorOptions, runDirector } from '../supervisor/director.js';
import { dataplaneCapabilities, readCapabilities } from '../supervisor/privileges.js';
import type { Cli } from './cli.js';
import { CommandError } from './exit_codes.js';

interface UpOptions {
  readonly config: string;
  readonly runDir?: string;
  readonly stateDir?: string;
  readonly listen?: string;
  readonly tlsCert?: string;
  readonly tlsKey?: string;
  readonly tlsClientCa?: string;
  readonly roles?: string;
  readonly audit?: string;
  readonly http?: string;
  readonly httpToken?: string;
  readonly user?: string;
  readonly dataplaneCapabilities?: string;
  readonly serverMetrics: boolean;
  readonly log?: 'json' | 'text';
}

const managerOptions = {
  listen: '--listen',
  tlsCert: '--tls-cert',
  tlsKey: '--tls-key',
  tlsClientCa: '--tls-client-ca',
  roles: '--roles',
  audit: '--audit',
  http: '--http',
  httpToken: '--http-token',
} as const;

export function register(program: Command, _cli: Cli): void {
  program
    .command('up')
    .description('start a director here, keep its processes running, and stop them on Ctrl-C')
    .requiredOption('--config <file>', 'YAML configuration')
    .option('--run-dir <directory>', 'sockets (default: /run/fulcrum/<inode of the network namespace>)')
    .option('--state-dir <directory>', 'durable state (default: /var/lib/fulcrum/<name of the network namespace>)')
    .option('--user <name>', 'run the manager as this user, without privileges (default: who starts it)')
    .option(
      '--dataplane-capabilities <names>',
      `what the dataplane may do when root starts it; "all": everything (default: ${dataplaneCapabilities.join(',')})`,
    )
    .option('--listen <host:port>', 'serve the API on TCP too; needs the three --tls options')
    .option('--tls-cert <file>', 'certificate of the API')
    .option('--tls-key <file>', 'its key')
    .option('--tls-client-ca <file>', 'authority that signs clients')
    .option('--roles <file>', 'who may read, operate, or do everything, by certificate (default: everything for all)')
    .option(
      '--audit <file>',
      'who has changed what, a JSON document a line (default: audit.jsonl in the state directory)',
    )
    .option(
      '--http <address:port>',
      'status page at /, metrics for Prometheus at /metrics, health at /healthz; read-only',
    )
    .option('--http-token <file>', 'holds the token that readers must show; needed unless the address is on loopback')
    .option('--no-server-metrics', 'leave out the series of single real servers')
    .addOption(new Option('--log <format>', 'default: text on a terminal, else json').choices(['json', 'text']))
    .action(up);
}

async function up(options: UpOptions): Promise<void> {
  // A director outlives the reader of its log.
  process.stdout.removeAllListeners('error').on('error', () => {});
  try {
    await runDirector(directorOptions(options));
  } catch (error) {
    // Its lines begin with the file's name already.
    if (error instanceof ConfigurationError) throw error;
    throw new CommandError(error instanceof Error ? error.message : String(error));
  }
}

function directorOptions(options: UpOptions): DirectorOptions {
  const managerArguments = Object.entries(managerOptions).flatMap(([key, name]) => {
    const value = options[key as keyof typeof managerOptions];
    return value === undefined ? [] : [name, value];
  });
  if (!options.serverMetrics) managerArguments.push('--no-server-metrics');
  return {
    config: options.config,
    ...(options.runDir !== undefined && { runDirectory: options.runDir }),
    ...(options.stateDir !== undefined && { stateDirectory: options.stateDir }),
    managerArguments,
    ...(options.user !== undefined && { user: options.user }),
    capabilities: readCapabilities(options.dataplaneCapabilities ?? dataplaneCapabilities.join(',')),
    log: options.log ?? (process.stdout.isTTY ? 'text' : 'json'),
  };
}
