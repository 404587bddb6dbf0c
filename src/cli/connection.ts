// SPDX-License-Identifier: Apache-2.0
// fulcrum connection: the connection table, printed page by page, so that its length does not matter.
import { isIP } from 'node:net';
import { type Command, InvalidArgumentError } from 'commander';
import { formatEndpoint, protocolName } from '../config/keys.js';
import { words } from '../config/services.js';
import type { Connection__Output } from '../generated/fulcrum/v1/Connection.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import { type Cli, globalOptions, serviceArgument, wholeNumber, withDirector } from './cli.js';
import { jsonText, type OutputFormat, type View, yamlText } from './output.js';

interface ConnectionOptions {
  readonly service?: ServiceKey__Output;
  readonly server?: string;
  readonly client?: string;
  readonly limit?: number;
}

const pageSize = 10_000;

export function register(program: Command, cli: Cli): void {
  const connection = program.command('connection').description('connections of all workers');
  connection
    .command('list')
    .description('print the connection table; a connection that lives during the whole listing appears once')
    .option('--service <service>', 'only those of this virtual service', serviceArgument)
    .option('--server <address>', 'only those to this real server', address)
    .option('--client <address>', 'only those of this client', address)
    .option('--limit <number>', 'stop after so many', wholeNumber(1, Number.MAX_SAFE_INTEGER))
    .addHelpText(
      'after',
      `
Rows are printed as they arrive. -o json prints one JSON object a line for each connection, not one document;
-o yaml prints one list. Of a masqueraded flow (method "masquerade") the client is the host behind the director, VIRTUAL
the director's address and port that stand for it, and SERVER whom it speaks to.

Examples:
  fulcrum connection list --service tcp:203.0.113.10:80
  fulcrum connection list --server 10.0.0.11 -o json | jq -r .client
  fulcrum connection list | tail -n +2 | wc -l`,
    )
    .action((options, command) => list(cli, command, options));
}

function address(text: string): string {
  if (isIP(text) === 0) throw new InvalidArgumentError('An IPv4 or IPv6 address is needed.');
  return text;
}

function methodName({ masqueraded, method }: Connection__Output): string {
  if (masqueraded) return 'masquerade';
  return Object.keys(words.methods).find((name) => words.methods[name] === method) ?? '';
}

/** Of ICMP only echo is masqueraded. */
const isEcho = ({ masqueraded, protocol }: Connection__Output): boolean =>
  masqueraded && protocol === 'PROTOCOL_UNSPECIFIED';

function connectionView(connection: Connection__Output): { readonly [key: string]: View } {
  return {
    protocol: isEcho(connection) ? 'icmp' : protocolName(connection.protocol),
    client: formatEndpoint(connection.clientAddress, connection.clientPort),
    virtual: formatEndpoint(connection.virtualAddress, connection.virtualPort),
    server: formatEndpoint(connection.serverAddress, connection.serverPort),
    state: connection.state,
    expires_ms: connection.expiresMs,
    method: methodName(connection),
    active: connection.active,
    worker: connection.worker,
    in_packets: BigInt(connection.inPackets),
    ...(connection.fwmark !== 0 && { fwmark: connection.fwmark }),
  };
}

/** Widths are fixed, since nobody knows what is still to come: those of IPv4, longer ones push the rest on. */
const columns: readonly (readonly [title: string, width: number])[] = [
  ['PROTO', 5],
  ['CLIENT', 21],
  ['VIRTUAL', 21],
  ['SERVER', 21],
  ['STATE', 11],
  ['EXPIRES', 7],
  ['METHOD', 6],
  ['WORKER', 6],
  ['IN PACKETS', 10],
];

function row(cells: readonly string[]): string {
  const padded = cells.map((cell, at) =>
    at < 5 ? cell.padEnd(columns[at]?.[1] ?? 0) : cell.padStart(columns[at]?.[1] ?? 0),
  );
  return padded.join('  ').trimEnd();
}

function connectionRow(connection: Connection__Output): string {
  const view = connectionView(connection);
  const seconds = Math.floor(connection.expiresMs / 1000);
  const texts = [view.protocol, view.client, view.virtual, view.server, view.state, `${seconds}s`, view.method];
  return row([...texts, view.worker, view.in_packets].map(String));
}

async function pageText(format: OutputFormat, connections: readonly Connection__Output[]): Promise<string> {
  switch (format) {
    case 'json':
      return connections.map((connection) => `${jsonText(connectionView(connection))}\n`).join('');
    case 'yaml':
      return connections.length === 0 ? '' : yamlText(connections.map(connectionView));
    case 'table':
      return connections.map((connection) => `${connectionRow(connection)}\n`).join('');
  }
}

async function list(cli: Cli, command: Command, options: ConnectionOptions): Promise<void> {
  const { output } = globalOptions(command);
  await withDirector(cli, command, async (director) => {
    let titles = output === 'table' ? `${row(columns.map(([title]) => title))}\n` : '';
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    let pageToken = '';
    do {
      const page = await director.listConnections(
        {
          pageSize: Math.min(pageSize, left),
          pageToken,
          serverAddress: options.server ?? '',
          clientAddress: options.client ?? '',
          ...(options.service && { service: options.service }),
        },
        { signal: cli.signal },
      );
      const connections = page.connections.slice(0, left);
      left -= connections.length;
      await cli.write(titles + (await pageText(output, connections)));
      titles = '';
      pageToken = page.nextPageToken;
    } while (pageToken !== '' && left > 0);
  });
}
