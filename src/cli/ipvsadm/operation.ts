// SPDX-License-Identifier: Apache-2.0
// A finished draft of an edit → the API's operation of the same meaning.

import { flagOf } from '../../config/scheduler_flags.js';
import type { Operation } from '../../generated/fulcrum/v1/Operation.js';
import type { ServerKey__Output } from '../../generated/fulcrum/v1/ServerKey.js';
import type { ServerSpec } from '../../generated/fulcrum/v1/ServerSpec.js';
import type { ServiceSpec } from '../../generated/fulcrum/v1/ServiceSpec.js';
import { UsageError } from './messages.js';
import type { CommandName } from './options.js';
import { type Draft, fullMask } from './readers.js';

/** Commands that change something. */
export type EditName = Exclude<
  CommandName,
  'list' | 'save' | 'restore' | 'start-daemon' | 'stop-daemon' | 'help' | 'version'
>;

export function operationOf(draft: Draft, command: EditName, timeouts: readonly number[]): Operation {
  const { service, server } = draft;
  switch (command) {
    case 'add-service':
      return { addService: { key: service, spec: serviceSpec(draft) } };
    case 'edit-service':
      return { editService: { key: service, spec: serviceSpec(draft) } };
    case 'delete-service':
      return { deleteService: service };
    case 'add-server':
      return { addServer: { service, key: reachedServer(draft), spec: serverSpec(draft) } };
    case 'edit-server':
      return { editServer: { service, key: reachedServer(draft), spec: serverSpec(draft) } };
    case 'delete-server':
      return { deleteServer: { service, key: server } };
    case 'flush':
      return { flush: {} };
    case 'zero':
      return { zero: draft.given.has('service-address') ? { service } : {} };
    case 'set': {
      const [tcpS = 0, tcpFinS = 0, udpS = 0] = timeouts;
      return { setTimeouts: { tcpS, tcpFinS, udpS } };
    }
  }
}

function serviceSpec(draft: Draft): ServiceSpec {
  return {
    scheduler: draft.scheduler,
    schedulerFlags: flagBits(draft.flagNames, draft.scheduler),
    persistenceTimeoutS: draft.persistence,
    persistencePrefix: prefixOf(draft),
    persistenceEngine: draft.engine,
    onePacket: draft.given.has('ops'),
  };
}

function flagBits(names: string, scheduler: string): number {
  if (names === '') return 0;
  return names.split(',').reduce((bits, name) => {
    const flag = flagOf(name);
    if (flag === undefined) throw new UsageError(`invalid scheduler flag \`${name}'`);
    if (flag.owner !== undefined && flag.owner !== scheduler) {
      throw new UsageError(`incompatible scheduler flag \`${name}'`);
    }
    return bits | flag.bit;
  }, 0);
}

/** Only NAT can change the port, and a mark has none: otherwise the server is reached at the service's port. */
function reachedServer(draft: Draft): ServerKey__Output {
  const keepsPort = draft.method === 'FORWARDING_METHOD_NAT' || draft.service.fwmark !== 0;
  return keepsPort ? draft.server : { ...draft.server, port: draft.service.port };
}

function serverSpec(draft: Draft): ServerSpec {
  const { method, weight, upperThreshold, lowerThreshold } = draft;
  return {
    method,
    weight,
    upperThreshold,
    lowerThreshold,
    ...(method === 'FORWARDING_METHOD_TUN' && tunnelSpec(draft)),
  };
}

const tunnelTypeOf = { ipip: 'TUNNEL_TYPE_IPIP', gue: 'TUNNEL_TYPE_GUE', gre: 'TUNNEL_TYPE_GRE' } as const;

function tunnelSpec(draft: Draft): ServerSpec {
  const { given, tunnelType, tunnelPort } = draft;
  const tunnelChecksum = given.has('tun-csum')
    ? 'TUNNEL_CHECKSUM_CSUM'
    : given.has('tun-remcsum')
      ? 'TUNNEL_CHECKSUM_REMCSUM'
      : given.has('tun-nocsum')
        ? 'TUNNEL_CHECKSUM_NOCSUM'
        : 'TUNNEL_CHECKSUM_UNSPECIFIED';
  return { tunnelType: tunnelTypeOf[tunnelType], tunnelPort, tunnelChecksum };
}

/** 0 for the full address, as the API has it. */
function prefixOf(draft: Draft): number {
  if (draft.isIpv6) return draft.mask === 128 ? 0 : draft.mask;
  const prefix = draft.mask.toString(2).padStart(32, '0').indexOf('0');
  if (prefix < 0) return 0;
  const isContiguous = prefix > 0 && draft.mask === fullMask - (2 ** (32 - prefix) - 1);
  if (!isContiguous) throw new UsageError('illegal virtual server persistent mask specified');
  return prefix;
}
