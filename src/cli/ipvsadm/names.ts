// SPDX-License-Identifier: Apache-2.0
// Names of ports and hosts, both ways: /etc/services (Node has no getservbyport), and the name server with a bound,
// so that a listing does not hang on one that does not answer.
import { readFileSync } from 'node:fs';
import type { Protocol__Output } from '../../generated/fulcrum/v1/Protocol.js';
import type { Resolver } from './readers.js';

/** How keys are printed. */
export interface Names {
  host(address: string): string;
  port(port: number, protocol: Protocol__Output): string;
}

/** -n. */
export const numericNames: Names = { host: (address) => address, port: (port) => String(port) };

export interface PortNames {
  name(port: number, protocol: Protocol__Output): string | undefined;
  number(name: string, protocol: Protocol__Output): number | undefined;
}

const protocolWords: Readonly<Partial<Record<Protocol__Output, string>>> = {
  PROTOCOL_TCP: 'tcp',
  PROTOCOL_UDP: 'udp',
  PROTOCOL_SCTP: 'sctp',
};

/** Reads services(5): name, port/protocol, aliases. The first line that has a port names it. */
export function parseServicesFile(text: string): PortNames {
  const names = new Map<string, string>();
  const numbers = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [name, entry = '', ...aliases] = (line.split('#')[0] ?? '').trim().split(/\s+/);
    const [port = '', protocol = ''] = entry.split('/');
    if (!name || !/^\d+$/.test(port) || protocol === '') continue;
    setOnce(names, `${Number(port)}/${protocol}`, name);
    for (const word of [name, ...aliases]) setOnce(numbers, `${word}/${protocol}`, Number(port));
  }
  return {
    name: (port, protocol) => names.get(`${port}/${protocolWords[protocol]}`),
    number: (name, protocol) => numbers.get(`${name}/${protocolWords[protocol]}`),
  };
}

function setOnce<T>(map: Map<string, T>, key: string, value: T): void {
  if (!map.has(key)) map.set(key, value);
}

/** The machine's own services(5), read when first needed; a machine without one has no names. */
export function systemPortNames(path = '/etc/services'): PortNames {
  let loaded: PortNames | undefined;
  const load = (): PortNames => {
    loaded ??= parseServicesFile(readOrEmpty(path));
    return loaded;
  };
  return {
    name: (port, protocol) => load().name(port, protocol),
    number: (name, protocol) => load().number(name, protocol),
  };
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** What parse() needs, from the machine. */
export function systemResolver(ports: PortNames): Resolver {
  return {
    port: (name, protocol) => ports.number(name, protocol),
    host: async (name) => {
      const { lookup } = await import('node:dns/promises');
      return lookup(name, { family: 4 }).then(
        (found) => found.address,
        () => undefined,
      );
    },
  };
}

/** Address → host name, remembered; undefined if it has none. */
export type ReverseLookup = (address: string) => Promise<string | undefined>;

const longestWaitMs = 500;
const lookupsAtOnce = 32;

/** Asks hosts(5) and the name server (the machine's own, if none is given). Once that is late it is not asked again. */
export async function systemReverseLookup(nameServer?: string): Promise<ReverseLookup> {
  const { Resolver: DnsResolver } = await import('node:dns/promises');
  const resolver = new DnsResolver({ timeout: longestWaitMs, tries: 1 });
  if (nameServer !== undefined) resolver.setServers([nameServer]);
  let isSilent = false;
  return async (address) => {
    if (isSilent) return undefined;
    const began = performance.now();
    return resolver.reverse(address).then(
      ([name]) => name,
      () => {
        // A late answer and none at all both end as "not found": only the time tells.
        isSilent ||= performance.now() - began >= 0.9 * longestWaitMs;
        return undefined;
      },
    );
  };
}

/** Names for a set of addresses, looked up before anything is printed, so that printing stays pure. */
export class NameBook implements Names {
  readonly #ports: PortNames;
  readonly #lookup: ReverseLookup;
  readonly #hosts = new Map<string, string>();

  constructor(ports: PortNames, lookup: ReverseLookup) {
    this.#ports = ports;
    this.#lookup = lookup;
  }

  async learn(addresses: Iterable<string>): Promise<void> {
    const unknown = [...new Set(addresses)].filter((address) => !this.#hosts.has(address));
    for (let from = 0; from < unknown.length; from += lookupsAtOnce) {
      await Promise.all(unknown.slice(from, from + lookupsAtOnce).map((address) => this.#learnOne(address)));
    }
  }

  async #learnOne(address: string): Promise<void> {
    this.#hosts.set(address, (await this.#lookup(address)) ?? address);
  }

  host(address: string): string {
    return this.#hosts.get(address) ?? address;
  }

  port(port: number, protocol: Protocol__Output): string {
    return this.#ports.name(port, protocol) ?? String(port);
  }
}
