// SPDX-License-Identifier: Apache-2.0
// fulcrum explain: what would happen to a packet now, and why.
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  type Endpoint,
  formatEndpoint,
  formatServerKey,
  formatServiceKey,
  KeyError,
  parseEndpoint,
  protocolName,
} from '../config/keys.js';
import { words } from '../config/services.js';
import { verdictMeanings } from '../config/verdict_meanings.js';
import type { Candidate__Output } from '../generated/fulcrum/v1/Candidate.js';
import type { Explanation__Output } from '../generated/fulcrum/v1/Explanation.js';
import { type Cli, present, print, wholeNumber, withDirector } from './cli.js';
import type { View } from './output.js';

interface Options {
  readonly flags?: number;
  readonly chunk?: number;
  readonly length?: number;
  readonly mayBeCut?: boolean;
}

const protocols = { tcp: 'PROTOCOL_TCP', udp: 'PROTOCOL_UDP', sctp: 'PROTOCOL_SCTP' } as const;
/** RFC 9293 section 3.1. */
export const flagBits: Readonly<Record<string, number>> = { fin: 1, syn: 2, rst: 4, psh: 8, ack: 16, urg: 32 };

/** RFC 9260 section 3.2. */
export const chunkTypes: Readonly<Record<string, number>> = {
  data: 0,
  init: 1,
  init_ack: 2,
  abort: 6,
  shutdown: 7,
  shutdown_ack: 8,
  error: 9,
  cookie_echo: 10,
  cookie_ack: 11,
  shutdown_complete: 14,
};

export function register(program: Command, cli: Cli): void {
  program
    .command('explain')
    .description('what would happen to a packet now, and why; nothing is sent, counted or changed')
    .argument('<sender>', '"tcp", "udp" or "sctp", and ADDRESS:PORT; IPv6 in brackets', sender)
    .argument('<destination>', 'ADDRESS:PORT that it is sent to', endpoint)
    .option('--flags <names>', 'of TCP, as "syn", "ack", "psh,ack", "rst" (default: syn)', flags)
    .option('--chunk <name>', 'of SCTP, that it begins with, as "init", "data", "cookie_echo" (default: init)', chunk)
    .option('--length <bytes>', 'of the IP datagram (default: one without data)', wholeNumber(1, 65_535))
    .addOption(new Option('--may-be-cut', 'IPv4: the Don’t Fragment bit is not set'))
    .addHelpText(
      'after',
      `
The worker that owns the packet's flow looks at its own tables: rules that mark it, the service, a connection or a
persistence template that it belongs to, the pool as the scheduler sees it and the server that it would choose, next
hop, MTU, and the verdict that would be counted ("fulcrum stats verdicts"). What the manager knows of a real server's
health stands beside it. A server's answer is a packet from the server's address and port to the client's.

Not foretold: what a limit per second (the service's, new_connections_per_second) or the defence drop_packet lets in.

Examples:
  fulcrum explain tcp 198.51.100.7:40000 203.0.113.10:80
  fulcrum explain tcp 198.51.100.7:40000 203.0.113.10:80 --flags psh,ack --length 1500
  fulcrum explain tcp 10.0.0.11:80 198.51.100.7:40000 --flags syn,ack
  fulcrum explain udp [2001:db8:9::7]:5353 [2001:db8:1::10]:53 -o json
  fulcrum explain sctp 198.51.100.7:40000 203.0.113.10:5060 --chunk data`,
    )
    .action((from, destination, options, command) => explain(cli, command, from, destination, options));
}

interface Sender {
  readonly of: keyof typeof protocols;
  readonly source: Endpoint;
}

/** "tcp 198.51.100.7:40000" has come as one word, as services do. */
function sender(text: string): Sender {
  const [, of, source] = /^(tcp|udp|sctp):(.*)$/s.exec(text) ?? [];
  if (of === undefined || source === undefined)
    throw new InvalidArgumentError('it begins with "tcp", "udp" or "sctp", then comes ADDRESS:PORT');
  return { of: of as keyof typeof protocols, source: endpoint(source) };
}

/** Both parts of it. */
function endpoint(text: string): Endpoint {
  try {
    const read = parseEndpoint(text);
    if (read.port === undefined) throw new KeyError(`"${text}" has no port`);
    return read;
  } catch (error) {
    if (error instanceof KeyError) throw new InvalidArgumentError(error.message);
    throw error;
  }
}

function flags(text: string): number {
  return text
    .toLowerCase()
    .split(',')
    .reduce((sum, name) => {
      const bit = flagBits[name];
      if (bit === undefined) throw new InvalidArgumentError(`"${name}" is none of ${Object.keys(flagBits).join(', ')}`);
      return sum | bit;
    }, 0);
}

function chunk(text: string): number {
  const type = chunkTypes[text.toLowerCase().replaceAll('-', '_')];
  if (type === undefined) throw new InvalidArgumentError(`"${text}" is none of ${Object.keys(chunkTypes).join(', ')}`);
  return type;
}

async function explain(
  cli: Cli,
  command: Command,
  { of, source }: Sender,
  destination: Endpoint,
  options: Options,
): Promise<void> {
  const packet = {
    protocol: protocols[of],
    source: source.address,
    sourcePort: source.port ?? 0,
    destination: destination.address,
    destinationPort: destination.port ?? 0,
    ...(options.flags !== undefined && { tcpFlags: options.flags }),
    ...(options.chunk !== undefined && { sctpChunk: options.chunk }),
    length: options.length ?? 0,
    mayBeCut: options.mayBeCut ?? false,
  };
  await withDirector(cli, command, async (director) => {
    const explanation = present((await director.explain({ packet })).explanation, 'explanation');
    await print(cli, command, explanationView(explanation), () => linesOf(explanation));
  });
}

