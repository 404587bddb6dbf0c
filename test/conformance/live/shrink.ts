// SPDX-License-Identifier: Apache-2.0
// Makes a scenario smaller while something stays true of it: drops events and configuration, and what is special about
// those that are left. Delta debugging (Zeller, Hildebrandt 2002), by parts that get smaller.
import type { Json, ScenarioEvent } from '../scenario.js';
import type { Script } from './record.js';

export type StillTrue = (candidate: Script) => Promise<boolean>;

/** Tries at most so many candidates. */
export async function shrink(script: Script, stillTrue: StillTrue, attempts: number): Promise<Script> {
  let best = script;
  let left = attempts;
  const improve = async (candidates: (script: Script) => Iterable<Script>): Promise<boolean> => {
    let improved = false;
    for (let found = true; found && left > 0; ) {
      found = false;
      for (const candidate of candidates(best)) {
        if (left-- <= 0) break;
        if (!(await stillTrue(candidate))) continue;
        best = candidate;
        found = true;
        improved = true;
        break;
      }
    }
    return improved;
  };
  const passes = [withoutEvents, withoutServices, withoutConfig, withFewerConnections, withoutFields, withoutOptions];
  for (let improved = true; improved && left > 0; ) {
    improved = false;
    for (const pass of passes) improved = (await improve(pass)) || improved;
  }
  return best;
}

/** Without a run of items: half of them first, single ones last; from the end, where less depends on them. */
function* shorter<T>(items: readonly T[]): Iterable<readonly T[]> {
  for (let size = Math.ceil(items.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
    for (let to = items.length; to > 0; to -= size) {
      const from = Math.max(0, to - size);
      yield [...items.slice(0, from), ...items.slice(to)];
    }
  }
}

function* withoutEvents(script: Script): Iterable<Script> {
  for (const events of shorter(script.events)) yield { ...script, events };
}

function* withoutConfig(script: Script): Iterable<Script> {
  for (const config of shorter(script.config)) yield { ...script, config };
}

/** A service goes with all its servers. */
function* withoutServices(script: Script): Iterable<Script> {
  for (const line of script.config) {
    const [, spec] = /^-A (-\S+ \S+( -6)?)/.exec(line) ?? [];
    if (spec === undefined) continue;
    const isOther = (text: string): boolean => !`${text} `.includes(` ${spec} `);
    yield {
      ...script,
      config: script.config.filter(isOther),
      events: script.events.filter(({ args }) => typeof args !== 'string' || isOther(args)),
    };
  }
}

function* withFewerConnections(script: Script): Iterable<Script> {
  for (const [index, event] of script.events.entries()) {
    if (event.op !== 'conns') continue;
    const n = event.n as number;
    const fewer = new Set([1, Math.floor(n / 2), n - 1].filter((count) => count >= 1 && count < n));
    for (const count of fewer) yield replaceEvent(script, index, { ...event, n: count });
  }
}

const needed: readonly string[] = ['op', 'src', 'dst', 'dsts', 'proto', 'from', 'type', 'code', 'inner', 'n', 'client'];
const neededToo: readonly string[] = [
  'args',
  'key',
  'value',
  'match',
  'mark',
  'dev',
  'mtu',
  'ms',
  'hex',
  'inner_hex',
  'chunks_hex',
];
const keep = new Set([...needed, ...neededToo]);

function* withoutFields(script: Script): Iterable<Script> {
  for (const [index, event] of script.events.entries()) {
    for (const smaller of withoutOne(event)) yield replaceEvent(script, index, smaller as ScenarioEvent);
    if (typeof event.inner !== 'object' || event.inner === null) continue;
    for (const inner of withoutOne(event.inner as Json)) yield replaceEvent(script, index, { ...event, inner });
  }
}

function* withoutOne(object: Json): Iterable<Json> {
  for (const key of Object.keys(object)) {
    if (keep.has(key)) continue;
    const { [key]: _dropped, ...rest } = object;
    yield rest;
  }
}

function replaceEvent(script: Script, index: number, event: ScenarioEvent): Script {
  return { ...script, events: script.events.map((other, at) => (at === index ? event : other)) };
}

/** Options that a line can do without, with their values; what is said of a tunnel goes as a whole. */
const optional = / (-[wxypMb] \S+|-o|-[gim]|--tun-type .*)(?= |$)/g;

function* withoutOptions(script: Script): Iterable<Script> {
  for (const [index, line] of script.config.entries()) {
    for (const smaller of shorterLines(line)) {
      yield { ...script, config: script.config.map((other, at) => (at === index ? smaller : other)) };
    }
  }
  for (const [index, event] of script.events.entries()) {
    if (event.op !== 'ipvsadm') continue;
    for (const args of shorterLines(String(event.args))) yield replaceEvent(script, index, { ...event, args });
  }
}

function* shorterLines(line: string): Iterable<string> {
  for (const match of line.matchAll(optional)) {
    yield line.slice(0, match.index) + line.slice(match.index + match[0].length);
  }
}
