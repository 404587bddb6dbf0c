// SPDX-License-Identifier: Apache-2.0
// What the manager tells its status page: one document in sections. A stream begins with all of them; then come those
// that have changed. Types only: manager and page share them, and nothing else.

/** good: as it should be; warn: look at it; bad: clients notice; quiet: meant to be so. */
export type Tone = 'good' | 'warn' | 'bad' | 'quiet';

export interface Update {
  readonly head?: Head;
  /** Null while the dataplane does not tell. */
  readonly totals?: Totals | null;
  readonly attention?: Attention;
  readonly services?: ServiceList;
  readonly workers?: readonly WorkerRow[];
  readonly verdicts?: readonly VerdictRow[];
  readonly ports?: readonly PortRow[];
  readonly events?: readonly Happened[];
  readonly changes?: readonly Change[];
  /** Of the page of one service; null: there is none of this key. */
  readonly service?: ServiceDetail | null;
  readonly servers?: ServerList;
  readonly sparks?: Sparks;
  readonly plots?: Plots;
  readonly point?: Point;
}

export interface Head {
  /** The host's. */
  readonly name: string;
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly startedAt: number;
  readonly revision: string;
  readonly services: number;
  readonly servers: number;
  readonly dataplane: {
    readonly connected: boolean;
    /** Why not, or why the last apply was refused. */
    readonly error: string;
    readonly pid: number;
    readonly workers: number;
    readonly memory: string;
    readonly dpdk: string;
    readonly startedAt: number;
  };
  readonly generation: { readonly wanted: number; readonly applied: number };
  /** "worker 1: table_full, ipv6" */
  readonly overloads: readonly string[];
  /** Workers that use something else than what is declared: "worker 1: tcp:203.0.113.10:80: …" */
  readonly disagreements: readonly string[];
}

/** Per second, over the last sample. */
export interface Rates {
  readonly connections: number;
  readonly inBits: number;
  readonly outBits: number;
}

export interface Totals {
  readonly connections: number;
  readonly capacity: number;
  readonly active: number;
  readonly inactive: number;
  readonly rates: Rates | null;
  /** Packets lost in a second. */
  readonly dropped: number | null;
}

/** How services stand, and real servers that do not serve as they are meant to, with the reason. */
export interface Attention {
  readonly services: Readonly<Record<Tone, number>>;
  readonly servers: readonly (Pick<ServerRow, 'id' | 'state' | 'tone' | 'reason' | 'since'> & {
    readonly service: string;
  })[];
  /** Beyond these. */
  readonly more: number;
}

export interface ServiceRow {
  /** "tcp:203.0.113.10:80" */
  readonly key: string;
  readonly scheduler: string;
  readonly state: string;
  readonly tone: Tone;
  readonly up: number;
  readonly servers: number;
  /** Tones of its real servers, in their order, one letter each, while they are few: "ggb". */
  readonly strip: string;
  readonly active: number | null;
  readonly inactive: number | null;
  readonly rates: Rates | null;
}

/** Of a list that may be longer than what is shown of it. */
export interface Shown {
  /** Number of the first that is shown, from 0. */
  readonly from: number;
  /** That the filter leaves. */
  readonly found: number;
  readonly total: number;
}

export interface ServiceList extends Shown {
  readonly rows: readonly ServiceRow[];
}

export interface ServerRow {
  /** "10.0.0.11:80" */
  readonly id: string;
  readonly method: string;
  readonly state: string;
  readonly tone: Tone;
  readonly reason: string;
  /** RFC 3339; empty where nobody checks it. */
  readonly since: string;
  readonly weight: number;
  /** In force; null: it is out of the pool. */
  readonly effective: number | null;
  /** Of the weights in force, per cent. */
  readonly share: number;
  readonly latencyUs: number;
  readonly active: number | null;
  readonly inactive: number | null;
  /** Made since the last -Z. */
  readonly connections: number | null;
  readonly rates: Rates | null;
}

export interface ServerList extends Shown {
  readonly rows: readonly ServerRow[];
  /** Seconds between two readings of their counters. */
  readonly everyS: number;
}

export interface ServiceDetail {
  readonly row: ServiceRow;
  /** As configured: name and value. */
  readonly settings: readonly (readonly [string, string])[];
  /** Since the last -Z; null while the dataplane does not tell. */
  readonly counters: {
    readonly connections: number;
    readonly inPackets: number;
    readonly outPackets: number;
    readonly inBytes: number;
    readonly outBytes: number;
    readonly refused: number;
  } | null;
}

export interface WorkerRow {
  readonly worker: number;
  readonly cpu: number;
  /** Share of the last sample's time spent on packets, 0 … 1. */
  readonly busy: number | null;
  readonly received: number | null;
  readonly handedOver: number | null;
  readonly connections: number;
  readonly capacity: number;
}

export interface VerdictRow {
  readonly verdict: string;
  readonly drop: boolean;
  readonly packets: number;
  readonly rate: number | null;
  readonly meaning: string;
  /** Empty: it is as it should be. */
  readonly remedy: string;
}

export interface PortRow {
  readonly name: string;
  readonly driver: string;
  readonly up: boolean;
  /** Mbit/s; 0: unknown. */
  readonly speed: number;
  readonly inBits: number | null;
  readonly outBits: number | null;
  readonly inPackets: number | null;
  readonly outPackets: number | null;
  /** Missed, without a buffer, or in error, since the start. */
  readonly faults: number;
}

export interface Happened {
  readonly time: string;
  readonly kind: string;
  readonly message: string;
  readonly tone: Tone;
}

export interface Change {
  readonly revision: string;
  readonly time: string;
  readonly author: string;
  readonly method: string;
  readonly changes: readonly string[];
  readonly count: number;
}

/** Values at even distances; null: not known. */
export type Series = readonly (number | null)[];

/** Small plots of the last ten minutes, or since the manager's start, by the names of what they are of; missing: beyond what is kept. */
export interface Sparks {
  readonly stepS: number;
  readonly services?: Readonly<Record<string, Series>>;
  readonly servers?: Readonly<Record<string, Series>>;
  readonly workers?: Readonly<Record<string, Series>>;
  readonly verdicts?: Readonly<Record<string, Series>>;
}

/** The large plots; a second between two values. */
export interface Plots {
  /** Of the last value, seconds since 1970. */
  readonly end: number;
  readonly connections: Series;
  readonly inBits: Series;
  readonly outBits: Series;
  /** Of a service there is none. */
  readonly dropped: Series;
}

/** What comes behind the plots. */
export interface Point {
  readonly second: number;
  readonly connections: number | null;
  readonly inBits: number | null;
  readonly outBits: number | null;
  readonly dropped: number | null;
}
