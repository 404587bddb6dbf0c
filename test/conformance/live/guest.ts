// SPDX-License-Identifier: Apache-2.0
// A guest: Debian's user-mode-linux on the host's own files, read-only, with an agent on a serial line. It plays one
// scenario at a time: listings of connections go over a table that all network namespaces share. Nothing of it outlives
// this process: without the other end of its line the agent ends, and with it the guest.
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type { Duplex } from 'node:stream';
import { projectRoot } from '../../../src/grpc/loader.js';
import { AgentLine, GuestLost } from './line.js';
import { modulePaths } from './modules.js';

/** The guest cannot be started on this machine; the message says why and what would help. */
export class NoGuest extends Error {}

const sources = join(projectRoot, 'test/conformance/live/guest');
const memory = '256M';
/**
 * Instructions whose registers the guest's kernel does not keep: the C library must not choose them. The preference for
 * unaligned AVX is one of its own: it outlives AVX being switched off.
 */
const unsafeFeatures =
  'AVX512F AVX512VL AVX512BW AVX512DQ AVX512CD AVX2 AVX AVX_Fast_Unaligned_Load XSAVE XSAVEC BMI2 RTM ERMS FSRM';
const tunables = `glibc.cpu.hwcaps=${unsafeFeatures
  .split(' ')
  .map((name) => `-${name}`)
  .join(',')}`;
const consoleLines = 12;
const endingMs = 3_000;

interface Tool {
  readonly name: string;
  readonly debianPackage: string;
}

const tools: readonly Tool[] = [
  { name: 'linux.uml', debianPackage: 'user-mode-linux' },
  { name: 'ipvsadm', debianPackage: 'ipvsadm' },
  { name: 'iptables-legacy', debianPackage: 'iptables' },
  { name: 'ip', debianPackage: 'iproute2' },
  { name: 'cc', debianPackage: 'build-essential' },
];

const searchPath = ['/usr/sbin', '/usr/bin', '/sbin', '/bin', ...(process.env.PATH ?? '').split(delimiter)];

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

function checkTools(): void {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new NoGuest(`user-mode-linux runs on Linux on x86-64 only, this is ${process.platform} on ${process.arch}`);
  const missing = tools.filter(({ name }) => !searchPath.some((directory) => isExecutable(join(directory, name))));
  if (missing.length === 0) return;
  const names = missing.map(({ name }) => name).join(', ');
  const packages = missing.map(({ debianPackage }) => debianPackage).join(' ');
  throw new NoGuest(`missing: ${names} (bin/bootstrap --live installs them: ${packages})`);
}

/** The programs of guest/, made anew for every run: it takes less than a second. */
function compile(directory: string): void {
  const make = (name: string, ...flags: string[]): void => {
    const output = join(directory, name);
    try {
      execFileSync('cc', ['-O2', ...flags, '-o', output, join(sources, `${name}.c`)], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
    } catch (error) {
      throw new NoGuest(`${name}.c cannot be compiled: ${(error as { stderr?: Buffer }).stderr ?? error}`);
    }
  };
  make('without_xstate');
  make('agent', '-static');
}

function guestCommand(directory: string): [string, ...string[]] {
  return [
    join(directory, 'without_xstate'),
    ...['linux.uml', `mem=${memory}`, 'rootfstype=hostfs', 'rootflags=/', 'ro', `init=${join(directory, 'agent')}`],
    ...['con=null', 'con0=null,fd:1', 'ssl0=fd:3', `uml_dir=${directory}/`, 'umid=guest', `GLIBC_TUNABLES=${tunables}`],
  ];
}

const running = new Set<Guest>();
process.on('exit', () => {
  for (const guest of running) guest.kill();
});

export class Guest {
  readonly line: AgentLine;
  readonly #directory: string;
  readonly #child: ChildProcess;
  readonly #ended: Promise<void>;
  #console = '';

  private constructor(directory: string) {
    const [command, ...words] = guestCommand(directory);
    this.#directory = directory;
    this.#child = spawn(command, words, { stdio: ['ignore', 'pipe', 'pipe', 'pipe'], detached: true });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (bytes: Buffer) => {
        this.#console = (this.#console + bytes.toString()).slice(-20_000);
      });
    }
    this.line = new AgentLine(this.#child.stdio[3] as Duplex);
    this.#ended = new Promise((resolve) => {
      const end = (why: string): void => {
        this.line.lose(new GuestLost(`the guest has ended (${why}): ${this.lastWords}`));
        resolve();
      };
      this.#child.once('exit', (code, signal) => end(signal ?? `status ${code}`));
      this.#child.once('error', (error) => end(error.message));
    });
    running.add(this);
  }

  /** The last lines of its console. */
  get lastWords(): string {
    return this.#console.trimEnd().split('\n').slice(-consoleLines).join('\n');
  }

  get isLost(): boolean {
    return this.line.isLost;
  }

  /** Fails with NoGuest if the machine cannot run it. */
  static async start(): Promise<Guest> {
    checkTools();
    const directory = mkdtempSync(join(tmpdir(), 'fulcrum-guest-'));
    let guest: Guest | undefined;
    try {
      compile(directory);
      guest = new Guest(directory);
      await guest.line.hello();
      await guest.#prepare();
      return guest;
    } catch (error) {
      await guest?.stop();
      rmSync(directory, { recursive: true, force: true });
      if (error instanceof NoGuest) throw error;
      throw new NoGuest(`the guest does not start: ${(error as Error).message}`);
    }
  }

  async #prepare(): Promise<void> {
    const { line } = this;
    for (const path of modulePaths()) await line.loadModule(path);
    // These two are of the whole kernel, not of a network namespace.
    await line.writeFile('/proc/sys/net/ipv4/icmp_msgs_per_sec', '1000000');
    await line.writeFile('/proc/sys/net/ipv4/icmp_msgs_burst', '100000');
  }

  kill(): void {
    try {
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  async stop(): Promise<void> {
    (this.#child.stdio[3] as Duplex).end();
    const timer = setTimeout(() => this.kill(), endingMs);
    await this.#ended;
    clearTimeout(timer);
    this.kill();
    running.delete(this);
    if (existsSync(this.#directory)) rmSync(this.#directory, { recursive: true, force: true });
  }
}
