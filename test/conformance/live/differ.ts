// SPDX-License-Identifier: Apache-2.0
// One scenario in the guest and in Fulcrum: where do they part?
import { compareOutcome, type Difference } from '../compare.js';
import { startSettings } from '../environment.js';
import { Player } from '../events.js';
import type { Json, Scenario } from '../scenario.js';
import type { World } from '../world.js';
import type { Directors } from './directors.js';
import { explanation } from './known.js';
import type { AgentLine } from './line.js';
import { type Recording, Refused, record, type Script } from './record.js';

export interface Verdict {
  readonly recording: Recording;
  /** The first that nothing explains. */
  readonly difference?: Difference;
  /** Why those before it are no mistakes. */
  readonly explained: readonly string[];
}

export interface Sides {
  readonly line: AgentLine;
  readonly directors: Directors;
  readonly workers: number;
  /** Whether the director must be one that has never been used. */
  readonly isFresh: boolean;
}

/** Undefined if the kernel refuses the configuration: there is nothing to compare then. */
export async function differ(
  script: Script,
  { line, directors, workers, isFresh }: Sides,
): Promise<Verdict | undefined> {
  const options = { ipv6: script.ipv6, workers, ...startSettings({ ...script, golden: [] }) };
  // Both sides get ready at the same time.
  const starting = settled(directors.take(options, isFresh));
  try {
    const recording = await record(script, line);
    const started = await starting;
    if ('error' in started) return { recording, difference: failure('a director', started.error), explained: [] };
    const scenario = { ...script, golden: recording.golden };
    return { recording, ...(await compare(scenario, recording.lateMs, started.value, workers)) };
  } catch (error) {
    if (error instanceof Refused) return undefined;
    throw error;
  } finally {
    const started = await starting;
    if ('value' in started) await directors.give(started.value, options, script);
  }
}

type Settled<T> = { readonly value: T } | { readonly error: Error };

async function settled<T>(promise: Promise<T>): Promise<Settled<T>> {
  try {
    return { value: await promise };
  } catch (error) {
    return { error: error as Error };
  }
}

function failure(expected: string, error: Error): Difference {
  return { expected, got: error.message };
}

async function compare(
  scenario: Scenario,
  lateMs: readonly number[],
  world: World,
  workers: number,
): Promise<Omit<Verdict, 'recording'>> {
  const player = new Player(scenario, world, world);
  const explained: string[] = [];
  try {
    if (scenario.config.length > 0) await configure(scenario.config, world);
  } catch (error) {
    return { difference: failure('the configuration to be taken', error as Error), explained };
  }
  let late = 0;
  for (const index of scenario.events.keys()) {
    // The kernel's time is real: what it took for its work passes here, too.
    const more = (lateMs[index] ?? late) - late;
    if (more > 0) await world.advance(more);
    late += Math.max(0, more);
    const difference = await differenceAt(player, scenario, index, world);
    if (difference === undefined) continue;
    const known = explanation(scenario, difference, workers);
    if (known === undefined) return { difference, explained };
    explained.push(known.reason);
    if (known.parts) break;
  }
  return { explained };
}

/** All lines at once, as the kernel has got them. */
async function configure(lines: readonly string[], world: World): Promise<void> {
  const { rc, stderr } = await world.ipvsadm(['-R'], `${lines.join('\n')}\n`);
  if (rc !== 0 || stderr !== '') throw new Error(`ipvsadm -R: status ${rc}: ${stderr.trim()}`);
}

async function differenceAt(
  player: Player,
  scenario: Scenario,
  index: number,
  world: World,
): Promise<Difference | undefined> {
  const event = scenario.events[index];
  if (event === undefined) return undefined;
  let outcome: Json;
  try {
    outcome = await player.play(event, index);
  } catch (error) {
    const ending = await world.ending();
    const got = ending === undefined ? (error as Error).message : `the dataplane ended: ${ending}`;
    return { event: index, expected: `${event.op} to be carried out`, got };
  }
  const found = compareOutcome(scenario.golden[index] ?? {}, outcome);
  return found && { event: index, ...found };
}
