// SPDX-License-Identifier: Apache-2.0
// ipvsadm -L and -S: fetch, join, sort, print.
import { isIP } from 'node:net';
import type { ServiceKey__Output } from '../../generated/fulcrum/v1/ServiceKey.js';
import type { VirtualService__Output } from '../../generated/fulcrum/v1/VirtualService.js';
import type { DirectorClient } from '../../grpc/client.js';
import { FulcrumError } from '../../grpc/errors.js';
import { connectionLine, connectionTitleLines } from './connections.js';
import { type ListingStyle, serviceLines, titleLines, versionLine } from './listing.js';
import { exitDone, exitListingFailed } from './messages.js';
import { joinStatistics, type ListedService, sortServices } from './model.js';
import { NameBook, type Names, numericNames } from './names.js';
import type { ListCommand } from './parse.js';
import type { Host } from './run.js';
import { ruleLines } from './save.js';

const pageSize = 10_000;

export async function list(command: ListCommand, host: Host, client: DirectorClient): Promise<number> {
  try {
    switch (command.what) {
      case 'services':
        return await listServices(command, host, client);
      case 'connections':
        return await listConnections(command, host, client);
      case 'timeouts':
        return await listTimeouts(host, client);
      case 'daemons':
        return exitDone; // None runs: connection synchronisation is not available yet.
    }
  } catch (error) {
    if (!(error instanceof FulcrumError)) throw error;
    host.complain(error.reason === 'REASON_SERVICE_NOT_FOUND' ? 'No such service' : error.describe());
    return exitListingFailed;
  }
}

async function listServices(command: ListCommand, host: Host, client: DirectorClient): Promise<number> {
  const { columns, exact, service, sorted } = command;
  const [status, configured, counted] = await Promise.all([
    client.getStatus({}),
    service ? oneService(service, client) : allServices(client),
    client.getStatistics({ estimated: columns === 'stats', ...(service && { service }) }).catch(asFailure),
  ]);
  if (counted instanceof FulcrumError) {
    host.complain(`Connections and counters are not available: ${counted.describe()}`);
    if (columns === 'stats' || columns === 'rate') return exitListingFailed;
  }
  const listed = joinStatistics(configured, counted instanceof FulcrumError ? [] : counted.services);
  const style: ListingStyle = { columns, exact, names: await namesFor(command.numeric, listed, host) };
  const lines = [
    ...(service ? [] : [versionLine(status.dataplane?.connectionCapacity ?? '0')]),
    ...titleLines(columns),
    ...(sorted ? sortServices(listed) : listed).flatMap((entry) => serviceLines(entry, style)),
  ];
  await host.write(`${lines.join('\n')}\n`);
  return counted instanceof FulcrumError ? exitListingFailed : exitDone;
}

function asFailure(error: unknown): FulcrumError {
  if (error instanceof FulcrumError) return error;
  throw error;
}

async function oneService(key: ServiceKey__Output, client: DirectorClient): Promise<readonly VirtualService__Output[]> {
  const { service } = await client.getVirtualService({ key });
  return service ? [service] : [];
}

async function allServices(client: DirectorClient): Promise<readonly VirtualService__Output[]> {
  const services: VirtualService__Output[] = [];
  let pageToken = '';
  do {
    const page = await client.listVirtualServices({ pageSize, pageToken });
    services.push(...page.services);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return services;
}

async function namesFor(numeric: boolean, services: readonly ListedService[], host: Host): Promise<Names> {
  if (numeric) return numericNames;
  const book = new NameBook(host.portNames, await host.reverseLookup());
  await book.learn(
    services
      .flatMap(({ key, servers }) => [key.address, ...servers.map((server) => server.key.address)])
      .filter((address) => isIP(address) !== 0),
  );
  return book;
}

async function listConnections(command: ListCommand, host: Host, client: DirectorClient): Promise<number> {
  const book = command.numeric ? undefined : new NameBook(host.portNames, await host.reverseLookup());
  await host.write(`${connectionTitleLines(command.persistentConnections).join('\n')}\n`);
  let pageToken = '';
  do {
    const page = await client.listConnections({ pageSize, pageToken });
    await book?.learn(page.connections.flatMap((row) => [row.clientAddress, row.virtualAddress, row.serverAddress]));
    // LVS knows no such flows.
    const connections = page.connections.filter(({ masqueraded }) => !masqueraded);
    const lines = connections.map(
      (row) => `${connectionLine(row, book ?? numericNames, command.persistentConnections)}\n`,
    );
    await host.write(lines.join(''));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return exitDone;
}

async function listTimeouts(host: Host, client: DirectorClient): Promise<number> {
  const { timeouts } = await client.getTimeouts({});
  await host.write(
    `Timeout (tcp tcpfin udp): ${timeouts?.tcpS ?? 0} ${timeouts?.tcpFinS ?? 0} ${timeouts?.udpS ?? 0}\n`,
  );
  return exitDone;
}

/** -S. */
export async function save(numeric: boolean, host: Host, client: DirectorClient): Promise<number> {
  const services = sortServices(joinStatistics(await allServices(client), []));
  const names = await namesFor(numeric, services, host);
  const lines = services.flatMap((service) => ruleLines(service, names));
  if (lines.length > 0) await host.write(`${lines.join('\n')}\n`);
  return exitDone;
}
