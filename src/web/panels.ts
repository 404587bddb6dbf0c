// SPDX-License-Identifier: Apache-2.0
// Cards with a table of what the director works with: workers, ports, verdicts; and how full its connection table is.
import { h, setAttribute, setText, show } from './dom.js';
import { bits, compact, percent, whole, words } from './format.js';
import { Bar, Spark, StateMark } from './marks.js';
import { type Column, numberColumn, Table, textColumn } from './table.js';
import type { PortRow, Sparks, Totals, VerdictRow, WorkerRow } from './view.js';

/** The small plots that were sent last. */
export interface SparkStore {
  current: Sparks;
}

export class Panel<Row> {
  readonly element: HTMLElement;
  readonly #table: Table<Row>;
  readonly #nothing: HTMLElement;
  #rows: readonly Row[] = [];

  constructor(title: string, table: Table<Row>, nothing: string) {
    this.#table = table;
    this.#nothing = h('p.nothing', {}, nothing);
    this.element = h('section.card', {}, h('div.card-head', {}, h('h2', {}, title)), table.element, this.#nothing);
  }

  set(rows: readonly Row[]): void {
    this.#rows = rows;
    this.refresh();
  }

  refresh(): void {
    this.#table.set(this.#rows);
    show(this.#nothing, this.#rows.length === 0);
  }
}

/** A cell with a small plot. */
export function sparkColumn<Row>(
  seriesOf: (row: Row) => readonly (number | null)[] | undefined,
  options: { readonly label?: string; readonly top?: number; readonly kindOf?: (row: Row) => string } = {},
): Column<Row> {
  return {
    id: 'spark',
    label: options.label ?? 'Lately',
    make: (cell) => {
      const spark = new Spark();
      cell.append(spark.element);
      return (row) => {
        setAttribute(spark.element, 'data-kind', options.kindOf?.(row) ?? 'plain');
        spark.set(seriesOf(row), options.top);
      };
    },
  };
}

/** Above this a worker has little left, and a table little room. */
const busyShare = 0.8;

const toneOfShare = (share: number | null): 'accent' | 'bad' =>
  share !== null && share > busyShare ? 'bad' : 'accent';

export function workerPanel(sparks: SparkStore): Panel<WorkerRow> {
  const columns: readonly Column<WorkerRow>[] = [
    textColumn('worker', 'Worker', ({ worker, cpu }) => `${worker}, CPU ${cpu}`, { isHeader: true }),
    {
      id: 'busy',
      label: 'Busy',
      isNumber: true,
      make: (cell) => {
        const bar = new Bar();
        const text = h('span');
        cell.classList.add('with-bar');
        cell.append(bar.element, text);
        return ({ busy }) => {
          bar.set(busy, toneOfShare(busy));
          setText(text, percent(busy));
        };
      },
    },
    numberColumn('received', 'Packets/s', ({ received }) => compact(received)),
    numberColumn('handed', 'Handed over', ({ handedOver }) => compact(handedOver)),
    numberColumn('connections', 'Connections', ({ connections }) => whole(connections)),
    sparkColumn(({ worker }) => sparks.current.workers?.[worker], { top: 1 }),
  ];
  const keyOf = ({ worker }: WorkerRow): string => String(worker);
  const table = new Table({ caption: 'Workers and their load', columns, keyOf });
  return new Panel('Workers', table, 'The dataplane does not tell.');
}

export function portPanel(): Panel<PortRow> {
  const columns: readonly Column<PortRow>[] = [
    {
      id: 'port',
      label: 'Port',
      isHeader: true,
      make: (cell) => {
        const name = h('span');
        const driver = h('span.detail');
        cell.append(name, driver);
        return (row) => {
          setText(name, row.name);
          setText(driver, row.driver.replace(/^net_/, ''));
        };
      },
    },
    {
      id: 'link',
      label: 'Link',
      make: (cell) => {
        const state = new StateMark();
        cell.append(state.element);
        return ({ up, speed }) => state.set(up ? 'good' : 'bad', `${up ? 'up' : 'down'}${up ? speedText(speed) : ''}`);
      },
    },
    numberColumn('in', 'In', ({ inBits }) => bits(inBits)),
    numberColumn('out', 'Out', ({ outBits }) => bits(outBits)),
    numberColumn(
      'packets',
      'Packets/s',
      ({ inPackets, outPackets }) => `${compact(inPackets)} / ${compact(outPackets)}`,
    ),
    numberColumn('faults', 'Faults', ({ faults }) => whole(faults)),
  ];
  const keyOf = ({ name }: PortRow): string => name;
  return new Panel('Ports', new Table({ caption: 'Ports', columns, keyOf }), 'The dataplane does not tell.');
}

/** ", 25 Gbit/s" */
const speedText = (megabits: number): string => (megabits === 0 ? '' : `, ${bits(megabits * 1e6)}`);

export function verdictPanel(sparks: SparkStore): Panel<VerdictRow> {
  const columns: readonly Column<VerdictRow>[] = [
    {
      id: 'verdict',
      label: 'Verdict',
      isHeader: true,
      make: (cell) => {
        const name = h('span.verdict');
        const lost = h('span.tag.bad', {}, 'lost');
        const meaning = h('span.detail');
        cell.append(h('span', {}, name, ' ', lost), meaning);
        return (row) => {
          setText(name, words(row.verdict));
          show(lost, row.drop);
          setText(meaning, row.remedy === '' || !row.drop ? row.meaning : `${row.meaning}. Look at: ${row.remedy}`);
        };
      },
    },
    numberColumn('rate', 'Packets/s', ({ rate }) => compact(rate)),
    numberColumn('packets', 'Packets', ({ packets }) => compact(packets)),
    sparkColumn(({ verdict }) => sparks.current.verdicts?.[verdict], {
      kindOf: ({ drop }) => (drop ? 'bad' : 'plain'),
    }),
  ];
  const table = new Table<VerdictRow>({
    caption: 'Verdicts: every packet leaves by exactly one',
    columns,
    keyOf: ({ verdict }) => verdict,
    toneOf: ({ drop }) => (drop ? 'bad' : 'plain'),
  });
  return new Panel('How packets left', table, 'No packet has come by yet.');
}

/** The connection table: how many entries of how many. */
export class TableMeter {
  readonly element: HTMLElement;
  readonly #bar = new Bar();
  readonly #text = h('p.meter-text');
  readonly #detail = h('p.detail');

  constructor() {
    const head = h('div.card-head', {}, h('h2', {}, 'Connection table'));
    this.element = h('section.card.meter', {}, head, this.#text, this.#bar.element, this.#detail);
  }

  set(totals: Totals | null): void {
    if (totals === null) {
      setText(this.#text, 'The dataplane does not tell.');
      setText(this.#detail, '');
      this.#bar.set(0);
      return;
    }
    const { connections, capacity, active, inactive } = totals;
    const share = capacity === 0 ? 0 : connections / capacity;
    this.#bar.set(share, toneOfShare(share));
    setText(this.#text, `${whole(connections)} of ${whole(capacity)} entries, ${percent(share)}`);
    setText(this.#detail, `${whole(active)} active and ${whole(inactive)} inactive connections of services`);
  }
}
