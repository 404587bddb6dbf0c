// SPDX-License-Identifier: Apache-2.0
// The series of single real servers, in Prometheus's text format. There may be hundreds of thousands: prom-client takes
// most of a second for those of 10,000 servers, in which no check would be answered. Here others have their turn in
// between.
import { setImmediate } from 'node:timers/promises';
import { definitions, fullName, type MetricDefinition } from './definitions.js';

type PerServer<Name> = Name extends `backend_${string}` ? Name : never;
export type BackendMetric = PerServer<keyof typeof definitions>;

/** Of one real server: what is left out has no sample. */
export interface BackendRow {
  /** In the order of their definition. */
  readonly labels: readonly (string | number)[];
  readonly values: Readonly<Partial<Record<BackendMetric, number | string>>>;
}

/** Rows that are worked on at a time. */
const slice = 500;

/** Rows as they are made, a slice at a time. */
export async function gather<T>(things: Iterable<T>, make: (thing: T) => BackendRow): Promise<readonly BackendRow[]> {
  const rows: BackendRow[] = [];
  for (const thing of things) {
    rows.push(make(thing));
    if (rows.length % slice === 0) await setImmediate();
  }
  return rows;
}

export async function backendText(rows: readonly BackendRow[]): Promise<string> {
  const names = Object.keys(definitions).filter((name): name is BackendMetric => name.startsWith('backend_'));
  const labels: string[] = [];
  for (const row of rows) {
    labels.push(labelText(definitions.backend_weight.labels, row.labels));
    if (labels.length % slice === 0) await setImmediate();
  }
  const parts: string[] = [];
  for (const name of names) {
    const { help, type }: MetricDefinition = definitions[name];
    const full = fullName(name);
    parts.push(`# HELP ${full} ${help}\n# TYPE ${full} ${type}\n`);
    for (let begin = 0; begin < rows.length; begin += slice) {
      let text = '';
      for (let at = begin; at < Math.min(rows.length, begin + slice); at++) {
        const value = rows[at]?.values[name];
        if (value !== undefined) text += `${full}{${labels[at]}} ${value}\n`;
      }
      parts.push(text);
      await setImmediate();
    }
  }
  return parts.join('');
}

function labelText(names: readonly string[], values: readonly (string | number)[]): string {
  return names.map((name, at) => `${name}="${escaped(String(values[at] ?? ''))}"`).join(',');
}

function escaped(text: string): string {
  return /[\\"\n]/.test(text) ? text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : text;
}
