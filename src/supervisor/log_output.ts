// SPDX-License-Identifier: Apache-2.0
// The log of a director and its processes on one standard output: JSON lines as they are, or text for people.

import { parseEntry } from './child.js';

export type LogFormat = 'json' | 'text';

/** Fields that the text form shows otherwise, or not at all. */
const shownApart = new Set(['level', 'time', 'name', 'pid', 'msg', 'source']);

/** One line for people: "14:03:07 dataplane  port wan is up  port=wan". */
export function asText(name: string, line: string): string {
  const entry = parseEntry(line);
  if (entry === undefined) return `${' '.repeat(9)}${name.padEnd(9)} ${line}`;
  const time = String(entry.time ?? '').slice(11, 19);
  const level = entry.level === 'info' ? '' : `${entry.level}: `;
  const fields = Object.entries(entry)
    .filter(([key]) => !shownApart.has(key))
    .map(([key, value]) => `${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  return [`${time.padEnd(8)} ${name.padEnd(9)} ${level}${entry.msg}`, ...fields].join(' ');
}

/** Where the lines of all processes go. */
export function logOutput(format: LogFormat): (name: string, line: string) => void {
  return (name, line) => {
    process.stdout.write(`${format === 'text' ? asText(name, line) : line}\n`);
  };
}
