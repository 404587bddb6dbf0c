// SPDX-License-Identifier: Apache-2.0
// The cases by name, as dataplane_bench takes them: kind, number of flows, and "-tcp" where it is not UDP.

export interface Case {
  readonly name: string;
  readonly flows: number;
}

const kinds = ['dr', 'tun', 'nat-client', 'nat-server'] as const;
const sizes = ['1k', '10k', '200k', '1m'] as const;

/** A million flows need three gigabytes of packet buffers: only when asked for. */
const defaultSizes: readonly string[] = ['1k', '10k', '200k'];

export const mostFlows = 10_000_000;

/** Undefined for what names no case. */
export function parseCase(name: string): Case | undefined {
  const match = /^(?:dr|tun|nat-client|nat-server)-(\d{1,8})([km]?)(?:-tcp)?$/.exec(name);
  if (!match) return undefined;
  const flows = Number(match[1]) * (match[2] === 'k' ? 1_000 : match[2] === 'm' ? 1_000_000 : 1);
  return flows >= 1 && flows <= mostFlows ? { name, flows } : undefined;
}

export function standardCases(all: boolean): readonly Case[] {
  return kinds.flatMap((kind) =>
    sizes
      .filter((size) => all || defaultSizes.includes(size))
      .map((size) => parseCase(`${kind}-${size}`))
      .filter((made) => made !== undefined),
  );
}
