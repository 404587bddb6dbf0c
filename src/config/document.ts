// SPDX-License-Identifier: Apache-2.0
// A YAML document that is held against a JSON Schema. Every complaint names file, line, column, field and reason:
// "lab.yaml:7:13: services[0].servers[1].weight: must be >= 0".
import { Ajv, type ErrorObject } from 'ajv';
import { isMap, isNode, isPair, isSeq, LineCounter, type Node, type Document as ParsedYaml, parseDocument } from 'yaml';

export type Path = readonly (string | number)[];

/** Runs a reader that may throw KeyError; a complaint goes to this place in the document. */
export type Attempt = <T>(path: Path, read: () => T) => T | undefined;

export interface Problem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  /** "services[0].servers[1].weight"; empty for the document itself. */
  readonly field: string;
  readonly reason: string;
}

/** One or more problems of one file; the message has a line for each. */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  readonly problems: readonly Problem[];

  constructor(problems: readonly Problem[]) {
    super(problems.map(formatProblem).join('\n'));
    this.problems = problems;
  }
}

export interface Document<T> {
  readonly value: T;
  /** Position of the node at this path, or of the nearest one that exists above it. */
  problem(path: Path, reason: string): Problem;
}

export function formatProblem(problem: Problem): string {
  const place = `${problem.file}:${problem.line}:${problem.column}`;
  return problem.field === '' ? `${place}: ${problem.reason}` : `${place}: ${problem.field}: ${problem.reason}`;
}

export function formatPath(path: Path): string {
  return path
    .map((part, index) => (typeof part === 'number' ? `[${part}]` : `${index > 0 ? '.' : ''}${part}`))
    .join('');
}

/** Parses text and validates it; throws ConfigurationError with every problem found. */
export function readDocument<T>(text: string, file: string, schema: object): Document<T> {
  const lines = new LineCounter();
  const yaml = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  if (yaml.errors.length > 0)
    throw new ConfigurationError(yaml.errors.map((error) => syntaxProblem(error, file, lines)));
  const place = (path: Path, key: boolean, reason: string): Problem => {
    const { line, col } = lines.linePos(offsetOf(yaml, path, key));
    return { file, line, column: col, field: formatPath(path), reason };
  };
  const value = yaml.toJS() as T;
  const validate = new Ajv({ allErrors: true, verbose: true, strict: true, allowUnionTypes: true }).compile(schema);
  if (!validate(value)) {
    const problems = meaningful(validate.errors ?? []).map((error) => schemaProblem(error, value, place));
    throw new ConfigurationError(inOrder(problems));
  }
  return { value, problem: (path, reason) => place(path, false, reason) };
}

/** Problems in the order in which the operator meets them, without repetitions. */
export function inOrder(problems: readonly Problem[]): readonly Problem[] {
  const unique = new Map(problems.map((problem) => [formatProblem(problem), problem]));
  return [...unique.values()].sort((a, b) => a.line - b.line || a.column - b.column);
}

function syntaxProblem(error: { pos: [number, number]; message: string }, file: string, lines: LineCounter): Problem {
  const { line, col } = lines.linePos(error.pos[0]);
  return { file, line, column: col, field: '', reason: error.message.split('\n')[0] ?? 'not YAML' };
}

/** Where the value at path begins (with key: where its key begins). */
function offsetOf(yaml: ParsedYaml, path: Path, key: boolean): number {
  let node: unknown = yaml.contents;
  let offset = startOf(node) ?? 0;
  for (const [depth, part] of path.entries()) {
    const isLast = depth === path.length - 1;
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && isNode(item.key) && String(item.key) === String(part));
      if (pair === undefined) break;
      offset = (isLast && key ? undefined : startOf(pair.value)) ?? startOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node) && typeof part === 'number') {
      node = node.items[part];
      offset = startOf(node) ?? offset;
    } else break;
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? (node as Node).range?.[0] : undefined;
}

/** A failed alternative (oneOf, anyOf, if) or key (propertyNames) is reported by its own errors, not once more as a whole. */
function meaningful(errors: readonly ErrorObject[]): readonly ErrorObject[] {
  const inner = errors.filter((error) => !['oneOf', 'anyOf', 'if', 'propertyNames'].includes(error.keyword));
  return inner.length > 0 ? inner : errors;
}

