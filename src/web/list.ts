// SPDX-License-Identifier: Apache-2.0
// What is around a table of which the manager sends a part: filter, order for narrow screens, and the way to the rest.
import { h, setText, show } from './dom.js';
import { whole } from './format.js';
import type { ListRequest } from './route.js';
import type { Column, Table } from './table.js';
import type { Shown } from './view.js';

/** Between two letters that are typed. */
const typingMs = 200;

interface ListOptions<Row> {
  readonly title: string;
  /** "services" */
  readonly what: string;
  readonly table: (onSort: (sort: string) => void) => Table<Row>;
  readonly columns: readonly Column<Row>[];
  readonly request: (request: ListRequest) => void;
  readonly empty: HTMLElement;
}

export class List<Row> {
  readonly element: HTMLElement;
  readonly #options: ListOptions<Row>;
  readonly #table: Table<Row>;
  readonly #filter: HTMLInputElement;
  readonly #order: HTMLSelectElement;
  readonly #range = h('span.range', { role: 'status' });
  readonly #back = h('button', { type: 'button' }, 'Previous');
  readonly #on = h('button', { type: 'button' }, 'Next');
  readonly #pager = h('div.pager', { hidden: true });
  readonly #nothing = h('p.nothing', { hidden: true });
  #request: ListRequest;
  #typing: ReturnType<typeof setTimeout> | undefined;
  #rows: readonly Row[] = [];

  constructor(options: ListOptions<Row>, request: ListRequest) {
    this.#options = options;
    this.#request = request;
    this.#table = options.table((sort) => this.#ask({ sort, from: 0 }));
    this.#table.sorted(request.sort);
    this.#filter = this.#filterInput();
    this.#order = this.#orderSelect();
    this.#pager.append(this.#back, this.#range, this.#on);
    this.element = h(
      'section.card.list',
      {},
      h('div.card-head', {}, h('h2', {}, options.title), h('div.tools', {}, this.#orderLabel(), this.#filter)),
      this.#table.element,
      this.#nothing,
      this.#pager,
      options.empty,
    );
  }

  set(shown: Shown & { readonly rows: readonly Row[] }): void {
    const { from, found, total, rows } = shown;
    const isEmpty = total === 0;
    this.#rows = rows;
    this.refresh();
    show(this.#options.empty, isEmpty);
    show(this.#nothing, !isEmpty && rows.length === 0);
    setText(this.#nothing, `None of ${whole(total)} ${this.#options.what} matches “${this.#request.filter}”.`);
    show(this.#pager, from > 0 || found > from + rows.length);
    setText(this.#range, `${whole(from + 1)} to ${whole(from + rows.length)} of ${whole(found)}`);
    this.#turn(this.#back, from - this.#pageLength(rows), from > 0);
    this.#turn(this.#on, from + rows.length, found > from + rows.length);
    // A filter for three things is in the way.
    show(this.#filter, total > 3 || this.#request.filter !== '');
  }

  /** The same rows, after what their cells look at has changed. */
  refresh(): void {
    this.#table.set(this.#rows);
  }

  /** A short last page says nothing about how long they are. */
  #pageLength(rows: readonly Row[]): number {
    return Math.max(100, rows.length);
  }

  #turn(button: HTMLElement, from: number, isThere: boolean): void {
    (button as HTMLButtonElement).disabled = !isThere;
    button.onclick = () => this.#ask({ from: Math.max(0, from) });
  }

  #ask(change: Partial<ListRequest>): void {
    this.#request = { ...this.#request, ...change };
    this.#table.sorted(this.#request.sort);
    this.#order.value = this.#request.sort;
    this.#options.request(this.#request);
  }

  #filterInput(): HTMLInputElement {
    const label = `Filter ${this.#options.what}`;
    const input = h('input.filter', { type: 'search', placeholder: label, 'aria-label': label, maxlength: 100 });
    const element = input as HTMLInputElement;
    element.value = this.#request.filter;
    element.addEventListener('input', () => {
      clearTimeout(this.#typing);
      this.#typing = setTimeout(() => this.#ask({ filter: element.value.trim(), from: 0 }), typingMs);
    });
    return element;
  }

  #orderSelect(): HTMLSelectElement {
    const options = this.#options.columns.flatMap(({ label, sort, isNumber }) => {
      if (sort === undefined) return [];
      return h('option', { value: isNumber || sort === 'state' ? `-${sort}` : sort }, label);
    });
    const select = h('select', {}, h('option', { value: 'order' }, 'as configured'), ...options) as HTMLSelectElement;
    select.value = this.#request.sort;
    select.addEventListener('change', () => this.#ask({ sort: select.value, from: 0 }));
    return select;
  }

  #orderLabel(): HTMLElement {
    return h('label.order', {}, 'Order ', this.#order);
  }
}
