// SPDX-License-Identifier: Apache-2.0
// Names of the scheduler flags (-b): the first two bits have names of their own for sh and mh.

const bitOf: Readonly<Record<string, number>> = {
  'flag-1': 1,
  'flag-2': 2,
  'flag-3': 4,
  'sh-fallback': 1,
  'sh-port': 2,
  'mh-fallback': 1,
  'mh-port': 2,
};

/** The bit of a name, and the scheduler it belongs to (undefined: any). Undefined for an unknown name. */
export function flagOf(name: string): { readonly bit: number; readonly owner: string | undefined } | undefined {
  const bit = bitOf[name];
  const owner = name.startsWith('flag-') ? undefined : name.split('-')[0];
  return bit === undefined ? undefined : { bit, owner };
}

/** Names of the bits that are set, as this scheduler calls them. */
export function flagNames(bits: number, scheduler: string): readonly string[] {
  const names = hasOwnNames(scheduler)
    ? [`${scheduler}-fallback`, `${scheduler}-port`, 'flag-3']
    : ['flag-1', 'flag-2', 'flag-3'];
  return names.filter((_, bit) => (bits & (1 << bit)) !== 0);
}

export function hasOwnNames(scheduler: string): boolean {
  return scheduler === 'sh' || scheduler === 'mh';
}

export const allFlagNames: readonly string[] = Object.keys(bitOf);
