// SPDX-License-Identifier: Apache-2.0
// What is above every page: whose it is, whether all is well, whether what is shown is of now.
import { h, setAttribute, setText, show } from './dom.js';
import { clock, counted, duration, whole } from './format.js';
import { StateMark } from './marks.js';
import type { StreamState } from './stream.js';
import type { Head, Tone } from './view.js';

const logo = (): HTMLElement => h('img', { src: '/page/icon.svg', alt: '', width: 28, height: 28 });

export class PageHead {
  readonly element: HTMLElement;
  /** What is wrong with the director or the connection to it; read out when it changes. */
  readonly alarms = h('div.alarms', { role: 'status' });
  readonly facts = h('dl.facts.head-facts');
  readonly #name = h('span.host');
  readonly #live = new StateMark();
  #head: Head | undefined;
  #stream: StreamState = { kind: 'connecting' };
  #lostAt = 0;
  #said = '';

  constructor(theme: HTMLElement) {
    this.element = h(
      'header.top',
      {},
      h('a.brand', { href: '#/' }, logo(), h('span.name', {}, 'Fulcrum'), this.#name),
      h('div.tools', {}, this.#live.element, theme),
    );
    this.#showLive();
    setInterval(() => this.#tick(), 1000);
  }

  get head(): Head | undefined {
    return this.#head;
  }

  set(head: Head): void {
    this.#head = head;
    setText(this.#name, head.name);
    this.#tick();
  }

  stream(state: StreamState): void {
    if (state.kind === 'lost' && this.#stream.kind === 'live') this.#lostAt = Date.now();
    this.#stream = state;
    this.#showLive();
    this.#tick();
  }

  #showLive(): void {
    const shown: Readonly<Record<StreamState['kind'], readonly [Tone, string]>> = {
      connecting: ['quiet', 'connecting'],
      live: ['good', 'live'],
      lost: ['bad', 'lost'],
      refused: ['warn', 'signed out'],
    };
    this.#live.set(...shown[this.#stream.kind]);
    setAttribute(document.documentElement, 'data-stream', this.#stream.kind);
  }

  #tick(): void {
    const alarms = [...this.#managerAlarms(), ...(this.#stream.kind === 'live' ? this.#dataplaneAlarms() : [])];
    const said = alarms.map(([, title, text]) => `${title} ${text}`).join();
    if (said !== this.#said) {
      this.#said = said;
      this.alarms.replaceChildren(...alarms.map(alarm));
    }
    if (this.#head !== undefined) this.#showFacts(this.#head);
  }

  #managerAlarms(): readonly Alarm[] {
    if (this.#stream.kind !== 'lost') return [];
    const since = this.#lostAt === 0 ? '' : ` What is shown is of ${clock(this.#lostAt)}.`;
    const text = `${this.#stream.reason}.${since} The dataplane goes on forwarding without its manager. Asking again until it answers.`;
    return [['bad', 'The manager does not answer', text]];
  }

  #dataplaneAlarms(): readonly Alarm[] {
    if (this.#head === undefined) return [];
    const { dataplane, generation, overloads, disagreements } = this.#head;
    if (!dataplane.connected)
      return [
        [
          'bad',
          'The dataplane is not connected',
          `${dataplane.error}. Nothing is known of its counters until it is back.`,
        ],
      ];
    const alarms: Alarm[] = [];
    if (disagreements.length > 0)
      alarms.push([
        'bad',
        'Workers do not use what is declared',
        `${disagreements.join('; ')}. Restart the dataplane.`,
      ]);
    if (generation.applied !== generation.wanted) {
      const text = `Generation ${whole(generation.applied)} is, ${whole(generation.wanted)} is wanted. ${dataplane.error}`;
      alarms.push(['warn', 'The configuration is not in force yet', text]);
    }
    if (overloads.length > 0) alarms.push(['warn', 'Overload', overloads.join('; ')]);
    return alarms;
  }

  #showFacts({ version, startedAt, revision, services, servers, dataplane, generation }: Head): void {
    const inForce =
      generation.applied === generation.wanted
        ? whole(generation.applied)
        : `${whole(generation.applied)} of ${whole(generation.wanted)}`;
    const facts: readonly (readonly [string, string])[] = [
      ['version', version],
      ['manager up', duration(Date.now() - startedAt)],
      [
        'dataplane up',
        dataplane.connected && dataplane.startedAt > 0 ? duration(Date.now() - dataplane.startedAt) : 'not connected',
      ],
      [
        'engine',
        dataplane.connected
          ? `${counted(dataplane.workers, 'worker')}, DPDK ${dataplane.dpdk}, ${dataplane.memory}`
          : '',
      ],
      ['configured', `${counted(services, 'service')}, ${counted(servers, 'real server')}`],
      ['in force', `generation ${inForce}, revision ${revision}`],
    ];
    const said = facts.filter(([, value]) => value !== '');
    if (this.facts.children.length !== said.length)
      this.facts.replaceChildren(...said.map(() => h('div', {}, h('dt'), h('dd'))));
    said.forEach(([name, value], at) => {
      const [term, text] = this.facts.children[at]?.children ?? [];
      if (term) setText(term, name);
      if (text) setText(text, value);
    });
  }
}

type Alarm = readonly [tone: Tone, title: string, text: string];

function alarm([tone, title, text]: Alarm): HTMLElement {
  const state = new StateMark();
  state.set(tone, title);
  const element = h('div.alarm', { 'data-tone': tone }, state.element, h('span', {}, text));
  show(element, true);
  return element;
}
