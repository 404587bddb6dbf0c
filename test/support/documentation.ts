// SPDX-License-Identifier: Apache-2.0
// The pages of the documentation as tests read them: fenced blocks in order, and what HTML comments before them say about
// how they are run. The comments are explained in docs/architecture.md ("Documentation is run").

import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { projectRoot } from '../../src/grpc/loader.js';

export interface Block {
  readonly kind: 'block';
  /** "docs/lab.md:30". */
  readonly place: string;
  /** The first word behind the fence: "sh"; empty for pictures. */
  readonly language: string;
  readonly text: string;
  /** Of the comments right before it: "not run" → "takes minutes". */
  readonly notes: ReadonlyMap<string, string>;
  /** Nothing but blank lines and notes are between it and the block before. */
  readonly follows: boolean;
}

/** A comment that stands for itself: "stage: lab", "on: director", "run". */
export interface Order {
  readonly kind: 'order';
  readonly place: string;
  readonly word: string;
  readonly text: string;
}

export type Part = Block | Order;

export interface Page {
  /** From the root of the checkout: "docs/lab.md". */
  readonly path: string;
  readonly text: string;
  readonly parts: readonly Part[];
}

const orders: ReadonlySet<string> = new Set(['stage', 'on', 'run']);
const notes: ReadonlySet<string> = new Set([
  'not run',
  'not checked',
  'background',
  'output of the background',
  'numbers differ',
  'eventually',
  'fails',
  'file',
  'part of',
]);

/** README.md and every page below docs/. */
export function readPages(): readonly Page[] {
  const below = readdirSync(join(projectRoot, 'docs'), { recursive: true, encoding: 'utf8' });
  const paths = ['README.md', ...below.filter((path) => path.endsWith('.md')).map((path) => join('docs', path))];
  return paths.sort().map((path) => parsePage(path, readFileSync(join(projectRoot, path), 'utf8')));
}

export function parsePage(path: string, text: string): Page {
  const lines = text.split('\n');
  const parts: Part[] = [];
  let pending = new Map<string, string>();
  let follows = false;
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] ?? '';
    const place = `${path}:${at + 1}`;
    const fence = /^( *)```(\S*)/.exec(line);
    if (fence) {
      const end = lines.findIndex((other, index) => index > at && /^ *```\s*$/.test(other));
      if (end < 0) throw new Error(`${place}: this block has no end`);
      const indent = fence[1]?.length ?? 0;
      const inside = lines.slice(at + 1, end).map((other) => other.slice(indent));
      const block = { place, language: fence[2] ?? '', text: inside.join('\n'), notes: pending, follows };
      parts.push({ kind: 'block', ...block });
      pending = new Map();
      follows = true;
      at = end;
    } else if (line.startsWith('<!--')) {
      const end = lines.findIndex((other, index) => index >= at && other.includes('-->'));
      if (end < 0) throw new Error(`${place}: this comment has no end`);
      const comment = lines
        .slice(at, end + 1)
        .join('\n')
        .replace(/^<!--/, '')
        .replace(/-->.*$/s, '')
        .trim();
      const [, word = '', rest = ''] = /^([a-z ]+?)(?::\s*|\n|$)([\s\S]*)$/.exec(comment) ?? [];
      if (orders.has(word)) parts.push({ kind: 'order', place, word, text: rest.trim() });
      else if (notes.has(word)) pending.set(word, rest.trim());
      at = end;
    } else if (line.trim() !== '') {
      if (pending.size > 0) throw new Error(`${place}: "${[...pending.keys()]}" belongs right before a block`);
      follows = false;
    }
  }
  return { path, text, parts };
}

/**
 * Whether a program printed what a page shows; undefined if so, else the first line that is missing. A line of `…` stands
 * for any number of lines, `…` within a line for any text; blanks between words count as one. With `numbersDiffer`
 * every number stands for any number.
 */
export function missingFrom(shown: string, printed: string, numbersDiffer = false): string | undefined {
  const expected = wordsOf(shown);
  const actual = wordsOf(printed);
  let furthest = 0;
  const matches = (want: number, have: number): boolean => {
    furthest = Math.max(furthest, want);
    const line = expected[want];
    if (line === undefined) return have === actual.length;
    if (line === '…') return matches(want + 1, have) || (have < actual.length && matches(want, have + 1));
    const found = actual[have];
    return found !== undefined && patternOf(line, numbersDiffer).test(found) && matches(want + 1, have + 1);
  };
  return matches(0, 0) ? undefined : (expected[furthest] ?? 'the end');
}

function wordsOf(text: string): readonly string[] {
  const lines = text.split('\n').map((line) => line.trim().replace(/\s+/g, ' '));
  return lines.filter((line) => line !== '');
}

function patternOf(line: string, numbersDiffer: boolean): RegExp {
  const quoted = line.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&').replace(/ ?… ?/g, '.*');
  return new RegExp(`^${numbersDiffer ? quoted.replace(/\d+/g, '\\d+') : quoted}$`);
}

/** "#the-kernel-port" for every heading, as GitHub makes them. */
export function anchorsOf(text: string): ReadonlySet<string> {
  const withoutBlocks = text.replace(/^ *```[\s\S]*?^ *```\s*$/gm, '');
  const seen = new Map<string, number>();
  const anchors = new Set([...withoutBlocks.matchAll(/<a (?:id|name)="([^"]+)"/g)].map(([, name = '']) => name));
  for (const [, heading = ''] of withoutBlocks.matchAll(/^#{1,6}\s+(.*)$/gm)) {
    const plain = heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase();
    const slug = plain.replace(/[^\p{L}\p{N}_ -]/gu, '').replace(/ /g, '-');
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    anchors.add(count === 0 ? slug : `${slug}-${count}`);
  }
  return anchors;
}

export interface Link {
  readonly place: string;
  readonly target: string;
}

/** Links of a page to files and anchors of this checkout; those to the web are not looked at. */
export function linksOf({ path, text }: Page): readonly Link[] {
  const found: Link[] = [];
  let inBlock = false;
  for (const [index, line] of text.split('\n').entries()) {
    if (/^ *```/.test(line)) inBlock = !inBlock;
    if (inBlock) continue;
    const withoutCode = line.replace(/`[^`]*`/g, '``');
    for (const [, target = ''] of withoutCode.matchAll(/\]\(([^)\s]+)\)/g))
      if (!/^[a-z]+:/.test(target)) found.push({ place: `${path}:${index + 1}`, target });
  }
  return found;
}

export const fromRoot = (path: string): string => relative(projectRoot, path);
