// SPDX-License-Identifier: Apache-2.0
// A state is a colour, a shape and a word: nobody has to tell colours apart.
import { h, setAttribute, setText, svg } from './dom.js';
import { clock } from './format.js';
import { sparkHeight, sparkPaths, sparkWidth } from './spark.js';
import type { Series, Tone } from './view.js';

/** In a square of 12: a disc, a triangle, a cross in a square, a ring. */
const shapes: Readonly<Record<Tone, string>> = {
  good: 'M6 1a5 5 0 1 0 0 10A5 5 0 0 0 6 1Z',
  warn: 'M6 .8 11.6 11H.4Z',
  bad: 'M1 1h10v10H1Zm2.6 1.2L2.2 3.6 4.6 6 2.2 8.4l1.4 1.4L6 7.4l2.4 2.4 1.4-1.4L7.4 6l2.4-2.4-1.4-1.4L6 4.6Z',
  quiet: 'M6 1a5 5 0 1 0 0 10A5 5 0 0 0 6 1Zm0 2a3 3 0 1 1 0 6 3 3 0 0 1 0-6Z',
};

export function mark(tone: Tone): SVGElement {
  return svg(
    'svg.mark',
    { viewBox: '0 0 12 12', 'aria-hidden': 'true', 'data-tone': tone },
    svg('path', { d: shapes[tone], 'fill-rule': 'evenodd' }),
  );
}

/** Mark and word. */
export class StateMark {
  readonly element = h('span.state');
  readonly #word = h('span');
  #tone: Tone | undefined;

  set(tone: Tone, word: string): void {
    setAttribute(this.element, 'data-tone', tone);
    setText(this.#word, word);
    if (this.#tone === tone) return;
    this.#tone = tone;
    this.element.replaceChildren(mark(tone), this.#word);
  }
}

const toneOf: Readonly<Record<string, Tone>> = { g: 'good', w: 'warn', b: 'bad', q: 'quiet' };

/** A pool at a glance: a mark for each real server. What it says is said in words beside it. */
export class Strip {
  readonly element = h('span.strip', { 'aria-hidden': 'true' });
  #shown = '';

  set(letters: string): void {
    if (letters === this.#shown) return;
    this.#shown = letters;
    this.element.replaceChildren(...[...letters].map((letter) => mark(toneOf[letter] ?? 'quiet')));
  }
}

export class Spark {
  readonly element: SVGElement;
  readonly #line = svg('path.spark-line');
  readonly #area = svg('path.spark-area');
  #shown: Series | undefined;

  constructor(kind = 'plain') {
    const viewBox = `0 0 ${sparkWidth} ${sparkHeight}`;
    const attributes = { viewBox, preserveAspectRatio: 'none', 'aria-hidden': 'true', 'data-kind': kind };
    this.element = svg('svg.spark', attributes, this.#area, this.#line);
  }

  /** `top`: see sparkPaths(). */
  set(series: Series | undefined, top?: number): void {
    if (series === this.#shown) return;
    this.#shown = series;
    const { line, area } = sparkPaths(series ?? [], top);
    this.#line.setAttribute('d', line);
    this.#area.setAttribute('d', area);
  }
}

/** A share of 1, as a bar. Its number is beside it. */
export class Bar {
  readonly element = h('span.bar', { 'aria-hidden': 'true' });
  readonly #fill = h('span.bar-fill');

  constructor() {
    this.element.append(this.#fill);
  }

  set(share: number | null, tone: Tone | 'accent' = 'accent'): void {
    this.#fill.style.inlineSize = `${Math.min(100, Math.max(0, (share ?? 0) * 100)).toFixed(1)}%`;
    setAttribute(this.#fill, 'data-tone', tone);
  }
}

export function timeElement(time: string): HTMLElement {
  return h('time', { datetime: time, title: new Date(time).toLocaleString() }, clock(time));
}
