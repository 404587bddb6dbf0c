// SPDX-License-Identifier: Apache-2.0
// A scenario in the making: what has been configured so far and which clients have been seen, so that what comes next
// can refer to it.
import { addToAddress, formatEndpoint } from '../../bytes.js';
import type { ScenarioEvent } from '../../scenario.js';
import type { Feature } from './options.js';
import type { Random } from './random.js';

export type Protocol = 'tcp' | 'udp' | 'sctp';
export type Method = 'dr' | 'nat' | 'tun';

export interface DraftServer {
  /** As it is given to -r. */
  readonly name: string;
  readonly address: string;
  /** Where NAT sends to; 0: the port that the client asked for. */
  readonly port: number;
  readonly method: Method;
  /** Of a tunnel: the words that choose its type. */
  readonly tunnel: string;
}

export interface DraftService {
  /** As it is given to -A: "-t 192.0.2.1:80". */
  readonly spec: string;
  /** Of a mark service: the protocol that its mark rules are about. */
  readonly protocol: Protocol;
  readonly address: string;
  /** Ports that clients ask for. */
  readonly ports: readonly number[];
  readonly isIpv6: boolean;
  readonly mark: number | undefined;
  readonly isPersistent: boolean;
  readonly scheduler: string;
  readonly servers: DraftServer[];
}

/** Somebody who has sent something to a service. */
export interface Client {
  readonly src: string;
  readonly dst: string;
  readonly service: DraftService;
}

export class Draft {
  readonly random: Random;
  readonly config: string[] = [];
  readonly events: ScenarioEvent[] = [];
  readonly services: DraftService[] = [];
  readonly clients: Client[] = [];
  readonly isIpv6: boolean;
  /** Schedulers whose choices do not depend on how connections are spread over workers. */
  readonly isForManyWorkers: boolean;
  readonly #features: ReadonlySet<Feature>;
  #clientsMade = 0;

  constructor(random: Random, features: ReadonlySet<Feature>, isIpv6: boolean, isForManyWorkers: boolean) {
    this.random = random;
    this.isIpv6 = isIpv6;
    this.isForManyWorkers = isForManyWorkers;
    this.#features = features;
  }

  has(feature: Feature): boolean {
    return this.#features.has(feature);
  }

  add(event: ScenarioEvent): void {
    this.events.push(event);
  }

  /** An address and port that nobody has used yet. */
  newClient(isIpv6: boolean): { readonly address: string; readonly port: number } {
    const random = this.random;
    const base = isIpv6 ? '2001:db8:aa::1' : random.pick(['198.51.100.1', '198.51.100.1', '203.0.113.1', '172.16.5.1']);
    const address = addToAddress(base, 7 * this.#clientsMade++ + random.int(0, 6));
    const port = random.chance(0.03) ? random.pick([20, 0, 1, 65535]) : random.int(1024, 60000);
    return { address, port };
  }

  pickService(): DraftService | undefined {
    return this.services.length === 0 ? undefined : this.random.pick(this.services);
  }

  /** A client of that service that has been seen, or one that has not. */
  pickClient(service: DraftService, knownShare: number): Client {
    const known = this.clients.filter((client) => client.service === service);
    if (known.length > 0 && this.random.chance(knownShare)) return this.random.pick(known);
    const src = formatEndpoint(this.newClient(service.isIpv6));
    const client = { src, dst: this.destination(service), service };
    this.clients.push(client);
    return client;
  }

  destination(service: DraftService): string {
    return formatEndpoint({ address: service.address, port: this.random.pick(service.ports) });
  }
}
