// SPDX-License-Identifier: Apache-2.0
// Addresses in foreign files: written in one form, so that equal ones are found, and only those that packets can be sent to.
import { notUnicast, parseAddress } from '../manager/address.js';

/** The address in the director's form, or why it is none that can be used. */
export function usableAddress(text: string): { readonly address: string } | { readonly reason: string } {
  const address = parseAddress(text);
  if (address === undefined) return { reason: `"${text}" is not an IPv4 or IPv6 address` };
  const why = notUnicast(address);
  return why === undefined ? { address: address.text } : { reason: `${text} ${why}` };
}
