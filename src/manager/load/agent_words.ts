// SPDX-License-Identifier: Apache-2.0
// The line of HAProxy's agent-check: words in any order, divided by blanks, tabs or commas; of a kind the last one counts.
//   health "up" "down" "stopped" "fail" · admin "ready" "drain" "maint" · weight "30%" · "maxconn:50" · # description

import { quote } from '../../grpc/errors.js';

/** What an agent said. What it did not name is undefined: it stays as it is. */
export interface AgentWords {
  readonly admin?: Admin;
  readonly health?: AgentHealth;
  /** Of the wanted weight. */
  readonly percent?: number;
  readonly maxConnections?: number;
  /** What follows a "#" at the start of a word. */
  readonly description: string;
  /** What was not understood; empty if all was. */
  readonly problem: string;
}

export type Admin = 'ready' | 'drain' | 'maint';
export type AgentHealth = 'up' | 'down' | 'stopped' | 'fail';

/** HAProxy's bound: a weight of 256, of a configured one of 1. */
export const largestPercent = 25_600;
/** Of what an agent said, for people to read. */
const longestShown = 200;
/** LVS's, of thresholds. */
const mostConnections = 2_147_483_647;

const admins: readonly string[] = ['ready', 'drain', 'maint'] satisfies Admin[];
const healths: readonly string[] = ['up', 'down', 'stopped', 'fail'] satisfies AgentHealth[];

interface Sorted {
  readonly admin?: string;
  readonly health?: string;
  readonly weight?: string;
  readonly connections?: string;
  /** The first word of no kind. */
  readonly unknown?: string;
}

/** The text up to the first CR or LF. */
export function readAgentLine(line: string): AgentWords {
  const [, words = '', description = ''] = /^(.*?)(?:(?<![^ \t,])#(.*))?$/s.exec(line) ?? [];
  const sorted = words
    .split(/[ \t,]+/)
    .filter((word) => word !== '')
    .reduce(sortIn, {});
  const percent = readPercent(sorted.weight);
  const connections = readConnections(sorted.connections);
  const problems = [percent, connections].flatMap((read) => (typeof read === 'string' ? [read] : []));
  if (sorted.unknown !== undefined) problems.push(`does not know ${quote(sorted.unknown)}`);
  return {
    ...(sorted.admin !== undefined && { admin: sorted.admin as Admin }),
    ...(sorted.health !== undefined && { health: sorted.health as AgentHealth }),
    ...(typeof percent === 'number' && { percent }),
    ...(typeof connections === 'number' && { maxConnections: connections }),
    description: shown(description),
    problem: problems.join('; '),
  };
}

/** As it may stand in a table. */
export function shown(line: string): string {
  const text = line.replaceAll(/\p{C}/gu, '?').trim();
  return text.length > longestShown ? `${text.slice(0, longestShown)}…` : text;
}

/** HAProxy looks at the words as they are, and at the kind of each by how it begins. */
function sortIn(sorted: Sorted, word: string): Sorted {
  const lower = word.toLowerCase();
  if (admins.includes(lower)) return { ...sorted, admin: lower };
  if (healths.includes(lower)) return { ...sorted, health: lower };
  if (/^\d/.test(word) && word.includes('%')) return { ...sorted, weight: word };
  if (lower.startsWith('maxconn:')) return { ...sorted, connections: word };
  return { unknown: word, ...sorted };
}

/** "30%" is 30, "75%x" is a problem. */
function readPercent(word: string | undefined): number | string | undefined {
  if (word === undefined) return undefined;
  if (!/^\d+%$/.test(word)) return `${quote(word)} is not a percentage`;
  return Math.min(largestPercent, Number.parseInt(word, 10));
}

function readConnections(word: string | undefined): number | string | undefined {
  const digits = word?.slice('maxconn:'.length);
  if (digits === undefined) return undefined;
  if (!/^\d+$/.test(digits) || Number(digits) > mostConnections) return `${quote(word)} is not a number of connections`;
  return Number(digits);
}
