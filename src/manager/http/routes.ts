// SPDX-License-Identifier: Apache-2.0
// What there is over HTTP, by path.
import type { Scraper } from '../metrics/scrape.js';
import { pageFiles } from '../page/files.js';
import type { StatusPage } from '../page/page.js';
import type { Reconciler } from '../reconciler.js';
import { type Route, text } from './server.js';

export function httpRoutes(scraper: Scraper, reconciler: Reconciler, page: StatusPage): ReadonlyMap<string, Route> {
  return new Map<string, Route>([
    ...pageFiles(),
    ['/page/stream', (asked) => page.stream(asked)],
    ['/metrics', () => scraper.scrape()],
    ['/healthz', () => healthz(reconciler)],
  ]);
}

function healthz(reconciler: Reconciler) {
  const { connected, lastError } = reconciler.status();
  return connected ? text(200, 'ok') : text(503, `the dataplane is not connected: ${lastError}`);
}
