// SPDX-License-Identifier: Apache-2.0
// ipvsadm -R: command lines from standard input. Edits in a row travel as one Apply; anything else is carried out in its
// place. A usage error ends it at that line, with the lines before in force; a refusal is printed, and it goes on.
import type { Operation } from '../../generated/fulcrum/v1/Operation.js';
import { applyOperations } from './apply.js';
import { exitDone, exitRefused, tryHelp, UsageError } from './messages.js';
import { type Command, parse } from './parse.js';
import { type Connection, execute, failure, type Host } from './run.js';

/** Bounds the size of a message, not of a restore. */
const largestBatch = 20_000;

export async function restore(host: Host, connection: Connection): Promise<number> {
  const batch = new Batch(host, connection);
  let status = exitDone;
  for await (const line of linesOf(host.input())) {
    const words = wordsOf(line);
    if (words.length === 0) continue;
    const step = await readLine(words, host);
    if (step instanceof UsageError) {
      await batch.apply();
      status = failure(step, host);
      if (step.ends) return status;
    } else if (step.kind === 'edit') {
      status = (await batch.add(step.operation)) ?? exitDone;
    } else {
      await batch.apply();
      status = await execute(step, host, connection);
      if (step.kind === 'help' || step.kind === 'version') return status;
    }
  }
  return (await batch.apply()) ?? status;
}

/** Edits that wait to be sent together. */
class Batch {
  readonly #host: Host;
  readonly #connection: Connection;
  readonly #limit: number;
  #operations: Operation[] = [];

  constructor(host: Host, connection: Connection) {
    this.#host = host;
    this.#connection = connection;
    this.#limit = host.inputIsTerminal ? 1 : largestBatch;
  }

  /** The status of this edit if it was sent, undefined if it waits. */
  async add(operation: Operation): Promise<number | undefined> {
    this.#operations.push(operation);
    return this.#operations.length >= this.#limit ? this.apply() : undefined;
  }

  /** The status of the last edit that waited, undefined if none did. */
  async apply(): Promise<number | undefined> {
    if (this.#operations.length === 0) return undefined;
    const operations = this.#operations;
    this.#operations = [];
    return applyOperations(operations, this.#host, await this.#connection.client());
  }
}

async function readLine(words: readonly string[], host: Host): Promise<Command | UsageError> {
  try {
    const command = await parse(words, host.resolver);
    return command.kind === 'restore' ? new UsageError(tryHelp, exitRefused) : command;
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
}

/** Words between blanks, without a leading "ipvsadm". */
function wordsOf(line: string): readonly string[] {
  const words = line.split(/\s+/).filter((word) => word !== '');
  return words[0] === 'ipvsadm' ? words.slice(1) : words;
}

async function* linesOf(pieces: AsyncIterable<string>): AsyncGenerator<string> {
  let rest = '';
  for await (const piece of pieces) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    yield* lines;
  }
  if (rest !== '') yield rest;
}
