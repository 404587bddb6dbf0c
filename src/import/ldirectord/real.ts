// SPDX-License-Identifier: Apache-2.0
// "real = HOST[->HOST][:PORT] gate|masq|ipip [weight] ["request", "receive"] ["<l:N>"] ["<u:N>"]": one line, or one for
// a range of hosts, as real servers.
import { formatEndpoint, largestPort, parseDecimal } from '../../config/keys.js';
import { parseAddress } from '../../config/prefix.js';
import { largestWeight, type ServerSpecEntry } from '../../config/servers.js';
import { usableAddress } from '../address.js';
import { addressesBetween } from '../range.js';
import type { Place, Warn } from '../source.js';
import { servicePorts } from './checks.js';
import type { Directive } from './lines.js';

export interface Real {
  readonly place: Place;
  readonly entry: ServerSpecEntry;
  readonly address: string;
  /** As it was written, else the service's; 0 for none. */
  readonly port: number;
  /** Where the service sends to: only masq has ports of its own. */
  readonly servicePort: number;
  readonly request: string | undefined;
  readonly receive: string | undefined;
}

const methods: Readonly<Record<string, string>> = { gate: 'dr', masq: 'nat', ipip: 'tun' };

/** "10.0.0.1:80", "[2001:db8::1]:http", "10.0.0.1"; or why it is none of them. */
export function hostAndPort(text: string): { readonly address: string; readonly port: number | undefined } | string {
  const [, bracketed, plain, portText] =
    /^(?:\[([^\]]*)\]|([^:]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*))(?::([^:]+))?$/.exec(text) ?? [];
  const address = bracketed ?? plain ?? '';
  if (address === '') return `"${text}" is not a host`;
  const usable = usableAddress(address);
  if ('reason' in usable) return `${usable.reason} (names are not looked up)`;
  if (portText === undefined) return { address: usable.address, port: undefined };
  const port = parseDecimal(portText, 0, largestPort) ?? servicePorts.get(portText);
  return port === undefined ? `"${portText}" is not a port` : { address: usable.address, port };
}

export function readReal(
  directive: Directive,
  service: { readonly port: number; readonly mark: number },
  warn: Warn,
): readonly Real[] {
  const { key, value, place } = directive;
  const [, hosts = '', rest = ''] = /^(\S+)\s*(.*)$/.exec(value) ?? [];
  const [, first, last] = /^(.*?)->(.*)$/.exec(hosts) ?? [];
  const target = hostAndPort(last ?? hosts);
  if (typeof target === 'string') {
    warn(place, `${key} "${hosts}": ${target}; skipped`);
    return [];
  }
  const addresses = first === undefined ? [target.address] : rangeOf(first, target.address);
  if (addresses === undefined) {
    warn(place, `${key} "${hosts}" is not a range of addresses; skipped`);
    return [];
  }
  const { method, weight, words, limits } = optionsOf(rest, directive, warn);
  const writtenPort = target.port ?? service.port;
  const port = portOf(writtenPort, method, service, place, warn);
  return addresses.map((address) => ({
    place,
    address,
    port: writtenPort,
    servicePort: port,
    request: words[0],
    receive: words[1],
    entry: { address: formatEndpoint(address, port), method, weight, ...limits },
  }));
}

/** Only masq has ports of its own. */
function portOf(
  written: number,
  method: string,
  service: { readonly port: number; readonly mark: number },
  place: Place,
  warn: Warn,
): number {
  if (method === 'nat') return written === 0 ? service.port : written;
  if (written !== 0 && written !== service.port) {
    const why = service.mark !== 0 ? 'a mark has none' : `the service has ${service.port}`;
    warn(place, `port ${written} is ignored with ${method.toUpperCase()}: ${why}`);
  }
  return service.port;
}

function rangeOf(first: string, last: string): readonly string[] | undefined {
  const from = parseAddress(first.replace(/^\[(.*)\]$/, '$1'));
  const to = parseAddress(last);
  if (from === undefined || to === undefined || from.family !== to.family) return undefined;
  const addresses = addressesBetween(from.value, to.value, from.family);
  return typeof addresses === 'string' ? undefined : addresses;
}

interface Options {
  readonly method: string;
  readonly weight: number;
  /** In quotes: request and receive. */
  readonly words: readonly string[];
  readonly limits: Pick<ServerSpecEntry, 'upper_threshold' | 'lower_threshold'>;
}

function optionsOf(text: string, { key, place }: Directive, warn: Warn): Options {
  const quoted = [...text.matchAll(/"((?:\\"|[^"])*)"/g)].map((match) => (match[1] ?? '').replaceAll('\\"', '"'));
  const limit = (letter: string): number | undefined =>
    parseDecimal(
      quoted.map((word) => new RegExp(`^<${letter}:(\\d+)>$`).exec(word)?.[1]).find((found) => found !== undefined) ??
        '',
      1,
      largestWeight,
    );
  const upper = limit('u');
  const lower = limit('l');
  const bare = text
    .replace(/"(?:\\"|[^"])*"/g, ' ')
    .replaceAll(',', ' ')
    .trim()
    .split(/\s+/)
    .filter((word) => word !== '');
  const forwarding = bare.find((word) => Object.hasOwn(methods, word)) ?? 'gate';
  const weightText = bare.find((word) => /^\d+$/.test(word));
  const weight = weightText === undefined ? 1 : parseDecimal(weightText, 0, largestWeight);
  if (weight === undefined) warn(place, `${key}: weight ${weightText} is above ${largestWeight}; 1 instead`);
  const unknown = bare.filter((word) => word !== forwarding && word !== weightText);
  if (unknown.length > 0) warn(place, `${key}: "${unknown.join(' ')}" is unknown; ignored`);
  const isPossible = (lower ?? 0) <= (upper ?? 0);
  if (!isPossible) warn(place, `${key}: lower threshold ${lower} is above the upper one, which LVS refuses; left out`);
  return {
    method: methods[forwarding] ?? 'dr',
    weight: weight ?? 1,
    words: quoted.filter((word) => !/^<[lu]:\d+>$/.test(word)),
    limits: {
      ...(upper !== undefined && { upper_threshold: upper }),
      ...(lower !== undefined && isPossible && { lower_threshold: lower }),
    },
  };
}
