// SPDX-License-Identifier: Apache-2.0
// A machine of its own for a page of the documentation: namespaces of processes, mounts and network, and a directory that
// looks like the checkout. What a page makes there (namespaces by `ip netns`, files, processes) ends with it.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { projectRoot } from '../../src/grpc/loader.js';
import { run, Task } from '../../src/lab/command.js';

const stateDirectory = '/var/lib/fulcrum';
const startMs = 10_000;

const firstProcess = `mount -t tmpfs tmpfs /run
mkdir -p /run/netns ${stateDirectory}
mount -t tmpfs tmpfs ${stateDirectory}
ip link set lo up
echo ready
read -r _`;

export interface Ending {
  readonly code: number;
  /** Of both, as they came. */
  readonly output: string;
}

export class Machine {
  readonly directory: string;
  readonly #init: Task;
  readonly #pid: string;
  readonly #madeStateDirectory: boolean;
  #blocks = 0;

  private constructor(init: Task, pid: string, madeStateDirectory: boolean) {
    this.#init = init;
    this.#pid = pid;
    this.#madeStateDirectory = madeStateDirectory;
    this.directory = mkdtempSync(join(tmpdir(), 'fulcrum-page-'));
    for (const name of readdirSync(projectRoot)) {
      if (name !== '.git') symlinkSync(join(projectRoot, name), join(this.directory, name));
    }
  }

  static async start(): Promise<Machine> {
    const isNew = !existsSync(stateDirectory);
    const unshare = ['unshare', '--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
    const init = new Task([...unshare, 'bash', '-euc', firstProcess] as unknown as readonly [string]);
    await init.line((line) => line === 'ready', startMs);
    const pid = await run(['ps', '-o', 'pid=', '--ppid', String(init.pid)]);
    return new Machine(init, pid.trim(), isNew);
  }

  /** Writes a file of the page; what the checkout has under that name is left alone. */
  write(name: string, text: string): void {
    const path = join(this.directory, name);
    rmSync(path, { force: true });
    writeFileSync(path, `${text}\n`);
  }

  /** Runs commands to their end, on one of the hosts that the page made, or on the machine itself. */
  async run(commands: string, host: string | undefined, timeoutMs: number): Promise<Ending> {
    const output = await run(this.#inside(commands, host, 'bash "$0" 2>&1; echo "ended $?"'), { timeoutMs });
    const [, text = '', code = ''] = /^([\s\S]*)ended (\d+)\n$/.exec(output) ?? [];
    return { code: Number(code), output: text };
  }

  /** The same, and goes on beside us. */
  begin(commands: string, host: string | undefined): Task {
    return new Task(this.#inside(commands, host, 'exec bash "$0"'));
  }

  /** Ends every process of it; with the last one go namespaces and mounts. */
  async end(): Promise<void> {
    this.#init.write('\n');
    await this.#init.stop();
    rmSync(this.directory, { recursive: true, force: true });
    // What was mounted on needs a place outside, too; another machine may be using it.
    if (this.#madeStateDirectory) removeIfEmpty(stateDirectory);
  }

  #inside(commands: string, host: string | undefined, wrapper: string): readonly [string, ...string[]] {
    const scripts = join(this.directory, '.blocks');
    mkdirSync(scripts, { recursive: true });
    const file = join(scripts, `${++this.#blocks}.sh`);
    writeFileSync(file, `set -euo pipefail\nPATH=${join(projectRoot, 'bin')}:$PATH\n${commands}\n`);
    const enter = ['nsenter', '--target', this.#pid, '--net', '--mount', '--pid', `--wd=${this.directory}`];
    const there = host === undefined ? [] : ['ip', 'netns', 'exec', host];
    return [...enter, ...there, 'bash', '-c', wrapper, file] as unknown as readonly [string, ...string[]];
  }
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch (error) {
    if (!/^(ENOENT|ENOTEMPTY|EBUSY)$/.test((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}
