// SPDX-License-Identifier: Apache-2.0
// A director in a namespace of a world: `fulcrum up` with a configuration, its log, and its end.

import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../grpc/loader.js';
import { runPaths } from '../grpc/paths.js';
import { parseEntry } from '../supervisor/child.js';
import { CommandError, type Task } from './command.js';
import type { World } from './world.js';

const startTimeoutMs = 60_000;
/** On the loopback of the director's own namespace. */
export const httpPlace = '127.0.0.1:9680';

/** A program of this project as it was built. */
export const builtProgram = (name: string): string => join(projectRoot, 'dist/src', `${name}.js`);

export interface DirectorPlace {
  readonly world: World;
  readonly namespace: string;
  /** For its configuration, state and log; made if need be. */
  readonly directory: string;
  readonly signal?: AbortSignal;
  /** Further ones of `fulcrum up`. */
  readonly upArguments?: readonly string[] | undefined;
}

export class LabDirector {
  readonly task: Task;
  /** Directory of its sockets, the default one of its namespace. */
  readonly runDirectory: string;
  readonly stateDirectory: string;
  readonly configurationFile: string;
  readonly logFile: string;

  private constructor(place: DirectorPlace, configuration: string) {
    const { world, namespace, directory } = place;
    mkdirSync(directory, { recursive: true });
    this.configurationFile = join(directory, 'director.yaml');
    this.stateDirectory = join(directory, 'state');
    writeFileSync(this.configurationFile, configuration);
    this.runDirectory = runPaths(`/run/fulcrum/${world.inode(namespace)}`).directory;
    this.logFile = join(directory, 'director.log');
    world.addDirectory(this.runDirectory);
    const places = ['--config', this.configurationFile, '--state-dir', this.stateDirectory, '--http', httpPlace];
    places.push(...(place.upArguments ?? []));
    this.task = world.spawn(namespace, [process.execPath, builtProgram('cli/main'), 'up', ...places, '--log', 'json']);
    this.task.onLine((line) => appendFileSync(this.logFile, `${line}\n`));
  }

  /** Returns when it is ready and its services are in force. */
  static async start(place: DirectorPlace, configuration: string): Promise<LabDirector> {
    const director = new LabDirector(place, configuration);
    const stop = (): void => director.task.signal('SIGTERM');
    place.signal?.addEventListener('abort', stop, { once: true });
    try {
      await director.task.line((line) => isReady(line, 'up'), startTimeoutMs);
      return director;
    } catch (error) {
      place.signal?.throwIfAborted();
      if (!(error instanceof CommandError)) throw error;
      throw new Error(`the director did not start:\n${director.log.join('\n')}`, { cause: error });
    } finally {
      place.signal?.removeEventListener('abort', stop);
    }
  }

  /** The end of its log, for people. */
  get log(): readonly string[] {
    return this.task.tail.map(readable);
  }

  /** The supervisor knows the right order. */
  async stop(): Promise<string> {
    return this.task.stop(15_000);
  }
}

/** A line of the log by which a process ("up", "dataplane", "manager") says that it is ready. */
export function isReady(line: string, name: string): boolean {
  const entry = parseEntry(line);
  return entry?.name === name && entry.msg === 'ready';
}

function readable(line: string): string {
  const entry = parseEntry(line);
  return entry === undefined ? line : `${entry.name}: ${entry.msg}`;
}
