// SPDX-License-Identifier: Apache-2.0
// A table whose rows live on: each keeps its elements, and only what is different is touched. On narrow screens its rows
// are cards (style.css), so roles are said where a style would take them away.
import { type Child, h, setAttribute, setText, show } from './dom.js';

/** Keeps one cell right. */
export type Cell<Row> = (row: Row) => void;

export interface Column<Row> {
  readonly id: string;
  readonly label: string;
  /** By what the manager sorts; left out: it does not. */
  readonly sort?: string;
  readonly isNumber?: boolean;
  /** Begins a row. */
  readonly isHeader?: boolean;
  /** Puts what is to be in a new cell into it. */
  readonly make: (cell: HTMLElement) => Cell<Row>;
}

export interface TableOptions<Row> {
  readonly caption: string;
  readonly keyOf: (row: Row) => string;
  readonly columns: readonly Column<Row>[];
  readonly onSort?: (sort: string) => void;
  readonly toneOf?: (row: Row) => string;
}

interface Kept<Row> {
  readonly element: HTMLElement;
  readonly cells: readonly Cell<Row>[];
}

/** A column of text. */
export function textColumn<Row>(
  id: string,
  label: string,
  textOf: (row: Row) => string,
  rest: Partial<Column<Row>> = {},
): Column<Row> {
  return { id, label, make: (cell) => (row) => setText(cell, textOf(row)), ...rest };
}

export const numberColumn = <Row>(
  id: string,
  label: string,
  textOf: (row: Row) => string,
  rest: Partial<Column<Row>> = {},
): Column<Row> => textColumn(id, label, textOf, { isNumber: true, ...rest });

export class Table<Row> {
  readonly element: HTMLElement;
  readonly #options: TableOptions<Row>;
  readonly #body = h('tbody', { role: 'rowgroup' });
  readonly #headers = new Map<string, HTMLElement>();
  readonly #rows = new Map<string, Kept<Row>>();
  #sort = 'order';

  constructor(options: TableOptions<Row>) {
    this.#options = options;
    const headers = options.columns.map((column) => this.#header(column));
    this.element = h(
      'table',
      { role: 'table' },
      h('caption.visually-hidden', {}, options.caption),
      h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, ...headers)),
      this.#body,
    );
  }

  /** "-rate": as the rows are sorted. */
  sorted(sort: string): void {
    this.#sort = sort;
    for (const [name, header] of this.#headers) {
      const isThis = sort.replace(/^-/, '') === name;
      setAttribute(header, 'aria-sort', isThis ? (sort.startsWith('-') ? 'descending' : 'ascending') : 'none');
    }
  }

  set(rows: readonly Row[]): void {
    const { keyOf } = this.#options;
    const keys = new Set(rows.map(keyOf));
    for (const [key, { element }] of this.#rows) {
      if (keys.has(key)) continue;
      element.remove();
      this.#rows.delete(key);
    }
    rows.forEach((row, at) => {
      const kept = this.#rows.get(keyOf(row)) ?? this.#make(keyOf(row));
      const there = this.#body.children[at] ?? null;
      if (there !== kept.element) this.#body.insertBefore(kept.element, there);
      setAttribute(kept.element, 'data-tone', this.#options.toneOf?.(row));
      for (const cell of kept.cells) cell(row);
    });
    show(this.element, rows.length > 0);
  }

  #make(key: string): Kept<Row> {
    const element = h('tr', { role: 'row', 'data-key': key });
    const cells = this.#options.columns.map(({ id, label, isNumber, isHeader, make }) => {
      const content = h('span.cell');
      const attributes = isHeader ? { role: 'rowheader', scope: 'row' } : { role: 'cell' };
      const cell = h(isHeader ? 'th' : 'td', { ...attributes, 'data-column': id, 'data-label': label }, content);
      if (isNumber) cell.classList.add('number');
      element.append(cell);
      return make(content);
    });
    const kept = { element, cells };
    this.#rows.set(key, kept);
    return kept;
  }

  #header({ id, label, sort, isNumber }: Column<Row>): HTMLElement {
    const content: Child = sort === undefined ? label : this.#sortButton(label, sort, isNumber ?? false);
    const header = h('th', { role: 'columnheader', scope: 'col', 'data-column': id }, content);
    if (isNumber) header.classList.add('number');
    if (sort !== undefined) this.#headers.set(sort, header);
    return header;
  }

  /** First the way that one looks for: numbers from the largest, names from the first; then the other; then as configured. */
  #sortButton(label: string, sort: string, isNumber: boolean): HTMLElement {
    const button = h('button.sort', { type: 'button' }, h('span', {}, label));
    const first = isNumber || sort === 'state' ? `-${sort}` : sort;
    const second = first === sort ? `-${sort}` : sort;
    button.addEventListener('click', () => {
      const next = this.#sort === first ? second : this.#sort === second ? 'order' : first;
      this.#options.onSort?.(next);
    });
    return button;
  }
}
