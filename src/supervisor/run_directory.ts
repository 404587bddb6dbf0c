// SPDX-License-Identifier: Apache-2.0
// Who supervises a run directory, and with which processes: supervisor.json in it. A second supervisor is refused; one
// that was killed has its orphans ended by the next.

import { lstatSync, mkdirSync, readFileSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** A process that can be told from a later one with the same number. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks from boot to its start. */
  readonly started: string;
}

interface Owner extends ProcessIdentity {
  readonly children: readonly ProcessIdentity[];
}

export class AlreadyRunning extends Error {
  readonly pid: number;

  constructor(directory: string, pid: number) {
    super(`a director runs in ${directory} already (process ${pid}): stop that one, or choose another --run-dir`);
    this.pid = pid;
  }
}

/** Field 22 of /proc/PID/stat (proc(5)); undefined when there is no such process, or only its remains. */
export function identify(pid: number): ProcessIdentity | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const [state, started] = [fields[0], fields[19]];
    return state === 'Z' || state === 'X' || started === undefined ? undefined : { pid, started };
  } catch {
    return undefined;
  }
}

export const isAlive = (process: ProcessIdentity): boolean => identify(process.pid)?.started === process.started;

/** SIGTERM, and SIGKILL after the grace, to processes that are not our children. */
export async function endProcesses(processes: readonly ProcessIdentity[], graceMs: number): Promise<void> {
  const deadline = Date.now() + graceMs;
  for (const process of processes) signal(process, 'SIGTERM');
  // Nothing tells us of the end of a process that is not our child.
  while (processes.some(isAlive) && Date.now() < deadline) await delay(20);
  for (const process of processes) signal(process, 'SIGKILL');
  while (processes.some(isAlive)) await delay(20);
}

function signal(target: ProcessIdentity, name: NodeJS.Signals): void {
  if (!isAlive(target)) return;
  try {
    process.kill(target.pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** A run directory while this process owns it. */
export class RunDirectory {
  readonly path: string;
  readonly #file: string;
  #children: readonly ProcessIdentity[] = [];

  private constructor(path: string) {
    this.path = path;
    this.#file = join(path, 'supervisor.json');
  }

  /** Makes and claims the directory; throws AlreadyRunning. `orphans` is called when a killed supervisor left any. */
  static async claim(path: string, orphans: (processes: readonly ProcessIdentity[]) => void): Promise<RunDirectory> {
    mkdirSync(path, { recursive: true, mode: 0o750 });
    const directory = new RunDirectory(path);
    for (;;) {
      if (directory.#create()) return directory;
      const owner = directory.#owner();
      if (owner !== undefined && isAlive(owner)) throw new AlreadyRunning(path, owner.pid);
      const left = (owner?.children ?? []).filter(isAlive);
      if (left.length > 0) orphans(left);
      await endProcesses(left, 5000);
      rmSync(directory.#file, { force: true });
    }
  }

  /** Notes the processes that are to be ended if this one is killed. */
  setChildren(pids: readonly number[]): void {
    this.#children = pids.map(identify).filter((process) => process !== undefined);
    // The manager's user may make files here, too: what it put in the way is not written through.
    rmSync(`${this.#file}.new`, { force: true });
    writeFileSync(`${this.#file}.new`, this.#text(), { flag: 'wx', mode: 0o640 });
    renameSync(`${this.#file}.new`, this.#file);
  }

  /** Removes the files named and the directory itself, unless somebody else put something there. */
  release(files: readonly string[]): void {
    for (const file of [...files, this.#file]) rmSync(file, { force: true });
    try {
      rmdirSync(this.path);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (!['ENOENT', 'ENOTEMPTY', 'EEXIST', 'EBUSY'].includes(code ?? '')) throw error;
    }
  }

  #text(): string {
    const own: Owner = { ...(identify(process.pid) as ProcessIdentity), children: this.#children };
    return JSON.stringify(own);
  }

  #create(): boolean {
    try {
      writeFileSync(this.#file, this.#text(), { flag: 'wx', mode: 0o640 });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
  }

  #owner(): Owner | undefined {
    try {
      // It names processes that are ended: nobody else's word counts.
      if (lstatSync(this.#file).uid !== process.geteuid?.()) return undefined;
      return JSON.parse(readFileSync(this.#file, 'utf8')) as Owner;
    } catch {
      return undefined;
    }
  }
}
