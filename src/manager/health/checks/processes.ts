// SPDX-License-Identifier: Apache-2.0
// Programs that checks run: each leads a process group of its own, and none of that group outlives the check.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';

/** From TERM to KILL, as keepalived has it. */
export const graceMs = 2000;
const lookAgainMs = 20;

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
 * true if it took KILL. The leader's exit must have been seen to by Node, or be seen to meanwhile.
 */
export async function endGroup(leader: number, grace: number = graceMs): Promise<boolean> {
  if (grace > 0 && !signalGroup(leader, 'SIGTERM')) return false;
  if (grace > 0 && (await isGone(leader, grace))) return false;
  // Whoever does not even die of KILL waits in the kernel (for a dead NFS server, say): nobody can end him.
  if (signalGroup(leader, 'SIGKILL')) await isGone(leader, graceMs);
  return true;
}

/** Looks often, so that the number cannot have become another group's meanwhile. */
function isGone(leader: number, patienceMs: number): Promise<boolean> {
  const limit = performance.now() + patienceMs;
  return new Promise((resolve) => {
    const look = (): void => {
      if (!signalGroup(leader, 0)) resolve(true);
      else if (performance.now() >= limit) resolve(false);
      else setTimeout(look, lookAgainMs);
    };
    look();
  });
}
