// SPDX-License-Identifier: Apache-2.0
// Programs that checks run: each leads a process group of its own, and none of that group outlives the check.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

/** From TERM to KILL, as keepalived has it. */
export const graceMs = 2000;
const firstPauseMs = 5;
const longestPauseMs = 160;

/** The manager's environment without what is meant for Node or for Fulcrum's own processes. */
export function environmentOf(own: Readonly<NodeJS.ProcessEnv>): NodeJS.ProcessEnv {
  const kept = Object.entries(own).filter(([name]) => !/^(NODE_|FULCRUM_|NOTIFY_SOCKET$)/.test(name));
  return { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', ...Object.fromEntries(kept) };
}

/** Starts a program as the leader of a new session: what it starts is in its group unless it takes care not to be. */
export function spawnGroup(command: readonly string[], options: SpawnOptions): ChildProcess {
  const [program = '', ...parameters] = command;
  return spawn(program, parameters, { ...options, detached: true });
}

/** False if there is nobody left in the group. */
export function signalGroup(leader: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-leader, signal);
  } catch (error) {
    // EPERM: somebody is there who has changed his user.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/**
 * Ends what is left of a group: TERM, and KILL for those who are still there after the grace. Resolves when nobody is;
 * true if it took KILL. What the leader leaves is Node's to reap.
 */
export async function endGroup(leader: number, grace: number = graceMs): Promise<boolean> {
  if (grace > 0 && !signalGroup(leader, 'SIGTERM')) return false;
  if (grace > 0 && (await isGone(leader, grace))) return false;
  // Whoever does not even die of KILL waits in the kernel (for a dead NFS server, say): nobody can end him.
  if (signalGroup(leader, 'SIGKILL')) await isGone(leader, graceMs);
  return true;
}

/** Looks again and again, soon enough that the number cannot have become another group's meanwhile. */
function isGone(leader: number, patienceMs: number): Promise<boolean> {
  const limit = performance.now() + patienceMs;
  let pauseMs = firstPauseMs;
  return new Promise((resolve) => {
    const look = (): void => {
      const left = limit - performance.now();
      if (!hasLiving(leader)) resolve(true);
      else if (left <= 0) resolve(false);
      else setTimeout(look, Math.min(pauseMs, left));
      pauseMs = Math.min(longestPauseMs, 2 * pauseMs);
    };
    look();
  });
}

/** Zombies have ended: they only wait for whoever adopted them to take notice, and not everybody does. */
function hasLiving(leader: number): boolean {
  return signalGroup(leader, 0) && readdirSync('/proc').some((name) => /^\d+$/.test(name) && isLiving(name, leader));
}

function isLiving(pid: string, group: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // proc(5): the state, the parent and the group come after the name in parentheses.
    const [state, , itsGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(itsGroup) === group && state !== 'Z' && state !== 'X';
  } catch {
    return false;
  }
}
