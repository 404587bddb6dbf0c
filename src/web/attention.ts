// SPDX-License-Identifier: Apache-2.0
// Real servers that do not serve as they are meant to, with the reason: what one came for.
import { h, setText, show } from './dom.js';
import { counted, whole } from './format.js';
import { StateMark, timeElement } from './marks.js';
import { serviceAddress } from './route.js';
import type { Attention, Tone } from './view.js';

export class AttentionList {
  readonly element: HTMLElement;
  readonly #title = h('h2');
  readonly #list = h('ul.troubles');
  readonly #more = h('p.detail');

  constructor() {
    this.element = h('section.card.attention', { hidden: true }, this.#title, this.#list, this.#more);
  }

  set({ servers, more }: Attention): void {
    const all = servers.length + more;
    show(this.element, all > 0);
    setText(this.#title, `${counted(all, 'real server')} out of service`);
    this.#list.replaceChildren(...servers.map(trouble));
    show(this.#more, more > 0);
    setText(this.#more, `and ${whole(more)} more: order the services by state to find them`);
  }
}

/** All in one sentence. */
export class Summary {
  readonly element = h('div.hero');
  readonly #state = new StateMark();
  readonly #title = h('h1', { tabindex: -1 });

  constructor() {
    this.#title.append(this.#state.element);
    this.element.append(this.#title);
  }

  set({ services }: Attention): void {
    this.#state.set(...sentence(services));
  }
}

function sentence({ good, warn, bad, quiet }: Attention['services']): readonly [Tone, string] {
  const all = good + warn + bad + quiet;
  const of = (count: number): string =>
    all === 1
      ? 'The service'
      : count === all
        ? `All ${whole(all)} services`
        : `${whole(count)} of ${whole(all)} services`;
  const are = (count: number): string => (all === 1 || count === 1 ? 'is' : 'are');
  const need = (count: number): string => (all === 1 || count === 1 ? 'needs' : 'need');
  if (all === 0) return ['quiet', 'No virtual services yet'];
  if (bad > 0) return ['bad', `${of(bad)} ${are(bad)} down`];
  if (warn > 0) return ['warn', `${of(warn)} ${need(warn)} attention`];
  if (quiet === all) return ['quiet', `${counted(all, 'service')}, ${all === 1 ? 'not' : 'none of them'} checked`];
  return [
    'good',
    all === 1
      ? 'The service is up'
      : quiet > 0
        ? `${whole(good)} services are up, ${whole(quiet)} not checked`
        : `All ${whole(all)} services are up`,
  ];
}

function trouble({ service, id, state, tone, reason, since }: Attention['servers'][number]): HTMLElement {
  const mark = new StateMark();
  mark.set(tone, state);
  const time = since === '' ? [] : [h('span.detail', {}, 'since ', timeElement(since))];
  return h(
    'li',
    { 'data-server': id, 'data-service': service },
    mark.element,
    h('span.address', {}, id),
    h('span.reason', {}, reason),
    h('span.detail', {}, 'of ', h('a.address', { href: serviceAddress(service) }, service)),
    ...time,
  );
}
