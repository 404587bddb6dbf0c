// SPDX-License-Identifier: Apache-2.0
// Scenarios and recordings as files. Anything in them that is not known is an error: nothing may be skipped silently.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { icmpFields, packetFields } from './packets.js';

export type Json = Readonly<Record<string, unknown>>;

export interface ScenarioEvent extends Json {
  readonly op: string;
  readonly quirk?: string;
}

export interface Scenario {
  readonly name: string;
  readonly ipv6: boolean;
  readonly guePorts: readonly number[];
  readonly config: readonly string[];
  readonly events: readonly ScenarioEvent[];
  /** One an event. */
  readonly golden: readonly Json[];
}

const fieldsOf: Readonly<Record<string, readonly string[]>> = {
  conns: ['n', 'dst', 'dsts', 'client', 'vary', 'step', 'proto', 'finish', 'gap_ms'],
  pkt: ['from', ...packetFields],
  icmp: ['from', ...icmpFields],
  raw: ['from', 'hex'],
  ipvsadm: ['args', 'stdin'],
  sysctl: ['key', 'value'],
  fwmark: ['match', 'mark'],
  ip: ['args'],
  mtu: ['dev', 'mtu'],
  wait: ['ms'],
  list: [],
  conntab: [],
  stats: [],
  rate_seq: ['n'],
};

/** Names of all scenarios and recordings of a directory, sorted. */
export function scenarioNames(directory: string): readonly string[] {
  const names = ['scenarios', 'golden'].flatMap((part) => {
    const path = join(directory, part);
    if (!existsSync(path)) throw new Error(`${path} does not exist`);
    return readdirSync(path).filter((file) => file.endsWith('.json'));
  });
  return [...new Set(names.map((file) => file.slice(0, -'.json'.length)))].sort();
}

function readJson(path: string): Json {
  try {
    return JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path}: ${(error as Error).message}`);
  }
}

/** Throws, with the place, when something is missing or not known. */
export function readScenario(directory: string, name: string): Scenario {
  const scenario = readJson(join(directory, 'scenarios', `${name}.json`));
  const golden = readJson(join(directory, 'golden', `${name}.json`)).events as readonly Json[];
  const known = ['doc', 'ipv6', 'gue_ports', 'config', 'events'];
  const unknown = Object.keys(scenario).find((key) => !known.includes(key));
  if (unknown !== undefined) throw new Error(`the field "${unknown}" of the scenario is not known`);
  const events = scenario.events as readonly ScenarioEvent[];
  events.forEach(checkEvent);
  if (golden.length !== events.length) throw new Error(`${events.length} events, but ${golden.length} are recorded`);
  return {
    name,
    ipv6: scenario.ipv6 === true,
    guePorts: (scenario.gue_ports ?? []) as readonly number[],
    config: (scenario.config ?? []) as readonly string[],
    events,
    golden,
  };
}

export function checkEvent(event: ScenarioEvent, index: number): void {
  const fields = fieldsOf[event.op];
  if (fields === undefined) throw new Error(`event ${index}: the operation "${event.op}" is not known`);
  const known = ['op', 'quirk', 'doc', ...fields];
  const unknown = Object.keys(event).find((key) => !known.includes(key));
  if (unknown !== undefined) throw new Error(`event ${index}: the field "${unknown}" of ${event.op} is not known`);
}

/** Words of a command line; quotes keep words together. */
export function splitWords(line: string): readonly string[] {
  const words = line.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? [];
  return words.map((word) => word.replace(/"([^"]*)"|'([^']*)'/g, '$1$2'));
}
