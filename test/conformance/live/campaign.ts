// SPDX-License-Identifier: Apache-2.0
// A run of random scenarios: some at a time, each in a network of its own in the guest and in a director of its own.
// What differs is tried once more, made smaller, printed, and written down so that `npm run conformance` can replay it.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Difference, differenceText } from '../compare.js';
import type { Json } from '../scenario.js';
import { differ, type Verdict } from './differ.js';
import { Directors } from './directors.js';
import { generate, type Wishes } from './generate/script.js';
import { Guest } from './guest.js';
import { type AgentLine, GuestLost } from './line.js';
import type { Recording, Script } from './record.js';
import { shrink } from './shrink.js';

export interface Options extends Wishes {
  readonly seconds: number;
  readonly count: number;
  readonly first: number;
  readonly jobs: number;
  readonly out: string;
}

const shrinkAttempts = 120;
const longestShrinkMs = 120_000;
/** Of one sort of difference only the first few are made smaller. */
const shrunkOfASort = 2;
/** A kernel that was kept from its work for so long may have timed something out: the scenario is played again. */
const longestDelayMs = 3_000;
const playsAtMost = 3;
const progressMs = 30_000;

export class Campaign {
  readonly #options: Options;
  readonly #totals = {
    scenarios: 0,
    connections: 0,
    packets: 0,
    differences: 0,
    refused: 0,
    delayed: 0,
    unsteady: 0,
    guests: 0,
  };
  readonly #sorts = new Map<string, number>();
  readonly #explained = new Map<string, number>();
  readonly #directors = new Directors();
  readonly #guests: Guest[] = [];
  #next: number;

  constructor(options: Options) {
    this.#options = options;
    this.#next = options.first;
  }

  /** Number of differences. */
  async run(): Promise<number> {
    const { seed, seconds, jobs } = this.#options;
    say(`seed ${seed}`);
    const began = performance.now();
    const deadline = began + 1000 * seconds;
    const timer = setInterval(() => say(this.#summary(began)), progressMs);
    try {
      await Promise.all(Array.from({ length: jobs }, (_, index) => this.#line(index)));
      await Promise.all(Array.from({ length: jobs }, (_, index) => this.#work(index, deadline)));
    } finally {
      clearInterval(timer);
      await this.#directors.stop();
      await Promise.all(this.#guests.map((guest) => guest.stop()));
    }
    for (const [reason, count] of this.#explained) say(`explained ${count} times: ${reason}`);
    say(`${this.#summary(began)}; seed ${seed}`);
    return this.#totals.differences;
  }

  #summary(began: number): string {
    const { scenarios, connections, packets, differences, refused, delayed, unsteady, guests } = this.#totals;
    const rest = { refused, delayed, unsteady, 'guests lost': Math.max(0, guests - this.#options.jobs) };
    const notes = Object.entries(rest).filter(([, count]) => count > 0);
    return [
      `${Math.round((performance.now() - began) / 1000)} s: ${scenarios} scenarios, ${connections} connections, ${packets} packets`,
      `${differences} differences`,
      ...notes.map(([name, count]) => `${count} ${name}`),
    ].join(', ');
  }

  /** A line of a guest that lives: a new one is started when it has died. */
  async #line(index: number): Promise<AgentLine> {
    let guest = this.#guests[index];
    if (guest?.isLost !== false) {
      await guest?.stop();
      guest = await Guest.start();
      this.#guests[index] = guest;
      this.#totals.guests++;
    }
    return guest.line;
  }

  async #work(index: number, deadline: number): Promise<void> {
    const { first, count } = this.#options;
    while (performance.now() < deadline && this.#next < first + count) {
      const number = this.#next++;
      const script = generate(this.#options, number);
      try {
        await this.#one(script, index);
      } catch (error) {
        throw new Error(`${script.name}: ${(error as Error).message}`, { cause: error });
      }
    }
  }

  async #one(script: Script, index: number): Promise<void> {
    const verdict = await this.#play(script, index, false);
    if (verdict === undefined) {
      this.#totals.refused++;
      return;
    }
    this.#count(verdict);
    if (verdict.difference === undefined) return;
    const again = await this.#play(script, index, true);
    if (again?.difference === undefined) {
      this.#totals.unsteady++;
      const once = `${place(verdict.difference)}: ${differenceText(verdict.difference)}`;
      const files = writeDown(this.#options.out, { ...script, name: `${script.name}-once` }, verdict.recording);
      say(`unsteady ${script.name}: once, but not the second time, ${once}\n(${files})`);
      return;
    }
    this.#totals.differences++;
    await this.#report(script, again, again.difference, index);
  }

  /** In a guest that was not too slow. */
  async #play(script: Script, index: number, isFresh: boolean): Promise<Verdict | undefined> {
    for (let plays = 1; ; plays++) {
      try {
        const line = await this.#line(index);
        const { workers } = this.#options;
        const verdict = await differ(script, { line, directors: this.#directors, workers, isFresh });
        if (verdict === undefined || Math.max(...verdict.recording.lateMs, 0) <= longestDelayMs) return verdict;
        this.#totals.delayed++;
        if (plays === playsAtMost) return { recording: verdict.recording, explained: verdict.explained };
      } catch (error) {
        if (!(error instanceof GuestLost) || plays === playsAtMost) throw error;
        say(`${script.name}: ${error.message}`);
      }
    }
  }

  #count({ recording, explained }: Verdict): void {
    this.#totals.scenarios++;
    this.#totals.packets += recording.packets;
    for (const { chosen } of recording.golden) this.#totals.connections += Array.isArray(chosen) ? chosen.length : 0;
    for (const reason of explained) this.#explained.set(reason, (this.#explained.get(reason) ?? 0) + 1);
  }

  async #report(script: Script, verdict: Verdict, difference: Difference, index: number): Promise<void> {
    const sort = sortOf(script, difference);
    const seen = this.#sorts.get(sort) ?? 0;
    this.#sorts.set(sort, seen + 1);
    say(`DIFFERENCE ${script.name}: ${place(difference)}: ${differenceText(difference)}`);
    if (seen >= shrunkOfASort) {
      say(`(number ${seen + 1} of the sort "${sort}": not made smaller)`);
      return;
    }
    let smallest = { script, recording: verdict.recording, difference };
    const until = performance.now() + longestShrinkMs;
    const stillTrue = async (candidate: Script): Promise<boolean> => {
      if (performance.now() > until) return false;
      const tried = await this.#play(candidate, index, true);
      if (tried?.difference === undefined || sortOf(candidate, tried.difference) !== sort) return false;
      smallest = { script: candidate, recording: tried.recording, difference: tried.difference };
      return true;
    };
    // What comes later has nothing to do with it.
    const upToThere = { ...script, events: script.events.slice(0, (difference.event ?? -1) + 1) };
    await shrink((await stillTrue(upToThere)) ? upToThere : script, stillTrue, shrinkAttempts);
    const files = writeDown(this.#options.out, smallest.script, smallest.recording);
    say(`minimal: ${place(smallest.difference)}: ${differenceText(smallest.difference)}`);
    say(`${scenarioText(smallest.script)}written to ${files}`);
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

function place({ event }: Difference): string {
  return event === undefined ? 'before the first event' : `event ${event}`;
}

/** Differences that are likely to have one cause: the same operation, the same field. */
function sortOf(script: Script, { event, expected, got }: Difference): string {
  const key = (side: unknown): string =>
    typeof side === 'string'
      ? side.replace(/\d+/g, 'N').slice(0, 60)
      : Object.keys(side as Json)
          .join()
          .replace(/\d+/g, 'N');
  const nothing = [expected, got].map((side) =>
    Object.values((side ?? {}) as Json)[0] === 'nothing' ? 'nothing' : 'some',
  );
  return `${event === undefined ? 'start' : script.events[event]?.op}: ${key(expected)} ${key(got)} ${nothing.join('/')}`;
}

function scenarioText(script: Script): string {
  const list = (items: readonly unknown[]): string => items.map((item) => `  ${JSON.stringify(item)}`).join(',\n');
  const { ipv6, guePorts, config, events } = script;
  const head = `{"doc": "${script.name}", "ipv6": ${ipv6}, "gue_ports": ${JSON.stringify(guePorts)},`;
  return `${head}\n "config": [\n${list(config)}\n ],\n "events": [\n${list(events)}\n ]}\n`;
}

/** As the runner for recordings wants it: `npm run conformance -- DIR NAME`. */
function writeDown(directory: string, script: Script, { golden }: Recording): string {
  for (const part of ['scenarios', 'golden']) mkdirSync(join(directory, part), { recursive: true });
  writeFileSync(join(directory, 'scenarios', `${script.name}.json`), scenarioText(script));
  const events = golden.map((event) => `  ${JSON.stringify(event)}`).join(',\n');
  writeFileSync(
    join(directory, 'golden', `${script.name}.json`),
    `{"name": "${script.name}", "events": [\n${events}\n]}\n`,
  );
  return `${directory} (npm run conformance -- ${directory} ${script.name})`;
}
