// SPDX-License-Identifier: Apache-2.0
// The page of one virtual service: how its pool stands, who has which share, and why somebody has none.
import { h, setText, show } from './dom.js';
import { changeFeed, eventFeed } from './feeds.js';
import { bits, compact, counted, latency, percent, whole } from './format.js';
import { List } from './list.js';
import { Bar, StateMark, timeElement } from './marks.js';
import { perSecond } from './overview.js';
import { type SparkStore, sparkColumn } from './panels.js';
import { Plot } from './plot.js';
import type { ListRequest } from './route.js';
import { type Column, numberColumn, Table, textColumn } from './table.js';
import type { ServerList, ServerRow, ServiceDetail, Update } from './view.js';

export class ServicePage {
  readonly element: HTMLElement;
  readonly #key: string;
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
  readonly #plots = [this.#connections, this.#traffic];
  readonly #state = new StateMark();
  readonly #pool = h('span');
  readonly #facts = h('dl.facts');
  readonly #servers: List<ServerRow>;
  readonly #pace = h('p.detail.pace', { hidden: true });
  readonly #events = eventFeed();
  readonly #changes = changeFeed();
  readonly #missing = h('section.card.missing', { hidden: true });
  readonly #whole: HTMLElement;

  constructor(key: string, facts: HTMLElement, request: ListRequest, onRequest: (request: ListRequest) => void) {
    this.#key = key;
    this.#servers = serverListOf(this.#sparks, request, onRequest);
    this.#missing.append(h('h2', {}, 'There is no such service'), h('p', {}, `Nothing is configured for ${key}.`));
    this.#whole = h(
      'div.page',
      {},
      h('section.card.summary', {}, h('div.standing', {}, this.#state.element, this.#pool), this.#facts),
      h('div.plots.two', {}, ...this.#plots.map(({ element }) => element)),
      this.#servers.element,
      this.#pace,
      h('div.halves', {}, this.#events.element, this.#changes.element),
    );
    this.element = h(
      'div.page',
      {},
      h(
        'nav.crumbs',
        { 'aria-label': 'Where you are' },
        h('a', { href: '#/' }, 'All services'),
        h('span', { 'aria-hidden': 'true' }, '›'),
        h('h1.address', { tabindex: -1 }, key),
      ),
      this.#missing,
      this.#whole,
      facts,
    );
  }

  update(update: Update): void {
    if (update.sparks) this.#sparks.current = update.sparks;
    if (update.service !== undefined) {
      show(this.#missing, update.service === null);
      show(this.#whole, update.service !== null);
      if (update.service !== null) this.#detail(update.service);
    }
    if (update.servers) this.#list(update.servers);
    else if (update.sparks) this.#servers.refresh();
    if (update.events) this.#events.set(update.events);
    if (update.changes) this.#changes.set(update.changes);
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

  /** For the title of the window. */
  get key(): string {
    return this.#key;
  }

  #detail({ row, settings, counters }: ServiceDetail): void {
    this.#state.set(row.tone, row.state);
    setText(
      this.#pool,
      row.servers === 0 ? 'no real servers' : `${whole(row.up)} of ${counted(row.servers, 'real server')} serve`,
    );
    const counts = counters === null ? [] : countsOf(counters);
    const facts = [
      ...settings,
      ['connections', `${whole(row.active)} active, ${whole(row.inactive)} inactive`] as const,
      ...counts,
    ];
    this.#facts.replaceChildren(...facts.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value))));
    this.#connections.now(perSecond(row.rates?.connections));
    this.#traffic.now(bits(row.rates?.inBits), bits(row.rates?.outBits));
  }

  #list(servers: ServerList): void {
    this.#servers.set(servers);
    show(this.#pace, servers.everyS > 1);
    setText(this.#pace, `Counters of so many real servers are read every ${servers.everyS} s.`);
  }
}

function countsOf(counters: NonNullable<ServiceDetail['counters']>): readonly (readonly [string, string])[] {
  const { connections, inPackets, outPackets, inBytes, outBytes, refused } = counters;
  return [
    ['since the last zero', counted(connections, 'connection')],
    ['from clients', `${compact(inPackets)} packets, ${compact(inBytes, 'B')}`],
    ['to clients', `${compact(outPackets)} packets, ${compact(outBytes, 'B')}`],
    ...(refused > 0 ? [['refused', `${whole(refused)} packets`] as const] : []),
  ];
}

function serverListOf(
  sparks: SparkStore,
  request: ListRequest,
  onRequest: (request: ListRequest) => void,
): List<ServerRow> {
  const columns = serverColumns(sparks);
  return new List(
    {
      title: 'Pool',
      what: 'real servers',
      columns,
      table: (onSort) =>
        new Table({ caption: 'Real servers', columns, keyOf: ({ id }) => id, toneOf: ({ tone }) => tone, onSort }),
      request: onRequest,
      empty: h(
        'div.empty',
        { hidden: true },
        h('p', {}, 'No real servers yet: clients are told that nobody is there.'),
      ),
    },
    request,
  );
}

function serverColumns(sparks: SparkStore): readonly Column<ServerRow>[] {
  return [
    {
      id: 'server',
      label: 'Real server',
      sort: 'id',
      isHeader: true,
      make: (cell) => {
        const id = h('span.address');
        const method = h('span.tag');
        cell.append(id, ' ', method);
        return (row) => {
          setText(id, row.id);
          setText(method, row.method);
        };
      },
    },
    { id: 'state', label: 'State', sort: 'state', make: stateCell },
    { id: 'share', label: 'Weight', sort: 'weight', isNumber: true, make: weightCell },
    numberColumn('active', 'Active', ({ active }) => whole(active), { sort: 'active' }),
    numberColumn('inactive', 'Inactive', ({ inactive }) => whole(inactive), { sort: 'inactive' }),
    numberColumn('connections', 'Connections', ({ connections }) => compact(connections)),
    numberColumn('rate', 'New/s', ({ rates }) => compact(rates?.connections), { sort: 'rate' }),
    numberColumn('traffic', 'Traffic', ({ rates }) => bits(rates && rates.inBits + rates.outBits), { sort: 'traffic' }),
    textColumn('latency', 'Check', ({ latencyUs }) => (latencyUs === 0 ? '' : latency(latencyUs)), { isNumber: true }),
    sparkColumn(({ id }) => sparks.current.servers?.[id]),
  ];
}

/** Word, and why and since when. */
function stateCell(cell: HTMLElement): (row: ServerRow) => void {
  const state = new StateMark();
  const reason = h('span.reason');
  const since = h('span.detail');
  let shown = '';
  cell.append(state.element, reason, since);
  return (row) => {
    state.set(row.tone, row.state);
    setText(reason, row.reason);
    show(reason, row.reason !== '');
    show(since, row.since !== '');
    if (row.since === shown) return;
    shown = row.since;
    since.replaceChildren('since ', timeElement(row.since));
  };
}

/** In force, and what was wanted where that is something else; its share of the pool's as a bar. */
function weightCell(cell: HTMLElement): (row: ServerRow) => void {
  const bar = new Bar();
  const text = h('span');
  cell.classList.add('with-bar');
  cell.append(bar.element, text);
  return ({ weight, effective, share }) => {
    bar.set(share / 100);
    const inForce = effective === null ? 'out' : whole(effective);
    const wanted = effective === weight ? '' : ` of ${whole(weight)}`;
    setText(text, `${inForce}${wanted}, ${percent(share / 100)}`);
  };
}
