// SPDX-License-Identifier: Apache-2.0
// ipvsadm -S: the rules as the command lines that make them. Thresholds, timeouts and the list order of servers are
// not part of it, as with ipvsadm.
import type { ServerSpec__Output } from '../../generated/fulcrum/v1/ServerSpec.js';
import type { ServiceKey__Output } from '../../generated/fulcrum/v1/ServiceKey.js';
import { endpointName, isLoopback, maskText, shownFlags } from './listing.js';
import { isIpv6Service, type ListedServer, type ListedService } from './model.js';
import type { Names } from './names.js';

/** One line for the service, then one for each server. */
export function ruleLines(service: ListedService, names: Names): readonly string[] {
  const name = serviceOption(service.key, names);
  return [
    ['-A', name, ...serviceOptions(service)].join(' '),
    ...service.servers.map((server) => ['-a', name, ...serverOptions(server, service.key, names)].join(' ')),
  ];
}

const serviceLetters = {
  PROTOCOL_UNSPECIFIED: '-t',
  PROTOCOL_TCP: '-t',
  PROTOCOL_UDP: '-u',
  PROTOCOL_SCTP: '--sctp-service',
} as const;

function serviceOption(key: ServiceKey__Output, names: Names): string {
  if (key.fwmark !== 0) return `-f ${key.fwmark}${isIpv6Service(key) ? ' -6' : ''}`;
  return `${serviceLetters[key.protocol]} ${endpointName(key.address, key.port, key.protocol, names)}`;
}

function serviceOptions({ key, spec }: ListedService): readonly string[] {
  const isPersistent = spec.persistenceTimeoutS !== 0;
  const flags = restorableFlags(spec.schedulerFlags, spec.scheduler);
  const options = [
    `-s ${spec.scheduler}`,
    isPersistent && `-p ${spec.persistenceTimeoutS}`,
    isPersistent && spec.persistencePrefix !== 0 && `-M ${maskText(key, spec.persistencePrefix)}`,
    spec.persistenceEngine !== '' && `--pe ${spec.persistenceEngine}`,
    spec.onePacket && '-o',
    flags !== '' && `-b ${flags}`,
  ];
  return options.filter((option) => option !== false);
}

/** The third bit alone has no name with sh and mh; "flag-3" restores it. */
function restorableFlags(bits: number, scheduler: string): string {
  const names = shownFlags(bits, scheduler);
  return (names.length === 0 && bits !== 0 ? ['flag-3'] : names).join(',');
}

/** A server that is the director itself is saved without its method, as with ipvsadm. */
function methodLetter({ key, spec }: Pick<ListedServer, 'key' | 'spec'>): string {
  return isLoopback(key.address) ? '-g' : methodLetters[spec.method];
}

const methodLetters = {
  FORWARDING_METHOD_UNSPECIFIED: '-g',
  FORWARDING_METHOD_NAT: '-m',
  FORWARDING_METHOD_DR: '-g',
  FORWARDING_METHOD_TUN: '-i',
} as const;

function serverOptions({ key, spec }: ListedServer, service: ServiceKey__Output, names: Names): readonly string[] {
  return [
    `-r ${endpointName(key.address, key.port, service.protocol, names)}`,
    methodLetter({ key, spec }),
    `-w ${spec.weight ?? 1}`,
    ...(spec.method === 'FORWARDING_METHOD_TUN' ? tunnelOptions(spec) : []),
  ];
}

const checksumOptions = {
  TUNNEL_CHECKSUM_UNSPECIFIED: '--tun-nocsum',
  TUNNEL_CHECKSUM_NOCSUM: '--tun-nocsum',
  TUNNEL_CHECKSUM_CSUM: '--tun-csum',
  TUNNEL_CHECKSUM_REMCSUM: '--tun-remcsum',
} as const;

function tunnelOptions(spec: ServerSpec__Output): readonly string[] {
  switch (spec.tunnelType) {
    case 'TUNNEL_TYPE_GUE':
      return ['--tun-type gue', `--tun-port ${spec.tunnelPort}`, checksumOptions[spec.tunnelChecksum]];
    case 'TUNNEL_TYPE_GRE':
      return ['--tun-type gre', checksumOptions[spec.tunnelChecksum]];
    default:
      return ['--tun-type ipip'];
  }
}
