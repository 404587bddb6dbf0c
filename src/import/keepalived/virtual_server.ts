// SPDX-License-Identifier: Apache-2.0
// virtual_server and real_server as they are written, without defaults and corrections: those are pool.ts's.
import { allFlagNames, flagOf } from '../../config/scheduler_flags.js';
import { largestWeight, type ServerSpecEntry } from '../../config/servers.js';
import { schedulers } from '../../config/services.js';
import { largestTimeout } from '../../config/timeouts.js';
import { prefixLengthOf } from '../mask.js';
import type { Place, Warn } from '../source.js';
import { mailAdvice, snmpAdvice } from './advice.js';
import type { Statement } from './blocks.js';
import { type Checker, type CheckerReader, checkerAdvice, checkerHandlers } from './checkers.js';
import { type Method, methodOf } from './method.js';
import { type Settings, serverSettings, type Writable } from './settings.js';
import { booleanOf, type Handlers, numberOf, readBlock, scriptOf, type Target, targetOf, wordOf } from './values.js';

export interface RealServer {
  readonly place: Place;
  readonly target: Target;
  readonly settings: Settings;
  readonly method?: Method | undefined;
  readonly upperThreshold?: number | undefined;
  readonly lowerThreshold?: number | undefined;
  readonly notifyUp?: readonly string[] | undefined;
  readonly notifyDown?: readonly string[] | undefined;
  /** Checkers need what the virtual server hands down, which may be written below them. */
  readonly checkers: readonly ((outer: Settings) => Checker | undefined)[];
}

export interface SorryServer {
  readonly place: Place;
  readonly target: Target;
}

export interface VirtualServer {
  readonly place: Place;
  readonly settings: Settings;
  readonly scheduler?: string | undefined;
  readonly flags: number;
  readonly method?: Method | undefined;
  readonly protocol?: 'tcp' | 'udp' | 'sctp' | undefined;
  readonly isIpv6?: boolean | undefined;
  readonly persistenceTimeout?: number | undefined;
  readonly persistencePrefix?: number | undefined;
  readonly persistenceEngine?: string | undefined;
  readonly onePacket: boolean;
  readonly quorum?: number | undefined;
  readonly hysteresis?: number | undefined;
  readonly quorumUp?: readonly string[] | undefined;
  readonly quorumDown?: readonly string[] | undefined;
  readonly omega: boolean;
  readonly sorryServer?: SorryServer | undefined;
  readonly sorryMethod?: Method | undefined;
  readonly sorryInhibit: boolean;
  readonly servers: readonly RealServer[];
}

const virtualServerAdvice: Readonly<Record<string, string>> = {
  ha_suspend: 'checks go on whether or not the director has the address',
  smtp_alert: mailAdvice,
  snmp_name: snmpAdvice,
  hashed: 'of no consequence; left out',
};

const realServerAdvice: Readonly<Record<string, string>> = {
  ...checkerAdvice,
  smtp_alert: mailAdvice,
  snmp_name: snmpAdvice,
};

/** What a bare persistence_timeout means, and what persistence_granularity and port 0 switch on. */
export const defaultPersistence = 360;

export type CheckerOf = (statement: Statement, reader: CheckerReader, outer: Settings) => Checker | undefined;

export function readVirtualServer(statement: Statement, checkerOf: CheckerOf, warn: Warn): VirtualServer {
  const settings: Writable<Settings> = {};
  const servers: RealServer[] = [];
  const read: Writable<VirtualServer> = {
    place: statement.place,
    settings,
    flags: 0,
    onePacket: false,
    omega: false,
    sorryInhibit: false,
    servers,
  };
  const handlers: Handlers = {
    ...serverSettings(settings, warn),
    ...schedulingHandlers(read, warn),
    ...persistenceHandlers(read, warn),
    ...quorumHandlers(read, warn),
    real_server: (one) => {
      const server = readRealServer(one, checkerOf, warn);
      if (server !== undefined) servers.push(server);
    },
  };
  readBlock(statement.body ?? [], { handlers, advice: virtualServerAdvice, where: 'virtual_server' }, warn);
  return read;
}

