// SPDX-License-Identifier: Apache-2.0
// Masks of networks as lengths of prefixes.

/** "255.255.255.0" or "24"; 1 … 128. */
export function prefixLengthOf(text: string): number | undefined {
  if (/^\d{1,3}$/.test(text)) return Number(text) >= 1 && Number(text) <= 128 ? Number(text) : undefined;
  if (!/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) return undefined;
  const bits = text
    .split('.')
    .map((part) => Number(part).toString(2).padStart(8, '0'))
    .join('');
  return /^1+0*$/.test(bits) && bits.length === 32 ? bits.lastIndexOf('1') + 1 : undefined;
}
