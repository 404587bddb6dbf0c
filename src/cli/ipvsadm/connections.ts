// SPDX-License-Identifier: Apache-2.0
// ipvsadm -L -c: the connection table, a line for each entry. Pure.
import type { Connection__Output } from '../../generated/fulcrum/v1/Connection.js';
import { endpointName, protocolTitle } from './listing.js';
import type { Names } from './names.js';
import { left } from './numbers.js';

export function connectionTitleLines(withEngine: boolean): readonly string[] {
  const title = `pro expire state       ${left('source', 18)} ${left('virtual', 18)} destination`;
  return ['IPVS connection entries', withEngine ? `${title}        pe name          pe_data` : title];
}

/** A template of a fwmark service has protocol "IP", and its mark as address. */
export function connectionLine(connection: Connection__Output, names: Names, withEngine: boolean): string {
  const { protocol, state, expiresMs } = connection;
  const client = endpointName(connection.clientAddress, connection.clientPort, protocol, names);
  const virtual = endpointName(connection.virtualAddress, connection.virtualPort, protocol, names);
  const server = endpointName(connection.serverAddress, connection.serverPort, protocol, names);
  const start = `${left(protocolTitle(protocol), 3)} ${left(minutes(expiresMs), 6)} ${left(state, 11)}`;
  const line = `${start} ${left(client, 18)} ${left(virtual, 18)}`;
  if (!withEngine || connection.persistenceEngine === '') return `${line} ${server}`;
  return `${line} ${left(server, 16)} ${left(connection.persistenceEngine, 18)} ${connection.persistenceData}`;
}

/** "MM:SS", whole seconds left. */
function minutes(milliseconds: number): string {
  const seconds = Math.floor(milliseconds / 1000);
  const two = (value: number): string => String(value).padStart(2, '0');
  return `${two(Math.floor(seconds / 60))}:${two(seconds % 60)}`;
}
