// SPDX-License-Identifier: Apache-2.0
// Carries out one ipvsadm command line: parse, ask the director, print, exit status.
import type { DirectorClient } from '../../grpc/client.js';
import { FulcrumError } from '../../grpc/errors.js';
import type { Streams } from '../streams.js';
import { applyOperations } from './apply.js';
import { exitDone, exitRefused, exitUsage, UsageError } from './messages.js';
import type { PortNames, ReverseLookup } from './names.js';
import { type Command, parse } from './parse.js';
import type { Resolver } from './readers.js';

/** The world as the command sees it; tests bring their own. */
export interface Host extends Streams {
  connect(): Promise<DirectorClient>;
  readonly resolver: Resolver;
  readonly portNames: PortNames;
  reverseLookup(): Promise<ReverseLookup>;
}

/** The director, connected when first needed; close() at the end. */
export class Connection {
  readonly #host: Host;
  #client: DirectorClient | undefined;

  constructor(host: Host) {
    this.#host = host;
  }

  async client(): Promise<DirectorClient> {
    this.#client ??= await this.#host.connect();
    return this.#client;
  }

  close(): void {
    this.#client?.close();
  }
}

/** Runs the words after "ipvsadm"; returns the exit status. */
export async function ipvsadm(words: readonly string[], host: Host): Promise<number> {
  const connection = new Connection(host);
  try {
    return await execute(await parse(words, host.resolver), host, connection);
  } catch (error) {
    return failure(error, host);
  } finally {
    connection.close();
  }
}

/** Prints what went wrong; the status that goes with it. Anything unforeseen is thrown on. */
export function failure(error: unknown, host: Host): number {
  if (error instanceof UsageError) {
    host.complain(error.message);
    return error.status;
  }
  if (error instanceof FulcrumError) {
    const isAbsent = error.code === 'UNAVAILABLE';
    host.complain(isAbsent ? `Can't initialize ipvs: ${error.message}` : error.describe());
    return isAbsent ? exitUsage : exitRefused;
  }
  throw error;
}

/** Carries out one command; restore.ts uses it for lines that cannot be batched. */
export async function execute(command: Command, host: Host, connection: Connection): Promise<number> {
  switch (command.kind) {
    case 'edit':
      return applyOperations([command.operation], host, await connection.client());
    case 'list':
      return (await import('./list.js')).list(command, host, await connection.client());
    case 'save':
      return (await import('./list.js')).save(command.numeric, host, await connection.client());
    case 'restore':
      return (await import('./restore.js')).restore(host, connection);
    case 'help':
    case 'version':
      return introduce(command.kind, host);
    case 'start-daemon':
      host.complain('Connection synchronisation is not available yet');
      return exitRefused;
    case 'stop-daemon':
      host.complain('No daemon is running');
      return exitRefused;
  }
}

async function introduce(kind: 'help' | 'version', host: Host): Promise<number> {
  const { helpText, versionText } = await import('./help.js');
  await host.write(kind === 'version' ? `${versionText()}\n` : `${versionText()}\n${helpText}`);
  return exitDone;
}
