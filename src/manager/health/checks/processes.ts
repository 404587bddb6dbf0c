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
  let since = performance.now();
  const limit = since + patienceMs;
  let pauseMs = firstPauseMs;
  return new Promise((resolve) => {
    const look = (): void => {
      const now = performance.now();
      const groups = signalGroup(leader, 0) ? livingGroups(since) : noGroups;
      if (groups === undefined) setTimeout(look, mayReadAt - now);
      else if (!groups.has(leader)) resolve(true);
      else if (now >= limit) resolve(false);
      else setTimeout(look, Math.min(pauseMs, limit - now));
      since = now;
      pauseMs = Math.min(longestPauseMs, 2 * pauseMs);
    };
    look();
  });
}

type Groups = ReadonlySet<number>;

const noGroups: Groups = new Set();
let known: { readonly at: number; readonly groups: Groups } = { at: Number.NEGATIVE_INFINITY, groups: noGroups };
let mayReadAt = 0;
/** Reading all of /proc takes milliseconds, in which nothing else is done; of all time at most one part in so many. */
const readingShare = 10;

/**
 * The groups in which somebody lived at some time after that; undefined if it is too soon to look again. Those who wait
 * for many groups to end look at the same list.
 */
export function livingGroups(since: number): Groups | undefined {
  if (known.at > since) return known.groups;
  const at = performance.now();
  if (at < mayReadAt) return undefined;
  const groups = new Set(readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? groupOf(name) : [])));
  const now = performance.now();
  known = { at, groups };
  mayReadAt = now + (readingShare - 1) * (now - at);
  return groups;
}

/** None for zombies, who have ended: they only wait for whoever adopted them to take notice, and not everybody does. */
function groupOf(pid: string): readonly number[] {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // proc(5): the state, the parent and the group come after the name in parentheses.
    const [state, , group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state === 'Z' || state === 'X' ? [] : [Number(group)];
  } catch {
    return [];
  }
}
