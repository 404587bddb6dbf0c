// SPDX-License-Identifier: Apache-2.0
// Which page is shown, and the one stream that it lives on. Out of sight the page asks for nothing.
import { h } from './dom.js';
import { PageHead } from './head.js';
import { Overview } from './overview.js';
import { type ListRequest, type Route, readRoute, streamPath, wholeList } from './route.js';
import { ServicePage } from './service.js';
import { signIn } from './sign_in.js';
import { keepToken, Stream, type StreamState } from './stream.js';
import { themeButton } from './theme.js';
import type { Update } from './view.js';

/** Who looks at another window for a moment finds it as it was. */
const outOfSightMs = 20_000;

class Main {
  readonly #head = new PageHead(themeButton(() => this.#page?.redraw()));
  readonly #place = h('div');
  readonly #content = h('main.frame', { id: 'content', tabindex: -1 }, this.#head.alarms, this.#place);
  #route: Route = readRoute(location.hash);
  #request: ListRequest = wholeList;
  #page: Overview | ServicePage | undefined;
  #stream: Stream | undefined;
  #outOfSight: ReturnType<typeof setTimeout> | undefined;

  constructor(place: HTMLElement) {
    const skip = h('a.skip', { href: '#content' }, 'Skip to the content');
    skip.addEventListener('click', (event) => {
      event.preventDefault();
      this.#content.focus();
    });
    place.append(skip, this.#head.element, this.#content);
    addEventListener('hashchange', () => this.#go(readRoute(location.hash)));
    document.addEventListener('visibilitychange', () => this.#seen(!document.hidden));
    this.#show();
  }

  #go(route: Route): void {
    this.#route = route;
    this.#request = wholeList;
    this.#show();
    scrollTo(0, 0);
    const heading = this.#content.querySelector<HTMLElement>('h1');
    (heading ?? this.#content).focus({ preventScroll: true });
  }

  #show(): void {
    this.#page?.end();
    const ask = (request: ListRequest): void => {
      this.#request = request;
      this.#listen();
    };
    this.#page =
      this.#route.page === 'overview'
        ? new Overview(this.#head.facts, this.#request, ask)
        : new ServicePage(this.#route.key, this.#head.facts, this.#request, ask);
    this.#place.replaceChildren(this.#page.element);
    this.#listen();
  }

  #listen(): void {
    this.#stream?.close();
    this.#stream = new Stream(streamPath(this.#route, this.#request), {
      update: (update) => this.#update(update),
      state: (state) => this.#state(state),
    });
  }

  #update(update: Update): void {
    if (update.head !== undefined) {
      // Another version of the manager may speak to its page in other words.
      const before = this.#head.head?.version;
      if (before !== undefined && before !== update.head.version) location.reload();
      this.#head.set(update.head);
      this.#entitle(update.head.name);
    }
    this.#page?.update(update);
  }

  #entitle(host: string): void {
    document.title = this.#route.page === 'service' ? `${this.#route.key} – ${host} – Fulcrum` : `${host} – Fulcrum`;
  }

  #state(state: StreamState): void {
    this.#head.stream(state);
    if (state.kind !== 'refused') return;
    this.#page?.end();
    this.#page = undefined;
    const form = signIn(state.wasGiven, (token) => {
      keepToken(token);
      this.#show();
    });
    this.#place.replaceChildren(form);
  }

  #seen(isInSight: boolean): void {
    clearTimeout(this.#outOfSight);
    if (!isInSight) {
      this.#outOfSight = setTimeout(() => {
        this.#stream?.close();
        this.#stream = undefined;
      }, outOfSightMs);
    } else if (this.#stream === undefined && this.#page !== undefined) this.#listen();
  }
}

const place = document.getElementById('page');
if (place !== null) new Main(place);
