// SPDX-License-Identifier: Apache-2.0
// A plot of the last ten minutes, drawn by uPlot in the colours of the style sheet.
import { h, setAttribute, setText } from './dom.js';
import { clock, unknown } from './format.js';
import uPlot from './uplot.js';
import type { Plots, Point, Series } from './view.js';

export type PlotField = Exclude<keyof Plots, 'end'>;

export interface PlotLine {
  readonly field: PlotField;
  readonly label: string;
  /** A colour of the style sheet: "--accent". */
  readonly colour: string;
}

export interface PlotOptions {
  readonly title: string;
  readonly lines: readonly PlotLine[];
  readonly format: (value: number | null | undefined) => string;
}

const height = 132;
const leastSeconds = 120;
const font = '11px ui-sans-serif, system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';

/** Colours as a canvas takes them. */
function colourOf(name: string): string {
  const probe = document.createElement('span');
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

const faint = (colour: string): string => colour.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.14)');

export class Plot {
  readonly element: HTMLElement;
  readonly #options: PlotOptions;
  /** One for each line. */
  readonly #values: readonly HTMLElement[];
  readonly #note = h('span.plot-note');
  readonly #canvas: HTMLElement;
  readonly #resized: ResizeObserver;
  #columns: [number[], ...(number | null)[][]] = [[]];
  #chart: uPlot | undefined;
  #now: readonly string[] = [];

  constructor(options: PlotOptions) {
    this.#options = options;
    this.#canvas = h('div.plot-canvas', { role: 'img', 'aria-label': options.title });
    this.#values = options.lines.map(() => h('span.plot-value'));
    const isSingle = options.lines.length === 1;
    const values = options.lines.map((line, at) => valueElement(line, this.#values[at] ?? h('span'), isSingle));
    this.element = h(
      'section.card.plot',
      {},
      h('div.plot-title', {}, h('h2', {}, options.title), this.#note),
      h('div.plot-head', {}, ...values),
      this.#canvas,
    );
    this.#resized = new ResizeObserver(() => this.#fit());
    this.#resized.observe(this.#canvas);
  }

  /** Ten minutes at once. */
  begin(plots: Plots): void {
    const [first] = this.#options.lines;
    const { length } = first === undefined ? [] : plots[first.field];
    const times = Array.from({ length }, (_, at) => plots.end - length + 1 + at);
    this.#columns = [times, ...this.#options.lines.map(({ field }) => [...(plots[field] as Series)])];
    this.#draw();
  }

  /** What was measured over the time since the last point. */
  add(point: Point): void {
    const [times, ...columns] = this.#columns;
    const last = times.at(-1);
    if (last === undefined || point.second <= last) return;
    for (let second = last + 1; second <= point.second; second++) {
      times.push(second);
      times.shift();
      columns.forEach((column, at) => {
        column.push(point[this.#options.lines[at]?.field ?? 'connections']);
        column.shift();
      });
    }
    this.#chart?.setData(this.#columns);
    this.#say();
  }

  /** In other colours. */
  redraw(): void {
    this.#draw();
  }

  /** The numbers above it, one for each line. */
  now(...texts: readonly string[]): void {
    this.#now = texts;
    if (!this.#isPointedAt()) this.#show(texts);
  }

  end(): void {
    this.#resized.disconnect();
    this.#chart?.destroy();
    this.#chart = undefined;
  }

  #draw(): void {
    this.#chart?.destroy();
    this.#chart = undefined;
    const width = this.#canvas.clientWidth;
    if (width === 0 || this.#columns[0].length === 0) return;
    this.#chart = new uPlot(this.#settings(width), this.#columns, this.#canvas);
    this.#say();
  }

  #fit(): void {
    const width = this.#canvas.clientWidth;
    if (this.#chart === undefined) this.#draw();
    else if (width > 0 && this.#chart.width !== width) this.#chart.setSize({ width, height });
  }

  #settings(width: number): uPlot.Options {
    const [ink, grid] = [colourOf('--ink-2'), colourOf('--line')];
    const axis = { stroke: ink, font, ticks: { show: false }, grid: { stroke: grid, width: 1 } };
    return {
      width,
      height,
      legend: { show: false },
      cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
      padding: [8, 4, 0, 0],
      scales: {
        x: { range: () => this.#span() },
        y: { range: (_plot, _least, most) => [0, most > 0 ? most * 1.1 : 1] },
      },
      axes: [
        {
          ...axis,
          space: 70,
          size: 24,
          // With seconds where there is more than one to a minute.
          values: (_plot, seconds, _axis, _space, step) =>
            seconds.map((at) => clock(at * 1000).slice(-8, step < 60 ? undefined : -3)),
        },
        { ...axis, space: 32, size: 62, values: (_plot, values) => values.map((value) => this.#options.format(value)) },
      ],
      series: [
        {},
        ...this.#options.lines.map(({ label, colour }) => {
          const stroke = colourOf(colour);
          return { label, stroke, width: 1.5, fill: faint(stroke), points: { show: false } };
        }),
      ],
      hooks: { setCursor: [(plot) => this.#point(plot.cursor.idx)] },
    };
  }

  /** Ten minutes, or since something is known, where that is less; but two minutes at least. */
  #span(): [number, number] {
    const [times, ...columns] = this.#columns;
    const end = times.at(-1) ?? 0;
    const at = times.findIndex((_, index) => columns.some((column) => typeof column[index] === 'number'));
    const begin = times[Math.max(0, at)] ?? 0;
    return [Math.max(times[0] ?? 0, Math.min(begin, end - leastSeconds)), end];
  }

  #isPointedAt(): boolean {
    return typeof this.#chart?.cursor.idx === 'number';
  }

  #show(texts: readonly string[]): void {
    this.#values.forEach((value, at) => {
      setText(value, texts[at] ?? unknown);
    });
  }

  /** What is under the pointer, or how much it was at most. */
  #point(at: number | null | undefined): void {
    const [times, ...columns] = this.#columns;
    const second = typeof at === 'number' ? times[at] : undefined;
    if (typeof at !== 'number' || second === undefined) {
      this.#show(this.#now);
      this.#say();
      return;
    }
    this.#show(columns.map((column) => this.#options.format(column[at])));
    setText(this.#note, `at ${clock(second * 1000)}`);
  }

  #say(): void {
    if (this.#isPointedAt()) return;
    const [, ...columns] = this.#columns;
    const most = Math.max(0, ...columns.flatMap((column) => column.map((value) => value ?? 0)));
    const text = `at most ${this.#options.format(most)} in ten minutes`;
    setText(this.#note, text);
    setAttribute(this.#canvas, 'aria-label', `${this.#options.title}: now ${this.#now.join(' and ')}, ${text}`);
  }
}

function valueElement({ label, colour }: PlotLine, value: HTMLElement, isSingle: boolean): HTMLElement {
  if (isSingle) return value;
  const swatch = h('span.swatch', { 'aria-hidden': 'true' });
  swatch.style.backgroundColor = `var(${colour})`;
  return h('span.plot-line', {}, value, ' ', h('span.plot-note', {}, swatch, label));
}
