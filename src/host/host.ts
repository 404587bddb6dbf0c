// SPDX-License-Identifier: Apache-2.0
// The machine as setup and doctor see it: files below a root, and programs. Tests bring trees of their own, and with
// another root than "/" (--root) no program is run.

import { mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type Command, run } from '../lab/command.js';

export interface Host {
  /** Content without blanks around it; undefined: it is not there, or may not be read. */
  read(path: string): string | undefined;
  /** Names in a directory, sorted; none if it is not there. */
  list(path: string): readonly string[];
  /** Last part of what a symbolic link points to. */
  link(path: string): string | undefined;
  /** Writes a whole file; directories are made. Throws what the file system says. */
  write(path: string, text: string): void;
  /** What a program printed; undefined: there is no such program here, or it failed. */
  ask(...command: Command): Promise<string | undefined>;
  /** False below another root: programs would see this machine. */
  readonly runsPrograms: boolean;
  /** Runs a program; rejects with what it said when it fails. */
  run(...command: Command): Promise<void>;
}

const timeoutMs = 30_000;
/** Programs that commands of root need, though a login's PATH may lack their place. */
const systemPlaces = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

export function hostAt(root = '/'): Host {
  const at = (path: string): string => join(root, path);
  const isThis = root === '/';
  return {
    read: (path) => attempt(() => readFileSync(at(path), 'utf8').trim()),
    list: (path) => attempt(() => readdirSync(at(path)).sort()) ?? [],
    link: (path) => attempt(() => basename(readlinkSync(at(path)))),
    write: (path, text) => {
      mkdirSync(dirname(at(path)), { recursive: true });
      writeFileSync(at(path), text);
    },
    runsPrograms: isThis,
    ask: async (...command) => (isThis ? await run(found(command), { timeoutMs }).catch(() => undefined) : undefined),
    run: async (...command) => {
      if (!isThis) throw new Error(`${command.join(' ')}: no program is run for another root`);
      await run(found(command), { timeoutMs });
    },
  };
}

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** The program by its whole path where the usual places of root have it. */
function found([program, ...words]: Command): Command {
  if (program.includes('/')) return [program, ...words];
  const places = [...(process.env.PATH ?? '').split(':'), ...systemPlaces];
  const place = places.find((directory) => attempt(() => readdirSync(directory).includes(program)));
  return [place === undefined ? program : join(place, program), ...words];
}
