// SPDX-License-Identifier: Apache-2.0
// fulcrum connection: the connection table, printed page by page, so that its length does not matter.
import { isIP } from 'node:net';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Endpoint, formatEndpoint, KeyError, parseEndpoint, protocolName } from '../config/keys.js';
import { words } from '../config/services.js';
import type { Connection__Output } from '../generated/fulcrum/v1/Connection.js';
import type { ConnectionFilter } from '../generated/fulcrum/v1/ConnectionFilter.js';
import type { Protocol__Output } from '../generated/fulcrum/v1/Protocol.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import { type Cli, editSettings, globalOptions, print, serviceArgument, wholeNumber, withDirector } from './cli.js';
import { jsonText, type OutputFormat, type View, yamlText } from './output.js';

interface FilterOptions {
  readonly service?: ServiceKey__Output;
  readonly server?: Endpoint;
  readonly client?: string;
  readonly protocol?: string;
  readonly state?: string;
}

interface ListOptions extends FilterOptions {
  readonly limit?: number;
}

interface DeleteOptions extends FilterOptions {
  readonly reset?: boolean;
  readonly templates?: boolean;
  readonly all?: boolean;
  readonly dryRun?: boolean;
}

const pageSize = 10_000;

export function register(program: Command, cli: Cli): void {
  const connection = program.command('connection').description('connections of all workers');
  filters(connection.command('list'))
    .description('print the connection table; a connection that lives during the whole listing appears once')
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
  filters(connection.command('delete'))
    .description('end connections; prints how many')
    .option('--reset', 'TCP: the next segment of either end resets both, for a minute')
    .option('--templates', 'persistence templates that match too: their clients are scheduled anew')
    .option('--all', 'every connection: for when no filter is given')
    .option('--dry-run', 'only count them')
    .addHelpText(
      'after',
      `
A packet of a deleted connection is one of no connection: TCP is answered with a reset by the VIP unless sloppy_tcp or
the stateless spread takes it up, anything else is scheduled anew. The director tracks no sequence numbers: --reset waits
for the next segment of either end and tells both by its numbers. It cannot reset ends that stay silent.

Examples:
  fulcrum connection delete --server 10.0.0.11 --reset
  fulcrum connection delete --service tcp:203.0.113.10:80 --client 198.51.100.0/24 --templates
  fulcrum connection delete --protocol udp --state UDP --dry-run`,
    )
    .action((options, command) => remove(cli, command, options));
}

function filters(command: Command): Command {
  return command
    .option('--service <service>', 'only those of this virtual service', serviceArgument)
    .option('--server <server>', 'only those to this real server: ADDRESS, or ADDRESS:PORT', serverAddress)
    .option('--client <prefix>', 'only those of this client, or of a prefix of them', clientPrefix)
    .addOption(new Option('--protocol <protocol>', 'only those of this protocol').choices(['tcp', 'udp', 'sctp']))
    .option('--state <state>', 'only those in this state: ESTABLISHED, SYN_RECV, UDP, …');
}

function serverAddress(text: string): Endpoint {
  try {
    return parseEndpoint(text);
  } catch (error) {
    if (error instanceof KeyError) throw new InvalidArgumentError(`${error.message}.`);
    throw error;
  }
}

function clientPrefix(text: string): string {
  const [address = '', length, ...rest] = text.split('/');
  const isPrefix = rest.length === 0 && isIP(address) !== 0 && (length === undefined || /^\d+$/.test(length));
  if (!isPrefix) throw new InvalidArgumentError('An IPv4 or IPv6 address or a prefix is needed.');
  return text;
}

/** Undefined: everything. */
function filterOf({ service, server, client, protocol, state }: FilterOptions): ConnectionFilter | undefined {
  const filter: ConnectionFilter = {
    ...(service && { service }),
    ...(server && { serverAddress: server.address }),
    ...(server?.port !== undefined && { serverPort: server.port }),
    ...(client !== undefined && { client }),
    ...(protocol !== undefined && { protocol: `PROTOCOL_${protocol.toUpperCase()}` as Protocol__Output }),
    ...(state !== undefined && { state: state.toUpperCase() }),
  };
  return Object.keys(filter).length === 0 ? undefined : filter;
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

async function remove(cli: Cli, command: Command, options: DeleteOptions): Promise<void> {
  const filter = filterOf(options);
  if (filter === undefined && !options.all) command.error('error: no filter is given: --all deletes every connection');
  if (filter !== undefined && options.all) command.error('error: --all is for when no filter is given');
  await withDirector(cli, command, async (director) => {
    const { reset = false, templates = false, all = false, dryRun: validateOnly = false } = options;
    const request = { ...(filter && { filter }), all, reset, templates, validateOnly };
    const answer = await director.deleteConnections(request, { ...editSettings, signal: cli.signal });
    const view = { connections: BigInt(answer.connections), templates: BigInt(answer.templates) };
    const what = options.templates ? ` and ${plural(view.templates, 'template')}` : '';
    const would = options.dryRun ? 'would delete' : 'deleted';
    await print(cli, command, view, () => [`${would} ${plural(view.connections, 'connection')}${what}`]);
  });
}

function plural(count: bigint, noun: string): string {
  return `${count} ${noun}${count === 1n ? '' : 's'}`;
}

async function list(cli: Cli, command: Command, options: ListOptions): Promise<void> {
  const { output } = globalOptions(command);
  const filter = filterOf(options);
  await withDirector(cli, command, async (director) => {
    let titles = output === 'table' ? `${row(columns.map(([title]) => title))}\n` : '';
    let left = options.limit ?? Number.POSITIVE_INFINITY;
    let pageToken = '';
    do {
      const page = await director.listConnections(
        {
          pageSize: Math.min(pageSize, left),
          pageToken,
          ...(filter && { filter }),
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
