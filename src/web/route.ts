// SPDX-License-Identifier: Apache-2.0
// Which page is shown, as the address says it behind its #, and where its stream is.

export type Route = { readonly page: 'overview' } | { readonly page: 'service'; readonly key: string };

/** What of a list is to be shown. */
export interface ListRequest {
  readonly sort: string;
  readonly filter: string;
  readonly from: number;
}

export const wholeList: ListRequest = { sort: 'order', filter: '', from: 0 };

const servicePrefix = '#/service/';

/** "#/service/tcp:203.0.113.10:80" */
export function readRoute(hash: string): Route {
  if (!hash.startsWith(servicePrefix)) return { page: 'overview' };
  const text = hash.slice(servicePrefix.length);
  try {
    return { page: 'service', key: decodeURIComponent(text) };
  } catch {
    return { page: 'service', key: text };
  }
}

export const serviceAddress = (key: string): string => `${servicePrefix}${key}`;

export function streamPath(route: Route, { sort, filter, from }: ListRequest): string {
  const query = new URLSearchParams({
    ...(route.page === 'service' && { service: route.key }),
    ...(sort !== wholeList.sort && { sort }),
    ...(filter !== '' && { filter }),
    ...(from > 0 && { from: String(from) }),
  });
  return query.size === 0 ? '/page/stream' : `/page/stream?${query}`;
}
