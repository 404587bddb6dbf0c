// SPDX-License-Identifier: Apache-2.0
// Replays scenarios, each in a director of its own, a few at a time; results come in the order of the names.
import { compareOutcome, type Difference } from './compare.js';
import { startSettings } from './environment.js';
import { Player } from './events.js';
import { NotAvailable } from './not_available.js';
import { readScenario, type Scenario } from './scenario.js';
import { World } from './world.js';

export interface Quirk {
  readonly event: number;
  readonly quirk: string;
  /** Undefined: it is as recorded. */
  readonly difference?: Difference;
}

export interface Result {
  readonly name: string;
  readonly passed: boolean;
  readonly seconds: number;
  readonly differences: readonly Difference[];
  /** Compared, but not counted. */
  readonly quirks: readonly Quirk[];
}

export interface ReplayOptions {
  readonly workers: number;
  readonly jobs: number;
}

export async function replayAll(
  directory: string,
  names: readonly string[],
  options: ReplayOptions,
  report: (result: Result) => void,
): Promise<readonly Result[]> {
  const results = new Array<Promise<Result> | undefined>(names.length);
  const resolvers = names.map((_, at) => {
    const { promise, resolve } = deferred<Result>();
    results[at] = promise;
    return resolve;
  });
  let next = 0;
  const work = async (): Promise<void> => {
    for (let at = next++; at < names.length; at = next++) {
      resolvers[at]?.(await replay(directory, names[at] ?? '', options.workers));
    }
  };
  const workers = Promise.all(Array.from({ length: options.jobs }, work));
  const done: Result[] = [];
  for (const result of results) {
    if (result === undefined) continue;
    done.push(await result);
    report(done.at(-1) as Result);
  }
  await workers;
  return done;
}

function deferred<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** One scenario. Never fails: what goes wrong is a difference. */
export async function replay(directory: string, name: string, workers: number): Promise<Result> {
  const began = performance.now();
  const differences: Difference[] = [];
  const quirks: Quirk[] = [];
  try {
    const scenario = readScenario(directory, name);
    const world = await World.start({ ipv6: scenario.ipv6, workers, ...startSettings(scenario) });
    try {
      await play(scenario, world, differences, quirks);
    } finally {
      await world.stop();
    }
  } catch (error) {
    differences.push({ expected: 'a scenario that can be played', got: (error as Error).message });
  }
  const seconds = (performance.now() - began) / 1000;
  return { name, passed: differences.length === 0, seconds, differences, quirks };
}

async function play(scenario: Scenario, world: World, differences: Difference[], quirks: Quirk[]): Promise<void> {
  const player = new Player(scenario, world, world);
  for (const line of scenario.config) await player.configure(line);
  for (const [index, event] of scenario.events.entries()) {
    const found = await outcomeOf(player, world, scenario, index);
    if (event.quirk !== undefined)
      quirks.push({ event: index, quirk: event.quirk, ...(found && { difference: found }) });
    else if (found !== undefined) differences.push(found);
  }
}

/** Undefined if it is as recorded. Fails when the dataplane has ended: nothing can be played any more. */
async function outcomeOf(
  player: Player,
  world: World,
  scenario: Scenario,
  index: number,
): Promise<Difference | undefined> {
  const event = scenario.events[index];
  const recorded = scenario.golden[index];
  if (event === undefined || recorded === undefined) throw new Error(`event ${index} is missing`);
  try {
    const difference = compareOutcome(recorded, await player.play(event, index));
    return difference && { event: index, ...difference };
  } catch (error) {
    const ending = error instanceof NotAvailable ? undefined : await world.ending();
    if (ending !== undefined) throw new Error(`event ${index} (${event.op}): the dataplane ended: ${ending}`);
    return { event: index, expected: `${event.op} to be carried out`, got: (error as Error).message };
  }
}
