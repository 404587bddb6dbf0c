// SPDX-License-Identifier: Apache-2.0
// The lines of a keepalived.conf as its parser sees them: comments are gone, files included, lines for other machines
// (@id) left out, definitions ($NAME) and sequences (~SEQ) expanded. Every line knows where it was written.
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { readTextFile } from '../files.js';
import { matchingFiles } from '../glob.js';
import { type Place, syntaxError, type Warn } from '../source.js';

export interface Line {
  readonly text: string;
  readonly place: Place;
}

/** Values of definitions; one with several entries stands for several lines. */
type Scope = ReadonlyMap<string, readonly string[]>;

interface Reading {
  readonly configId: string;
  readonly warn: Warn;
  readonly definitions: Map<string, readonly string[]>;
  /** Files that are being read, outermost first. */
  readonly open: readonly string[];
  readonly count: { lines: number };
}

/** Bounds for definitions that refer to each other, and for sequences. */
const deepest = 500;
const mostLines = 500_000;
const longestLine = 1_000_000;

/** The configuration id that keepalived goes by without -i. */
export function defaultConfigId(): string {
  return hostname().split('.')[0] ?? '';
}

export function readLines(file: string, configId: string, warn: Warn): readonly Line[] {
  const reading = { configId, warn, definitions: new Map(), open: [], count: { lines: 0 } };
  return [...linesOfFile(file, reading)];
}

function* linesOfFile(file: string, outer: Reading): Generator<Line> {
  const reading = { ...outer, open: [...outer.open, resolve(file)] };
  const rawLines = readTextFile(file).split(/\r?\n/);
  for (let index = 0; index < rawLines.length; index++) {
    const first = index;
    const pieces = [withoutComment(rawLines[index] ?? '')];
    while (pieces.at(-1)?.endsWith('\\') && index + 1 < rawLines.length) {
      pieces[pieces.length - 1] = (pieces.at(-1) ?? '').slice(0, -1).trimEnd();
      pieces.push(withoutComment(rawLines[++index] ?? ''));
    }
    yield* linesOfStatement(pieces, { file, line: first + 1, column: 1 }, reading);
  }
}

/** One line of the file, or several that a trailing backslash joins. */
function* linesOfStatement(pieces: readonly string[], place: Place, reading: Reading): Generator<Line> {
  const [, other, id, guarded] = /^\s*@(\^?)(\S*)(.*)$/.exec(pieces[0] ?? '') ?? [];
  if (id !== undefined && (id === reading.configId) === (other === '^')) return;
  const [first = '', ...more] = guarded === undefined ? pieces : [guarded, ...pieces.slice(1)];
  const [, name, value = ''] = /^\s*\$([A-Za-z_]\w*)\s*=\s*(.*)$/.exec(first) ?? [];
  if (name !== undefined) {
    const lines = [value, ...more].map((line) => line.trim()).filter((line) => line !== '');
    reading.definitions.set(name, lines.length > 0 ? lines : ['']);
    return;
  }
  const text = [first, ...more.map((line) => line.trim())].join(' ').trimEnd();
  const column = (pieces[0] ?? '').length - (guarded ?? pieces[0] ?? '').length + 1;
  for (const line of expanded(text, { ...place, column }, new Map(), reading, 0)) yield* linesOfExpanded(line, reading);
}

function* linesOfExpanded(line: Line, reading: Reading): Generator<Line> {
  if (line.text.trim() === '') return;
  if (++reading.count.lines > mostLines) throw syntaxError(line.place, `more than ${mostLines} lines come of this`);
  const [, pattern] = /^\s*include[a-z]?\s+(.+)$/.exec(line.text) ?? [];
  if (pattern !== undefined)
    return yield* linesOfIncluded(pattern.trim().replace(/^"(.*)"$/, '$1'), line.place, reading);
  const [, instance] = /^\s*instance\s+(\S+)/.exec(line.text) ?? [];
  if (instance !== undefined) reading.definitions.set('_INSTANCE', [instance]);
  yield line;
}

