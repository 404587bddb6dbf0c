// SPDX-License-Identifier: Apache-2.0
// The page of the director as a whole.
import { AttentionList, Summary } from './attention.js';
import { h, setText } from './dom.js';
import { changeFeed, eventFeed } from './feeds.js';
import { bits, compact, unknown, whole } from './format.js';
import { List } from './list.js';
import { StateMark, Strip } from './marks.js';
import { portPanel, type SparkStore, sparkColumn, TableMeter, verdictPanel, workerPanel } from './panels.js';
import { Plot } from './plot.js';
import { type ListRequest, serviceAddress } from './route.js';
import { type Column, numberColumn, Table, textColumn } from './table.js';
import type { ServiceRow, Totals, Update } from './view.js';

export const perSecond = (value: number | null | undefined): string =>
  value === null || value === undefined ? unknown : `${compact(value)}/s`;

export class Overview {
  readonly element: HTMLElement;
  readonly #sparks: SparkStore = { current: { stepS: 5 } };
  readonly #connections = new Plot({
    title: 'New connections',
    lines: [{ field: 'connections', label: 'connections', colour: '--accent' }],
    format: perSecond,
  });
  readonly #traffic = new Plot({
    title: 'Traffic',
    lines: [
      { field: 'inBits', label: 'in', colour: '--accent-2' },
      { field: 'outBits', label: 'out', colour: '--accent' },
    ],
    format: bits,
  });
  readonly #lost = new Plot({
    title: 'Packets lost',
    lines: [{ field: 'dropped', label: 'lost', colour: '--bad' }],
    format: perSecond,
  });
  readonly #plots = [this.#connections, this.#traffic, this.#lost];
  readonly #summary = new Summary();
  readonly #attention = new AttentionList();
  readonly #services: List<ServiceRow>;
  readonly #workers = workerPanel(this.#sparks);
  readonly #ports = portPanel();
  readonly #verdicts = verdictPanel(this.#sparks);
  readonly #meter = new TableMeter();
  readonly #events = eventFeed();
  readonly #changes = changeFeed();

  constructor(facts: HTMLElement, request: ListRequest, onRequest: (request: ListRequest) => void) {
    this.#services = serviceListOf(this.#sparks, request, onRequest);
    this.element = h(
      'div.page',
      {},
      this.#summary.element,
      facts,
      this.#attention.element,
      h('div.plots', {}, ...this.#plots.map(({ element }) => element)),
      this.#services.element,
      h(
        'div.halves',
        {},
        h('div.stack', {}, this.#workers.element, this.#meter.element, this.#ports.element),
        this.#verdicts.element,
      ),
      h('div.halves', {}, this.#events.element, this.#changes.element),
    );
  }

  update(update: Update): void {
    if (update.sparks) this.#sparks.current = update.sparks;
    if (update.services) this.#services.set(update.services);
    else if (update.sparks) this.#services.refresh();
    if (update.workers) this.#workers.set(update.workers);
    else if (update.sparks) this.#workers.refresh();
    if (update.verdicts) this.#verdicts.set(update.verdicts);
    else if (update.sparks) this.#verdicts.refresh();
    if (update.ports) this.#ports.set(update.ports);
    if (update.events) this.#events.set(update.events);
    if (update.changes) this.#changes.set(update.changes);
    if (update.attention) {
      this.#summary.set(update.attention);
      this.#attention.set(update.attention);
    }
    if (update.totals !== undefined) this.#total(update.totals);
    for (const plot of this.#plots) {
      if (update.plots) plot.begin(update.plots);
      if (update.point) plot.add(update.point);
    }
  }

  redraw(): void {
    for (const plot of this.#plots) plot.redraw();
  }

  end(): void {
    for (const plot of this.#plots) plot.end();
  }

  #total(totals: Totals | null): void {
    this.#meter.set(totals);
    this.#connections.now(perSecond(totals?.rates?.connections));
    this.#traffic.now(bits(totals?.rates?.inBits), bits(totals?.rates?.outBits));
    this.#lost.now(perSecond(totals?.dropped));
  }
}

function serviceListOf(
  sparks: SparkStore,
  request: ListRequest,
  onRequest: (request: ListRequest) => void,
): List<ServiceRow> {
  const columns = serviceColumns(sparks);
  return new List(
    {
      title: 'Virtual services',
      what: 'services',
      columns,
      table: (onSort) =>
        new Table({
          caption: 'Virtual services',
          columns,
          keyOf: ({ key }) => key,
          toneOf: ({ tone }) => tone,
          onSort,
        }),
      request: onRequest,
      empty: h(
        'div.empty',
        { hidden: true },
        h('p', {}, 'No virtual services yet. Add one, and a real server for it:'),
        h(
          'pre',
          { tabindex: 0 },
          'fulcrum service add tcp:203.0.113.10:80 --scheduler wlc\nfulcrum server add tcp:203.0.113.10:80 10.0.0.11:80 --method nat',
        ),
        h('p.detail', {}, 'ipvsadm -A -t 203.0.113.10:80 and a configuration file do the same.'),
      ),
    },
    request,
  );
}

function serviceColumns(sparks: SparkStore): readonly Column<ServiceRow>[] {
  return [
    {
      id: 'service',
      label: 'Service',
      sort: 'key',
      isHeader: true,
      make: (cell) => {
        const link = h('a.address');
        cell.append(link);
        return ({ key }) => {
          setText(link, key);
          link.setAttribute('href', serviceAddress(key));
        };
      },
    },
    {
      id: 'state',
      label: 'State',
      sort: 'state',
      make: (cell) => {
        const state = new StateMark();
        cell.append(state.element);
        return (row) => state.set(row.tone, row.state);
      },
    },
    {
      id: 'pool',
      label: 'Real servers',
      make: (cell) => {
        const text = h('span');
        const strip = new Strip();
        cell.append(text, strip.element);
        return (row) => {
          setText(text, row.servers === 0 ? 'none' : `${whole(row.up)} of ${whole(row.servers)} serve`);
          strip.set(row.strip);
        };
      },
    },
    textColumn('scheduler', 'Scheduler', ({ scheduler }) => scheduler, { sort: 'scheduler' }),
    numberColumn('active', 'Active', ({ active }) => whole(active), { sort: 'active' }),
    numberColumn('inactive', 'Inactive', ({ inactive }) => whole(inactive), { sort: 'inactive' }),
    numberColumn('rate', 'New/s', ({ rates }) => compact(rates?.connections), { sort: 'rate' }),
    numberColumn('traffic', 'Traffic', ({ rates }) => bits(rates && rates.inBits + rates.outBits), { sort: 'traffic' }),
    sparkColumn(({ key }) => sparks.current.services?.[key]),
  ];
}
