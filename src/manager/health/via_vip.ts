// SPDX-License-Identifier: Apache-2.0
// A check that goes the way of the server's clients, to the VIP. What it finds wrong there it compares with what the
// server says on its own address, so that the operator reads which of the two is the matter.
import type { Check__Output } from '../../generated/fulcrum/v1/Check.js';
import type { ForwardingMethod__Output } from '../../generated/fulcrum/v1/ForwardingMethod.js';
import type { Protocol__Output } from '../../generated/fulcrum/v1/Protocol.js';
import { FulcrumError, joinPath } from '../../grpc/errors.js';
import type { ServiceKey } from '../nouns.js';
import { invalid } from './fields.js';
import type { ClientWay, Failure, Prober, Result, Target } from './prober.js';

type Kind = NonNullable<Check__Output['kind']>;

const protocols: Readonly<Partial<Record<Kind, Protocol__Output>>> = {
  tcp: 'PROTOCOL_TCP',
  http: 'PROTOCOL_TCP',
  smtp: 'PROTOCOL_TCP',
  grpc: 'PROTOCOL_TCP',
  dns: 'PROTOCOL_UDP',
  udp: 'PROTOCOL_UDP',
};

export function goesToVip({ via }: Pick<Check__Output, 'via'>): boolean {
  return via === 'CHECK_VIA_VIP';
}

/** Throws a FulcrumError that names the field below `path` ("health") of a check that cannot go to the service's VIP. */
export function checkVias(checks: readonly Check__Output[], service: ServiceKey, path: string): void {
  for (const [index, check] of checks.entries())
    if (goesToVip(check)) checkViaVip(check, service, joinPath(path, `checks[${index}]`));
}

function checkViaVip(check: Check__Output, service: ServiceKey, path: string): void {
  const within = (field: string): string => joinPath(path, field);
  const protocol = check.kind === undefined ? undefined : protocols[check.kind];
  if (protocol === undefined) throw invalid(within('via'), `a ${check.kind} check cannot be sent to a VIP`);
  if (service.fwmark !== 0) throw invalid(within('via'), 'a service by mark has no VIP that a check could be sent to');
  if (service.protocol !== protocol)
    throw invalid(within('via'), `a ${check.kind} check does not speak the protocol of the service`);
  if (check.address !== '') throw invalid(within('address'), 'must not be given: the check goes to the VIP');
  if (check.source !== '') throw invalid(within('source'), 'must not be given: the dataplane chooses it for a VIP');
  if (service.port !== 0 && check.port !== 0)
    throw invalid(within('port'), 'must not be given: the check goes to the port of the service');
  if (service.port === 0 && check.port === 0)
    throw invalid(within('port'), 'must be given: the service has none that a check could be sent to');
  // Of a server that never gets anything nothing is heard either.
  if (check.udp && !check.udp.requireReply)
    throw invalid(within('udp.require_reply'), 'must be set: to a VIP, silence says nothing');
}

/** The port of the VIP that a check goes to. */
export function virtualPort(service: ServiceKey, checkPort: number | undefined): number {
  return service.port || (checkPort ?? 0);
}

/** `port`: of the check. */
export function viaVip(direct: Prober, port: number | undefined): Prober {
  return {
    probe: async (target, timeoutMs, signal) => {
      const { address, port: ownPort, clientWay } = target;
      if (clientWay === undefined) throw new Error('a check of a VIP without a way there');
      const way = await clientWay(port ?? 0);
      const comparison = new Comparison(direct, { address, port: ownPort }, timeoutMs, signal);
      try {
        const result = await direct.probe(placeOf(way), timeoutMs, signal);
        if (result.ok) return result;
        const own = await comparison.result();
        if (!way.isOpen())
          throw new FulcrumError({ code: 'FAILED_PRECONDITION', message: 'the way to the VIP has gone meanwhile' });
        return { ...result, reason: reasonOf(way.method, result, own) };
      } finally {
        await comparison.end();
      }
    },
  };
}

function placeOf({ address, port, source, sourcePorts }: ClientWay): Target {
  return { address, port, source, sourcePorts };
}

/**
 * The same check, made of the server's own address: when the one that goes to the VIP has failed, or when half of its
 * time is over, so that both have ended when it is.
 */
class Comparison {
  readonly #prober: Prober;
  readonly #target: Target;
  readonly #deadline: number;
  readonly #signal: AbortSignal;
  readonly #controller = new AbortController();
  readonly #abort = (): void => this.#controller.abort();
  readonly #timer: NodeJS.Timeout;
  #asked: Promise<Result | undefined> | undefined;

  constructor(prober: Prober, target: Target, timeoutMs: number, signal: AbortSignal) {
    this.#prober = prober;
    this.#target = target;
    this.#deadline = performance.now() + timeoutMs;
    this.#signal = signal;
    signal.addEventListener('abort', this.#abort);
    this.#timer = setTimeout(() => this.#ask(), timeoutMs / 2);
  }

  /** Undefined if this host could not ask. */
  result(): Promise<Result | undefined> {
    return this.#ask();
  }

  async end(): Promise<void> {
    clearTimeout(this.#timer);
    this.#signal.removeEventListener('abort', this.#abort);
    this.#abort();
    await this.#asked;
  }

  #ask(): Promise<Result | undefined> {
    this.#asked ??= this.#prober
      .probe(this.#target, Math.max(1, Math.round(this.#deadline - performance.now())), this.#controller.signal)
      .catch(() => undefined);
    return this.#asked;
  }
}

const questions: Readonly<Record<ForwardingMethod__Output, string>> = {
  FORWARDING_METHOD_UNSPECIFIED: 'is the VIP on lo, arp_ignore set?',
  FORWARDING_METHOD_DR: 'is the VIP on lo, arp_ignore set?',
  FORWARDING_METHOD_TUN: 'does it decapsulate?',
  FORWARDING_METHOD_NAT: 'is its gateway the director?',
};

function reasonOf(method: ForwardingMethod__Output, failure: Failure, own: Result | undefined): string {
  if (own === undefined) return `on the VIP: ${failure.reason}`;
  // That one had less time.
  if (!own.ok) return own.contact === 'none' ? failure.reason : own.reason;
  if (failure.contact === 'none') return `answers on its own address but not on the VIP: ${questions[method]}`;
  if (failure.contact === 'refused') return 'answers on its own address but refuses on the VIP: does it listen there?';
  return `is well on its own address, but on the VIP: ${failure.reason}`;
}
