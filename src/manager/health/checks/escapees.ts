// SPDX-License-Identifier: Apache-2.0
// Finds what a command started and led out of its process group (setsid(2), a daemon): by a mark in the environment, which
// children inherit. Once a run has ended, what still has its mark gets TERM, and KILL if it is there a second later.
import { readdirSync, readFileSync } from 'node:fs';

const variable = 'FULCRUM_RUN';
/** From the end of a run to the look, and to the next one while somebody is found. One looks at all of /proc. */
const lookAfterMs = 1_000;

const active = new Set<string>();
const warned = new Set<string>();
let runs = 0;
let look: NodeJS.Timeout | undefined;

export interface Run {
  /** For the environment of what is run. */
  readonly environment: Readonly<Record<string, string>>;
  /** Its group has ended. */
  readonly end: () => void;
}

export function beginRun(): Run {
  const mark = `${process.pid}-${++runs}`;
  active.add(mark);
  return {
    environment: { [variable]: mark },
    end: () => {
      active.delete(mark);
      lookLater();
    },
  };
}

/** Looks that are due hold up nobody who wants to end. */
function lookLater(): void {
  if (look !== undefined) return;
  look = setTimeout(() => {
    look = undefined;
    if (endEscapees()) lookLater();
  }, lookAfterMs).unref();
}

/** True if there was somebody. */
function endEscapees(): boolean {
  const found = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && isEscapee(name));
  for (const pid of found) {
    try {
      process.kill(Number(pid), warned.has(pid) ? 'SIGKILL' : 'SIGTERM');
    } catch {
      // It has ended meanwhile.
    }
  }
  warned.clear();
  for (const pid of found) warned.add(pid);
  return found.length > 0;
}

/** One of ours, by the number of this process, whose run goes on no more. */
function isEscapee(pid: string): boolean {
  try {
    const text = readFileSync(`/proc/${pid}/environ`, 'latin1');
    const mark = text
      .split('\0')
      .find((entry) => entry.startsWith(`${variable}=${process.pid}-`))
      ?.slice(variable.length + 1);
    return mark !== undefined && !active.has(mark);
  } catch {
    // Gone, or not ours to read.
    return false;
  }
}