function schedulingHandlers(read: Writable<VirtualServer>, warn: Warn): Handlers {
  const scheduler = (one: Statement): void => {
    const name = wordOf(one) ?? '';
    if ((schedulers as readonly string[]).includes(name)) read.scheduler = name;
    else warn(one.place, `${one.keyword} "${name}" is not a scheduler; ignored`);
  };
  const method = (one: Statement): void => {
    read.method = methodOf(one, warn) ?? read.method;
  };
  const flag = (one: Statement): void => {
    read.flags |= flagOf(one.keyword)?.bit ?? 0;
  };
  return {
    lvs_sched: scheduler,
    lb_algo: scheduler,
    lvs_method: method,
    lb_kind: method,
    ...Object.fromEntries(allFlagNames.map((name) => [name, flag])),
    ops: () => {
      read.onePacket = true;
    },
    protocol: (one) => {
      const name = (wordOf(one) ?? '').toLowerCase();
      if (name === 'tcp' || name === 'udp' || name === 'sctp') read.protocol = name;
      else warn(one.place, `protocol "${wordOf(one) ?? ''}" is none of TCP, UDP, SCTP; ignored`);
    },
    ip_family: (one) => {
      const name = wordOf(one) ?? '';
      if (name === 'inet' || name === 'inet6') read.isIpv6 = name === 'inet6';
      else warn(one.place, `ip_family "${name}" is neither inet nor inet6; ignored`);
    },
  };
}

function persistenceHandlers(read: Writable<VirtualServer>, warn: Warn): Handlers {
  return {
    persistence_timeout: (one) => {
      const seconds = one.words.length === 0 ? defaultPersistence : numberOf(one, 1, largestTimeout, warn);
      read.persistenceTimeout = seconds ?? read.persistenceTimeout;
    },
    persistence_granularity: (one) => {
      const prefix = prefixLengthOf(wordOf(one) ?? '');
      if (prefix === undefined)
        warn(one.place, `persistence_granularity "${wordOf(one) ?? ''}" is not a mask; ignored`);
      else read.persistencePrefix = prefix;
    },
    persistence_engine: (one) => {
      read.persistenceEngine = wordOf(one);
      warn(
        one.place,
        'persistence_engine is written to the file, but persistence engines are not built yet: the director refuses the service',
      );
    },
  };
}

function quorumHandlers(read: Writable<VirtualServer>, warn: Warn): Handlers {
  return {
    omega: (one) => {
      read.omega = booleanOf(one, warn) ?? read.omega;
    },
    quorum: (one) => {
      read.quorum = numberOf(one, 1, largestWeight, warn) ?? read.quorum;
    },
    hysteresis: (one) => {
      read.hysteresis = numberOf(one, 0, largestWeight, warn) ?? read.hysteresis;
    },
    quorum_up: (one) => {
      read.quorumUp = scriptOf(one, warn) ?? read.quorumUp;
    },
    quorum_down: (one) => {
      read.quorumDown = scriptOf(one, warn) ?? read.quorumDown;
    },
    sorry_server: (one) => {
      const target = targetOf(one, warn);
      if (target !== undefined) read.sorryServer = { place: one.place, target };
    },
    sorry_server_inhibit: (one) => {
      read.sorryInhibit = booleanOf(one, warn) ?? read.sorryInhibit;
    },
    sorry_server_lvs_method: (one) => {
      read.sorryMethod = methodOf(one, warn) ?? read.sorryMethod;
    },
  };
}

function readRealServer(statement: Statement, checkerOf: CheckerOf, warn: Warn): RealServer | undefined {
  const target = targetOf(statement, warn);
  if (target === undefined) return undefined;
  const settings: Writable<Settings> = {};
  const checkers: ((outer: Settings) => Checker | undefined)[] = [];
  const read: Writable<RealServer> = { place: statement.place, target, settings, checkers };
  const method = (one: Statement): void => {
    read.method = methodOf(one, warn) ?? read.method;
  };
  const handlers: Handlers = {
    ...serverSettings(settings, warn),
    ...checkerHandlers((one, reader) => {
      checkers.push((outer) => checkerOf(one, reader, outer));
    }),
    lvs_method: method,
    lb_kind: method,
    uthreshold: (one) => {
      read.upperThreshold = numberOf(one, 0, largestWeight, warn);
    },
    lthreshold: (one) => {
      read.lowerThreshold = numberOf(one, 0, largestWeight, warn);
    },
    notify_up: (one) => {
      read.notifyUp = scriptOf(one, warn);
    },
    notify_down: (one) => {
      read.notifyDown = scriptOf(one, warn);
    },
  };
  readBlock(statement.body ?? [], { handlers, advice: realServerAdvice, where: 'real_server' }, warn);
  return read;
}

/** Thresholds as the API takes them: the lower one is not above the upper one. */
export function thresholdsOf(
  server: RealServer,
  warn: Warn,
): Pick<ServerSpecEntry, 'upper_threshold' | 'lower_threshold'> {
  const { upperThreshold: upper = 0, lowerThreshold: lower = 0, place } = server;
  const isPossible = lower <= upper;
  if (!isPossible) warn(place, `lthreshold ${lower} is above uthreshold ${upper}, which LVS refuses; left out`);
  return {
    ...(upper !== 0 && { upper_threshold: upper }),
    ...(lower !== 0 && isPossible && { lower_threshold: lower }),
  };
}
