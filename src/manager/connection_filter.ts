// SPDX-License-Identifier: Apache-2.0
// Filters of connections as they come in requests, checked and in normal form.
import type { ConnectionFilter, ConnectionFilter__Output } from '../generated/fulcrum/v1/ConnectionFilter.js';
import { joinPath, quote } from '../grpc/errors.js';
import { readPrefix } from './prefixes.js';
import { invalid, outOfRange, readAddress, readServiceKey } from './validate.js';

/** LVS's names, of TCP, SCTP, UDP and persistence templates. */
const states: readonly string[] = [
  ...'NONE ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK LISTEN SYNACK'.split(' '),
  ...'INIT1 INIT C-SENT C-REPLIED C-WAIT COOKIE C-ECHOED S-SENT S-RECEIVED S-ACK-SENT REJECTED CLOSED'.split(' '),
  'UDP',
  'ASSURED',
];
const largestPort = 65_535;

/** Field names are those of the request below `path`. */
export function readConnectionFilter(given: ConnectionFilter__Output | null, path: string): ConnectionFilter {
  if (given === null) return {};
  const at = (field: string): string => joinPath(path, field);
  const { serverAddress, serverPort, client, protocol, state } = given;
  if (typeof protocol === 'number') throw invalid(at('protocol'), `${protocol} is not a known value`);
  if (serverPort !== undefined && serverAddress === '')
    throw invalid(at('server_port'), 'is the port of a server whose address is not given');
  if ((serverPort ?? 0) > largestPort) throw outOfRange(at('server_port'), `${serverPort} is not a port`);
  if (state !== '' && !states.includes(state))
    throw invalid(at('state'), `${quote(state)} is not a state of connections: one of ${states.join(', ')} is needed`);
  return {
    ...(given.service && { service: readServiceKey(given.service, at('service')) }),
    ...(serverAddress !== '' && { serverAddress: readAddress(serverAddress, at('server_address')).text }),
    ...(serverPort !== undefined && { serverPort }),
    ...(client !== '' && { client: readPrefix(client, at('client')).text }),
    ...(protocol !== 'PROTOCOL_UNSPECIFIED' && { protocol }),
    ...(state !== '' && { state }),
  };
}

/** "server 10.0.0.11:80, state ESTABLISHED"; "all". */
export function filterText(filter: ConnectionFilter, service: string): string {
  const server =
    filter.serverPort === undefined ? filter.serverAddress : `${filter.serverAddress} port ${filter.serverPort}`;
  const parts = Object.entries({
    service,
    server,
    client: filter.client,
    protocol: filter.protocol,
    state: filter.state,
  })
    .filter(([, value]) => value !== undefined && value !== '')
    .map(([name, value]) => `${name} ${value}`);
  return parts.length === 0 ? 'all' : parts.join(', ');
}
