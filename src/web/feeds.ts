// SPDX-License-Identifier: Apache-2.0
// What happened, and who changed what: both are lists that grow at the top.
import { h } from './dom.js';
import { words } from './format.js';
import { mark, timeElement } from './marks.js';
import type { Change, Happened } from './view.js';

class Feed<Entry> {
  readonly element: HTMLElement;
  readonly #list: HTMLElement;
  readonly #entry: (entry: Entry) => HTMLElement;
  readonly #nothing: string;

  constructor(title: string, nothing: string, entry: (entry: Entry) => HTMLElement) {
    this.#list = h('ol.feed', { tabindex: 0, 'aria-label': title });
    this.#entry = entry;
    this.#nothing = nothing;
    this.element = h('section.card', {}, h('div.card-head', {}, h('h2', {}, title)), this.#list);
  }

  set(entries: readonly Entry[]): void {
    const nothing = h('li.nothing', {}, this.#nothing);
    this.#list.replaceChildren(...(entries.length === 0 ? [nothing] : entries.map(this.#entry)));
  }
}

export const eventFeed = (): Feed<Happened> =>
  new Feed('Events', 'Nothing has happened since the manager was started.', ({ time, kind, message, tone }) =>
    h(
      'li',
      { 'data-tone': tone },
      timeElement(time),
      mark(tone),
      h('div', {}, h('strong', {}, words(kind)), ' ', h('span.detail', {}, message)),
    ),
  );

export const changeFeed = (): Feed<Change> =>
  new Feed('Changes', 'Nobody has changed anything yet.', ({ revision, time, author, method, changes, count }) => {
    const lines = changes.map((change) => h('code.line', {}, change));
    const more = count > changes.length ? [h('span.detail', {}, `and ${count - changes.length} more`)] : [];
    return h(
      'li',
      {},
      timeElement(time),
      h(
        'div',
        {},
        h('strong', {}, author),
        h('span.detail', {}, ` by ${method}, revision `, h('code', {}, revision)),
        ...lines,
        ...more,
      ),
    );
  });
