// SPDX-License-Identifier: Apache-2.0
// What the project has set itself to reach, and whether a report does.

import type { CaseResult, Report } from './report.js';

export interface Bar {
  readonly what: string;
  readonly unit: '' | ' ns' | ' bytes' | ' µs';
  readonly bar: number;
  readonly aim?: number;
  /** Whether more is better. */
  readonly atLeast?: true;
  /** Undefined where the report does not tell. */
  readonly measured: (report: Report) => number | undefined;
}

const ofCase =
  (name: string, pick: (result: CaseResult) => number | undefined) =>
  ({ cases }: Report): number | undefined => {
    const found = cases.find((result) => result.name === name);
    return found && pick(found);
  };

const ratio = (what: string, name: string, bar: number, aim?: number): Bar => ({
  what: `${what}: ratio to macswap`,
  unit: '',
  bar,
  ...(aim === undefined ? {} : { aim }),
  measured: ofCase(name, (result) => result.ratio),
});

const withoutStamp = ({ ns, stampNs }: CaseResult): number => ns - (stampNs ?? 0);

export const bars: readonly Bar[] = [
  ratio('DR, 1 k flows', 'dr-1k', 2.8, 1.8),
  ratio('DR, 10 k flows', 'dr-10k', 2.8, 1.8),
  ratio('DR, 200 k flows', 'dr-200k', 2.8, 1.9),
  ratio('DR, 1 M flows', 'dr-1m', 2.4, 1.7),
  ratio('TUN, 1 k flows', 'tun-1k', 3.2),
  ratio('TUN, 1 M flows', 'tun-1m', 2.6),
  ratio('NAT, client side, 1 k flows', 'nat-client-1k', 3.5),
  ratio('NAT, server side, 1 k flows', 'nat-server-1k', 3.5),
  ratio('NAT, client side, 1 M flows', 'nat-client-1m', 2.8),
  ratio('NAT, server side, 1 M flows', 'nat-server-1m', 2.8),
  {
    what: 'new connection, table large enough',
    unit: ' ns',
    bar: 250,
    aim: 150,
    measured: ofCase('new-dr-2m', withoutStamp),
  },
  { what: 'refused packet, table full', unit: ' ns', bar: 100, measured: ofCase('flood-dr-10k', (at) => at.refusedNs) },
  {
    what: 'packets of established connections lost to a flood',
    unit: '',
    bar: 0,
    measured: ofCase('flood-dr-10k', (at) => at.lost),
  },
  {
    what: 'memory of an IPv4 connection',
    unit: ' bytes',
    bar: 128,
    measured: ({ memory }) => memory && Math.max(memory.bytesPerConnection, memory.residentPerConnection),
  },
  {
    what: "two workers, two pairs of devices, DR: scaling by macswap's",
    unit: '',
    bar: 0.9,
    atLeast: true,
    measured: ofCase('pairs-dr-10k', (at) => at.scalingRatio),
  },
  {
    what: 'NAT, two workers, every packet handed over: by one worker',
    unit: '',
    bar: 0.8,
    atLeast: true,
    measured: ofCase('handover-nat-client-10k', (at) => at.scaling),
  },
  {
    what: 'one packet at a time through the director, p99',
    unit: ' µs',
    bar: 10,
    measured: ({ latency }) => latency?.find(({ name }) => name === 'dr-1k')?.single.p99,
  },
];

export const isMet = ({ bar, atLeast }: Bar, measured: number): boolean =>
  atLeast ? measured >= bar : measured <= bar;