export function methodOf({ method }: Explanation__Output): string {
  return Object.entries(words.methods).find(([, value]) => value === method)?.[0] ?? '';
}

export function explanationView(explanation: Explanation__Output): View {
  const { service, connection, server, candidates, neighbor, mac, mtu } = explanation;
  return {
    worker: explanation.worker,
    fwmark: explanation.fwmark,
    ...(service && { service: formatServiceKey(service), scheduler: explanation.scheduler }),
    ...(connection && {
      connection: {
        client: formatEndpoint(connection.clientAddress, connection.clientPort),
        virtual: formatEndpoint(connection.virtualAddress, connection.virtualPort),
        server: formatEndpoint(connection.serverAddress, connection.serverPort),
        state: connection.state,
        expires_ms: connection.expiresMs,
      },
      is_reply: explanation.isReply,
    }),
    by_template: explanation.byTemplate,
    candidates: candidates.map((candidate) => ({
      server: candidate.key ? formatServerKey(candidate.key) : '',
      weight: candidate.weight,
      active_connections: BigInt(candidate.activeConnections),
      inactive_connections: BigInt(candidate.inactiveConnections),
      overloaded: candidate.overloaded,
      ...(candidate.cost !== undefined && { cost: candidate.cost }),
      condition: candidate.condition,
    })),
    ...(server && {
      server: formatServerKey(server),
      server_port: explanation.serverPort,
      method: methodOf(explanation),
    }),
    ...(neighbor !== '' && { next_hop: { interface: explanation.interface, neighbor, mac, mtu } }),
    verdict: explanation.verdict,
    drop: explanation.drop,
    reason: explanation.reason,
    remedy: remedyOf(explanation),
  };
}

/** What to do about it; empty where there is nothing, or nothing is known. */
function remedyOf({ verdict, drop, reason, neighbor, mac, service, server }: Explanation__Output): string {
  if (neighbor !== '' && mac === '') return `is ${neighbor} up, and on that link? (fulcrum neighbor list)`;
  if (server === null && service !== null && verdict === 'client_denied')
    return `fulcrum service traffic ${formatServiceKey(service)} shows its --allow and --deny`;
  return drop || reason !== '' ? (verdictMeanings[verdict]?.remedy ?? '') : '';
}

function linesOf(explanation: Explanation__Output): readonly string[] {
  const { service, connection, candidates, scheduler, fwmark, worker } = explanation;
  const rows: [string, string][] = [];
  const row = (title: string, text: string): unknown => rows.push([title, text]);
  row('worker', String(worker));
  if (fwmark !== 0) row('mark', String(fwmark));
  if (service) row('service', `${formatServiceKey(service)} (${scheduler})`);
  row('connection', connection ? connectionText(explanation) : 'none');
  for (const [index, candidate] of candidates.entries()) row(index === 0 ? 'pool' : '', candidateText(candidate));
  if (explanation.server) row('server', serverText(explanation));
  if (explanation.neighbor !== '') row('next hop', hopText(explanation));
  row('verdict', `${explanation.verdict}${explanation.drop ? ' (dropped)' : ''}`);
  if (explanation.reason !== '') row('why', explanation.reason);
  const remedy = remedyOf(explanation);
  if (remedy !== '') row('see', remedy);
  const width = Math.max(...rows.map(([title]) => title.length));
  return rows.map(([title, text]) => `${title.padEnd(width)}  ${text}`);
}

function connectionText({ connection, isReply }: Explanation__Output): string {
  if (connection === null) return 'none';
  const client = formatEndpoint(connection.clientAddress, connection.clientPort);
  const vip = formatEndpoint(connection.virtualAddress, connection.virtualPort);
  const server = formatEndpoint(connection.serverAddress, connection.serverPort);
  const from = isReply ? ', a packet of its server' : '';
  const left = `${Math.ceil(connection.expiresMs / 1000)} s left`;
  return `${protocolName(connection.protocol)} ${client} to ${vip} by ${server}, ${connection.state}, ${left}${from}`;
}

/** Three digits tell costs apart that a reader compares. */
export const costText = (cost: number): string => String(Number(cost.toPrecision(3)));

function candidateText(candidate: Candidate__Output): string {
  const { key, weight, activeConnections: active, inactiveConnections: inactive, overloaded, condition } = candidate;
  const notes = [
    weight === 0 && !condition.startsWith('out') ? 'quiesced: takes nothing new' : '',
    overloaded ? 'upper threshold reached' : '',
    condition,
  ];
  const said = notes.filter((note) => note !== '').join('; ');
  const cost = candidate.cost === undefined ? '' : `, cost ${costText(candidate.cost)}`;
  const numbers = `weight ${weight}, ${active} active, ${inactive} inactive${cost}`;
  return `${key ? formatServerKey(key) : ''}  ${numbers}${said === '' ? '' : `  (${said})`}`;
}

function serverText(explanation: Explanation__Output): string {
  const { server, byTemplate, connection, serverPort, scheduler } = explanation;
  const key = server ? formatServerKey(server) : '';
  const why = connection ? 'of the connection' : byTemplate ? 'by its persistence template' : `chosen by ${scheduler}`;
  const method = methodOf(explanation);
  const rewrite = method === 'nat' ? `, destination becomes ${formatEndpoint(server?.address ?? '', serverPort)}` : '';
  return `${key}, ${why}; ${method}${rewrite}`;
}

function hopText({ neighbor, interface: by, mac, mtu }: Explanation__Output): string {
  return `${neighbor} by ${by}, ${mac === '' ? 'MAC not known' : mac}, MTU ${mtu}`;
}
