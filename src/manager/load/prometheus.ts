// SPDX-License-Identifier: Apache-2.0
// One sample of Prometheus's text format (0.0.4; OpenMetrics' lines are read too): a metric's name, and as many labels as
// it takes to mean one sample.

export interface Selector {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
}

const metricName = /[a-zA-Z_:][a-zA-Z0-9_:]*/y;
const label = /\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|(?=\}))/y;

/** 'busy_workers{pool="web"}'; undefined if the text is none. */
export function readSelector(text: string): Selector | undefined {
  const series = readSeries(text.trim());
  return series?.rest === '' ? series.selector : undefined;
}

interface Series {
  readonly selector: Selector;
  /** What follows. */
  readonly rest: string;
}

/** The beginning of a sample's line. */
function readSeries(line: string): Series | undefined {
  metricName.lastIndex = 0;
  const name = metricName.exec(line)?.[0];
  if (name === undefined) return undefined;
  const labels = new Map<string, string>();
  const opening = /\s*\{/y;
  opening.lastIndex = name.length;
  if (!opening.test(line)) return { selector: { name, labels }, rest: line.slice(name.length).trim() };
  let at = opening.lastIndex;
  for (;;) {
    label.lastIndex = at;
    const [whole, key, value = ''] = label.exec(line) ?? [];
    if (whole === undefined || key === undefined) break;
    labels.set(key, unescaped(value));
    at = label.lastIndex;
  }
  const closing = /\s*\}/y;
  closing.lastIndex = at;
  if (!closing.test(line)) return undefined;
  return { selector: { name, labels }, rest: line.slice(closing.lastIndex).trim() };
}

function unescaped(value: string): string {
  return value.replaceAll(/\\(.)/g, (_, letter: string) => (letter === 'n' ? '\n' : letter));
}

/** The number of the one sample that is meant; a text says why there is none. */
export function numberOf(text: string, wanted: Selector): number | string {
  const found = text.split('\n').flatMap((line) => {
    if (!line.trimStart().startsWith(wanted.name)) return [];
    const series = readSeries(line.trim());
    return series !== undefined && isMeant(series.selector, wanted) ? [series.rest.split(/\s/)[0] ?? ''] : [];
  });
  const what = selectorText(wanted);
  if (found.length === 0) return `answer has no sample ${what}`;
  if (found.length > 1) return `answer has ${found.length} samples ${what}: name more labels`;
  const number = found[0] === '' ? Number.NaN : Number(found[0]);
  return Number.isFinite(number) ? number : `${what} is ${found[0] || 'empty'}, not a number`;
}

function isMeant({ name, labels }: Selector, wanted: Selector): boolean {
  return name === wanted.name && [...wanted.labels].every(([key, value]) => labels.get(key) === value);
}

function selectorText({ name, labels }: Selector): string {
  const pairs = [...labels].map(([key, value]) => `${key}=${JSON.stringify(value)}`);
  return pairs.length === 0 ? name : `${name}{${pairs.join(',')}}`;
}
