// SPDX-License-Identifier: Apache-2.0
// buildah and podman with a storage of their own, which goes with the world that it belongs to: nothing of the system's is
// touched. Without a Docker engine or systemd: runc, cgroupfs, and plain directories for layers.

import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { type Command, run, Task } from '../../src/lab/command.js';
import type { World } from '../../src/lab/world.js';

/** Programs that are needed. */
export const containerTools = ['buildah', 'podman', 'runc'] as const;

/** Limits that a container without the right to raise them can have. */
const limits = ['--ulimit', 'nofile=20000:20000', '--ulimit', 'nproc=1000:1000'] as const;

/** Messages about the timers by which systemd would run health checks. */
const isNoise = (line: string): boolean => line.includes('unable to get systemd connection');

export class Containers {
  readonly directory: string;
  readonly #storage: readonly string[];

  /** Layers take some gigabytes: /var/tmp is not a file system in memory. */
  constructor(world: World) {
    this.directory = mkdtempSync('/var/tmp/fulcrum-containers-');
    world.addDirectory(this.directory);
    chmodSync(this.directory, 0o755);
    const place = (name: string): string => join(this.directory, name);
    for (const name of ['storage', 'run']) mkdirSync(place(name));
    this.#storage = ['--root', place('storage'), '--runroot', place('run'), '--storage-driver', 'vfs'];
  }

  buildah(...words: readonly string[]): Command {
    return ['buildah', ...this.#storage, ...words];
  }

  #podman(...words: readonly string[]): Command {
    return ['podman', ...this.#storage, '--runtime', 'runc', '--cgroup-manager', 'cgroupfs', ...words];
  }

  async podman(...words: readonly string[]): Promise<string> {
    return (await run(this.#podman(...words))).trimEnd();
  }

  /** Makes a container of a network namespace that is there, and does not start it. */
  async create(name: string, namespace: string, ...words: readonly string[]): Promise<void> {
    await this.podman('create', '--name', name, '--network', `ns:/run/netns/${namespace}`, ...limits, ...words);
  }

  /** Starts it, in the foreground: the task's end is the container's, with its exit code. */
  start(name: string): Task {
    return new Task(this.#podman('start', '--attach', name));
  }

  /** What a container without a network prints, until it ends. */
  async says(...words: readonly string[]): Promise<{ readonly ending: string; readonly lines: readonly string[] }> {
    const task = new Task(this.#podman('run', '--rm', '--network', 'none', ...limits, ...words));
    const ending = await task.ended;
    return { ending, lines: task.tail.filter((line) => !isNoise(line)) };
  }

  async size(image: string): Promise<number> {
    return Number(await this.podman('image', 'inspect', '--format', '{{.Size}}', image));
  }
}
