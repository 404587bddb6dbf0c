// SPDX-License-Identifier: Apache-2.0
// Reads what ipvsadm prints back into the shape of the recordings.

interface Destination {
  readonly rs: string;
  readonly fwd: string;
  readonly w: number;
  readonly act: number;
  readonly inact: number;
  readonly persist: number;
  readonly uthr?: number;
  readonly lthr?: number;
}

interface Group {
  readonly title: string;
  /** Words behind the arrow. */
  readonly servers: readonly (readonly string[])[];
}

/** The services of a listing, without its version line and its titles. */
function groups(listing: string): readonly Group[] {
  const found: { title: string; servers: string[][] }[] = [];
  for (const line of listing.split('\n')) {
    const words = line.trim().split(/\s+/);
    if (/^(TCP|UDP|SCTP|FWM) /.test(line)) found.push({ title: words.join(' '), servers: [] });
    else if (words[0] === '->' && words[1] !== 'RemoteAddress:Port') found.at(-1)?.servers.push(words.slice(1));
  }
  return found;
}

export function readServices(plain: string, persistent: string, thresholds: string) {
  const persistentOf = groups(persistent);
  const thresholdsOf = groups(thresholds);
  return groups(plain).map(({ title, servers }, service) => ({
    svc: title,
    dests: servers.map((words, at): Destination => {
      const [rs = '', fwd = '', w, act, inact] = words;
      const limits = thresholdsOf[service]?.servers[at] ?? [];
      const [uthr, lthr] = [Number(limits[1]), Number(limits[2])];
      return {
        ...{ rs, fwd, w: Number(w), act: Number(act), inact: Number(inact) },
        persist: Number(persistentOf[service]?.servers[at]?.[2]),
        ...(uthr !== 0 || lthr !== 0 ? { uthr, lthr } : {}),
      };
    }),
  }));
}

/** Rows of --stats or --rate: a name and five numbers. */
export function readCounters(listing: string): readonly (readonly (string | number)[])[] {
  return groups(listing).flatMap(({ title, servers }) => {
    const words = title.split(' ');
    const named = [words.slice(0, -5).join(' '), ...words.slice(-5).map(Number)];
    return [named, ...servers.map(([name, ...numbers]) => [`-> ${name}`, ...numbers.map(Number)])];
  });
}

export interface ListedConnection {
  readonly pro: string;
  readonly c: string;
  readonly v: string;
  readonly d: string;
  readonly state: string;
  readonly exp: number;
}

export function readConnections(listing: string): readonly ListedConnection[] {
  const rows = listing.split('\n').map((line) => line.trim().split(/\s+/));
  return rows
    .filter(([, expires]) => /^\d+:\d\d$/.test(expires ?? ''))
    .map(([pro = '', expires = '', state = '', c = '', v = '', d = '']) => {
      const [minutes = 0, seconds = 0] = expires.split(':').map(Number);
      return { pro, c, v, d, state, exp: 60 * minutes + seconds };
    });
}
