// SPDX-License-Identifier: Apache-2.0
// Everything by which a lab could be noticed after its end. Taken down while it stands, looked for afterwards.

import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';

const recordOf = (prefix: string): string => `/run/fulcrum-lab/${prefix}.json`;

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

export class Traces {
  readonly #prefix: string;
  readonly #directories = new Set<string>();
  readonly #namespaces = new Set<string>();

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** Notes the directories and namespaces that the lab has made until now. */
  note(): void {
    const record = JSON.parse(readFileSync(recordOf(this.#prefix), 'utf8')) as { directories: readonly string[] };
    for (const directory of record.directories) this.#directories.add(directory);
    for (const name of this.#names()) this.#namespaces.add(`net:[${statSync(`/run/netns/${name}`).ino}]`);
  }

  /** What is still there. */
  left(): readonly string[] {
    const files = [recordOf(this.#prefix), ...this.#directories].filter((path) => existsSync(path));
    return [...this.#names(), ...files, ...this.#processes()];
  }

  #names(): readonly string[] {
    return namesIn('/run/netns').filter((name) => name.startsWith(`${this.#prefix}-`));
  }

  /** Processes in one of the namespaces, or with one of the directories among their arguments. */
  #processes(): readonly string[] {
    return namesIn('/proc')
      .filter((name) => /^\d+$/.test(name))
      .map((pid) => `process ${pid}: ${this.#why(pid)}`)
      .filter((line) => !line.endsWith(': '));
  }

  #why(pid: string): string {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim();
      const isOurs = this.#namespaces.has(readlinkSync(`/proc/${pid}/ns/net`));
      return isOurs || [...this.#directories].some((directory) => words.includes(directory)) ? words : '';
    } catch {
      return '';
    }
  }
}
