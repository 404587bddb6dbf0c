// SPDX-License-Identifier: Apache-2.0
// Fulcrum directors that wait for a scenario. To start one takes longer than most scenarios: where one has done nothing
// but serve packets it is emptied and takes the next, long after in its own time.
import { World } from '../world.js';
import type { PlanOptions } from '../world_plan.js';
import type { Script } from './record.js';

/** Virtual time until nothing is left of a scenario: templates last longest, then the deleted servers that they had. */
const forgetMs = [3 * 3_600_000, 200_000, 200_000];
const longestUse = 40;
const lastingEvents: readonly string[] = ['sysctl', 'fwmark', 'ip', 'mtu'];

export class Directors {
  readonly #idle = new Map<string, World[]>();
  readonly #uses = new Map<World, number>();

  /** One that has never been used, if `isFresh`. */
  async take(options: PlanOptions, isFresh: boolean): Promise<World> {
    const idle = isFresh ? undefined : this.#idle.get(keyOf(options))?.pop();
    return idle ?? (await World.start(options));
  }

  /** After the scenario that it was taken for. */
  async give(world: World, options: PlanOptions, script: Script): Promise<void> {
    const uses = (this.#uses.get(world) ?? 0) + 1;
    const isReusable = uses < longestUse && !script.events.some(({ op }) => lastingEvents.includes(op));
    if (!isReusable || !(await emptied(world))) {
      this.#uses.delete(world);
      await world.stop();
      return;
    }
    this.#uses.set(world, uses);
    const key = keyOf(options);
    this.#idle.set(key, [...(this.#idle.get(key) ?? []), world]);
  }

  async stop(): Promise<void> {
    const worlds = [...this.#idle.values()].flat();
    this.#idle.clear();
    for (const world of worlds) await world.stop();
  }
}

function keyOf({ ipv6, workers, mtu, forwarding, routes, neighbors }: PlanOptions): string {
  return JSON.stringify([ipv6, workers, mtu.cl, mtu.rs, forwarding, routes, neighbors]);
}

/** False if something is left. */
async function emptied(world: World): Promise<boolean> {
  try {
    for (const words of [['-C'], ['--set', '900', '120', '300']]) {
      if ((await world.ipvsadm(words)).rc !== 0) return false;
    }
    for (const milliseconds of forgetMs) await world.advance(milliseconds);
    await world.drain();
    const { rc, stdout } = await world.ipvsadm(['-Lnc']);
    return rc === 0 && stdout.trim().split('\n').length === 2;
  } catch {
    // A director that has ended is a difference of the scenario that ended it, found there.
    return false;
  }
}
