// SPDX-License-Identifier: Apache-2.0
// Fulcrum directors that wait for a scenario. To start one takes longer than most scenarios: where one has done nothing
// but serve packets it is emptied and takes the next, long after in its own time.
import { World } from '../world.js';
import type { PlanOptions } from '../world_plan.js';
import type { Script } from './record.js';

/** Virtual time until nothing is left of a scenario: templates last longest, then the deleted servers that they had. */
const forgetMs = [3 * 3_600_000, 200_000, 200_000];
const longestUse = 40;
/** Each takes some of the processor while it waits. */
const mostIdle = 6;
const lastingEvents: readonly string[] = ['sysctl', 'fwmark', 'ip', 'mtu'];

export class Directors {
  /** The one that has waited longest comes first. */
  readonly #idle: { readonly key: string; readonly world: World }[] = [];
  readonly #uses = new Map<World, number>();

  /** One that has never been used, if `isFresh`. */
  async take(options: PlanOptions, isFresh: boolean): Promise<World> {
    const key = keyOf(options);
    const index = isFresh ? -1 : this.#idle.findLastIndex((one) => one.key === key);
    const [idle] = index < 0 ? [] : this.#idle.splice(index, 1);
    return idle?.world ?? (await World.start(options));
  }

  /** After the scenario that it was taken for. */
  async give(world: World, options: PlanOptions, script: Script): Promise<void> {
    const uses = (this.#uses.get(world) ?? 0) + 1;
    const isReusable = uses < longestUse && !script.events.some(({ op }) => lastingEvents.includes(op));
    if (!isReusable || !(await emptied(world))) return await this.#end(world);
    this.#uses.set(world, uses);
    this.#idle.push({ key: keyOf(options), world });
    const surplus = this.#idle.length > mostIdle ? this.#idle.shift() : undefined;
    if (surplus !== undefined) await this.#end(surplus.world);
  }

  async stop(): Promise<void> {
    for (const { world } of this.#idle.splice(0)) await this.#end(world);
  }

  async #end(world: World): Promise<void> {
    this.#uses.delete(world);
    await world.stop();
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