function* linesOfIncluded(pattern: string, place: Place, reading: Reading): Generator<Line> {
  const files = matchingFiles(pattern, dirname(place.file));
  if (files.length === 0) reading.warn(place, `include: no file matches ${pattern}`);
  for (const file of files) {
    if (reading.open.includes(resolve(file))) throw syntaxError(place, `${file} includes itself`);
    yield* linesOfFile(file, reading);
  }
}

/** A "#" or "!" outside double quotes begins a comment. */
function withoutComment(raw: string): string {
  const [kept = ''] = /^(?:"(?:\\"|[^"])*"|[^#!"]|"(?=[^"]*$))*/.exec(raw) ?? [];
  return kept.trimEnd();
}

function* expanded(text: string, place: Place, scope: Scope, reading: Reading, depth: number): Generator<Line> {
  if (depth > deepest || text.length > longestLine)
    throw syntaxError(place, 'definitions refer to each other without end');
  const [, name, bounds = '', rest = ''] = /^\s*~SEQ\(\s*(\w+)\s*,([^()]*)\)\s*(.*)$/.exec(text) ?? [];
  if (name !== undefined) {
    for (const value of sequence(substituted(bounds, scope, reading), place)) {
      yield* expanded(rest, place, new Map([...scope, [name, [String(value)]]]), reading, depth + 1);
    }
    return;
  }
  if (/^\s*~[A-Z]+\(/.test(text)) throw syntaxError(place, 'this is not ~SEQ(NAME, START, STEP, END)');
  const reference = firstReference(text, place, scope, reading);
  if (reference === undefined) return yield { text, place };
  const { before, lines, after } = reference;
  for (const [index, line] of lines.entries()) {
    const whole = `${index === 0 ? before : ''}${line}${index === lines.length - 1 ? after : ''}`;
    yield* expanded(whole, place, scope, reading, depth + 1);
  }
}

const references = /\$(?:\{(\w+)\}|([A-Za-z_]\w*))/g;

interface Reference {
  readonly before: string;
  readonly lines: readonly string[];
  readonly after: string;
}

function firstReference(text: string, place: Place, scope: Scope, reading: Reading): Reference | undefined {
  for (const match of text.matchAll(references)) {
    const name = match[1] ?? match[2] ?? '';
    const lines = scope.get(name) ?? definitionOf(name, place, reading);
    if (lines !== undefined) {
      return { before: text.slice(0, match.index), lines, after: text.slice(match.index + match[0].length) };
    }
    reading.warn(place, `$${name} is not defined; it is left as it is written`);
  }
  return undefined;
}

function definitionOf(name: string, place: Place, reading: Reading): readonly string[] | undefined {
  if (name === '_PWD') return [resolve(dirname(place.file))];
  if (name === '_HASH') return ['#'];
  if (name === '_BANG') return ['!'];
  return reading.definitions.get(name);
}

/** Definitions within the bounds of a sequence: those of one line. */
function substituted(text: string, scope: Scope, reading: Reading): string {
  return text.replaceAll(references, (whole, braced?: string, bare?: string) => {
    const name = braced ?? bare ?? '';
    return (scope.get(name) ?? reading.definitions.get(name))?.[0] ?? whole;
  });
}

/** "END", "START, END" or "START, STEP, END". */
function sequence(bounds: string, place: Place): readonly number[] {
  const numbers = bounds.split(',').map((part) => (/^\s*-?\d+\s*$/.test(part) ? Number(part) : Number.NaN));
  if (numbers.length > 3 || numbers.some(Number.isNaN)) {
    throw syntaxError(place, `~SEQ needs whole numbers: START, STEP, END; not "${bounds.trim()}"`);
  }
  const end = numbers.at(-1) ?? 0;
  const start = numbers.length > 1 ? (numbers[0] ?? 1) : 1;
  const step = numbers.length > 2 ? (numbers[1] ?? 1) : Math.sign(end - start) || 1;
  const steps = step === 0 ? Number.NaN : Math.floor((end - start) / step);
  if (!(steps >= 0 && steps < mostLines))
    throw syntaxError(place, `~SEQ does not get from ${start} to ${end} by steps of ${step}`);
  return Array.from({ length: steps + 1 }, (_, index) => start + index * step);
}
