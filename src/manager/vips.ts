// SPDX-License-Identifier: Apache-2.0
// Which VIPs there are: those that were declared, alone or as a range, and the addresses of services that nobody declared
// and no range has in it.
import type { Model } from './model.js';
import type { Vip } from './nouns.js';
import { isRange, parseNamedPrefix, rangeOf } from './prefixes.js';
import { undeclaredVip } from './validate.js';

export interface CountedVip extends Vip {
  /** Number of virtual services on it. A service counts for its address if that is declared, else for its range. */
  readonly services: number;
}

/** By address, those that were declared first. */
export function vipsOf({ vips, services }: Pick<Model, 'vips' | 'services'>): ReadonlyMap<string, CountedVip> {
  const ranges = [...vips.keys()].filter(isRange).flatMap((text) => parseNamedPrefix(text) ?? []);
  const counts = new Map<string, number>([...vips.keys()].map((address) => [address, 0]));
  for (const { key } of services.values()) {
    if (key.fwmark !== 0) continue;
    const range = ranges.length === 0 || vips.has(key.address) ? undefined : rangeOf(key.address, ranges);
    const owner = range?.text ?? key.address;
    counts.set(owner, (counts.get(owner) ?? 0) + 1);
  }
  return new Map(
    [...counts].map(([address, count]) => {
      const vip = vips.get(address) ?? undeclaredVip(address);
      return [address, { ...vip, services: count }];
    }),
  );
}

/**
 * What packets and questions to addresses meet: what was declared, and each address of a service by itself, as it or the
 * narrowest range that has it in it was declared.
 */
export function announcedVips({ vips, services }: Pick<Model, 'vips' | 'services'>): Vip[] {
  const ranges = [...vips.keys()].filter(isRange).flatMap((text) => parseNamedPrefix(text) ?? []);
  const undeclared = new Set(
    [...services.values()]
      .filter(({ key }) => key.fwmark === 0 && !vips.has(key.address))
      .map(({ key }) => key.address),
  );
  const inRange = (address: string): Vip => {
    const range = ranges.length === 0 ? undefined : vips.get(rangeOf(address, ranges)?.text ?? '');
    return { ...(range ?? undeclaredVip(address)), address };
  };
  return [...vips.values(), ...[...undeclared].map(inRange)];
}