type Place = (path: Path, key: boolean, reason: string) => Problem;

function schemaProblem(error: ErrorObject, value: unknown, place: Place): Problem {
  const isKey = error.propertyName !== undefined;
  const path = [...pathOf(error.instancePath, value), ...(isKey ? [error.propertyName as string] : [])];
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = String(error.params.additionalProperty);
      return place([...path, key], true, unknownKey(key, Object.keys(error.parentSchema?.properties ?? {})));
    }
    case 'required':
      return place(path, false, `"${error.params.missingProperty}" is missing`);
    case 'enum': {
      const allowed = (error.params.allowedValues as readonly unknown[]).map(String);
      return place(
        path,
        false,
        `${quote(error.data)} is not one of ${allowed.join(', ')}${suggestion(String(error.data), allowed)}`,
      );
    }
    case 'type':
      return place(path, false, `must be ${article(error.params.type)}, not ${quote(error.data)}`);
    case 'pattern':
      return place(
        path,
        isKey,
        `${quote(error.data)} ${error.parentSchema?.description ? `is not what is needed: ${error.parentSchema.description}` : `does not match ${error.params.pattern}`}`,
      );
    case 'minimum':
    case 'maximum':
      return place(path, false, `${error.data} is out of range: ${rangeOf((error.parentSchema ?? {}) as Range)}`);
    case 'not':
      return place(path, true, String(error.parentSchema?.description ?? 'must not be given'));
    default:
      return place(path, false, error.message ?? error.keyword);
  }
}

interface Range {
  readonly minimum?: number;
  readonly maximum?: number;
}

function rangeOf(schema: Range): string {
  if (schema.minimum !== undefined && schema.maximum !== undefined) return `${schema.minimum} … ${schema.maximum}`;
  return schema.minimum !== undefined ? `at least ${schema.minimum}` : `at most ${schema.maximum}`;
}

/** A JSON pointer as a path; indices become numbers where the value there is a list. */
function pathOf(pointer: string, value: unknown): Path {
  const path: (string | number)[] = [];
  let at: unknown = value;
  for (const raw of pointer.split('/').slice(1)) {
    const part = raw.replaceAll('~1', '/').replaceAll('~0', '~');
    const key = Array.isArray(at) ? Number(part) : part;
    path.push(key);
    at = (at as Record<string | number, unknown> | undefined)?.[key];
  }
  return path;
}

function unknownKey(key: string, known: readonly string[]): string {
  return `unknown key "${key}"${suggestion(key, known) || (known.length > 0 ? `; known here: ${known.join(', ')}` : '')}`;
}

/** `; did you mean "weight"?` if one of the known words is near enough to be a typing error. */
export function suggestion(word: string, known: readonly string[]): string {
  const near = known
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= Math.max(1, Math.floor(candidate.length / 3)))
    .sort((a, b) => a.distance - b.distance)[0];
  return near === undefined ? '' : `; did you mean "${near.candidate}"?`;
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
function editDistance(from: string, to: string): number {
  const rows = Array.from({ length: from.length + 1 }, (_, row) =>
    Array.from({ length: to.length + 1 }, (_, column) => (row === 0 ? column : column === 0 ? row : 0)),
  );
  const at = (row: number, column: number): number => rows[row]?.[column] ?? 0;
  for (let row = 1; row <= from.length; row++) {
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      const distance = Math.min(
        at(row - 1, column) + 1,
        at(row, column - 1) + 1,
        at(row - 1, column - 1) + (same ? 0 : 1),
      );
      const line = rows[row];
      if (line) line[column] = swapped ? Math.min(distance, at(row - 2, column - 2) + 1) : distance;
    }
  }
  return at(from.length, to.length);
}

function article(type: unknown): string {
  const names: Readonly<Record<string, string>> = {
    integer: 'a whole number',
    number: 'a number',
    string: 'text',
    boolean: 'true or false',
    array: 'a list',
    object: 'a mapping',
  };
  return String(type)
    .split(',')
    .map((name) => names[name] ?? name)
    .join(' or ');
}

function quote(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'a mapping' : JSON.stringify(value);
}
