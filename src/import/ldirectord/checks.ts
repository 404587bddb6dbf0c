// SPDX-License-Identifier: Apache-2.0
// ldirectord's checktype and service as a check of the director.
import type { CheckEntry } from '../../config/health_check.js';
import { KeyError } from '../../config/keys.js';
import { re2Regex } from '../regex.js';
import type { Place, Warn } from '../source.js';

/** Services that ldirectord knows, by their ports. */
export const servicePorts: ReadonlyMap<string, number> = new Map([
  ['ftp', 21],
  ['smtp', 25],
  ['dns', 53],
  ['http', 80],
  ['pop', 110],
  ['nntp', 119],
  ['imap', 143],
  ['ldap', 389],
  ['https', 443],
  ['submission', 587],
  ['ldaps', 636],
  ['imaps', 993],
  ['pops', 995],
  ['oracle', 1521],
  ['radius', 1812],
  ['mysql', 3306],
  ['pgsql', 5432],
  ['sip', 5060],
]);

export interface CheckOptions {
  readonly place: Place;
  readonly checktype: string;
  readonly service: string;
  readonly isUdp: boolean;
  readonly virtualAddress: string;
  readonly virtualPort: number;
  readonly interval: number;
  readonly connectTimeout: number;
  readonly negotiateTimeout: number;
  readonly failures: number;
  readonly pings: number;
  readonly checkPort: number | undefined;
  readonly request: string | undefined;
  readonly receive: string | undefined;
  readonly method: string | undefined;
  readonly virtualhost: string | undefined;
  readonly command: readonly string[];
}

export interface CheckedServer {
  readonly place: Place;
  readonly address: string;
  /** As written, 0 for none. */
  readonly port: number;
  /** Where the service sends to, and a check that names no port. */
  readonly servicePort: number;
  readonly request: string | undefined;
  readonly receive: string | undefined;
}

/** The check of one real server; undefined if it has none. */
export function checkOf(options: CheckOptions, server: CheckedServer, warn: Warn): CheckEntry | undefined {
  switch (options.checktype) {
    case 'on':
    case 'off':
      return undefined;
    case 'ping':
      if (options.pings > 1) warn(options.place, `checkcount ${options.pings}: a ping check sends one echo request`);
      return { type: 'ping', ...timesOf(options, options.connectTimeout) };
    case 'connect':
      return connection(options, server, warn);
    case 'external':
      return external(options, server, warn);
    case 'negotiate':
      return negotiation(options, server, warn);
    default:
      return otherCheck(options, server, warn);
  }
}

function otherCheck(options: CheckOptions, server: CheckedServer, warn: Warn): CheckEntry | undefined {
  const { checktype, place } = options;
  if (checktype === 'external-perl') {
    warn(
      place,
      'checktype external-perl: no Perl here; a program can be a check of type command. The servers are not checked',
    );
    return undefined;
  }
  if (/^\d+$/.test(checktype)) {
    warn(place, `checktype ${checktype}: every check negotiates, none only connects`);
    return negotiation(options, server, warn);
  }
  warn(place, `checktype "${checktype}" is unknown; the servers are not checked`);
  return undefined;
}

function timesOf({ interval, failures }: CheckOptions, timeout: number): Omit<CheckEntry, 'type'> {
  return {
    interval,
    ...(timeout !== 5 && { timeout }),
    ...(failures !== 1 && { fall: failures }),
    warmup: 0,
  };
}

/** Which port, if it is not the server's. */
function portOf({ checkPort }: CheckOptions, { port, servicePort }: CheckedServer): Pick<CheckEntry, 'port'> {
  if (checkPort !== undefined) return { port: checkPort };
  return port !== 0 && port !== servicePort ? { port } : {};
}

function hasPort({ checkPort }: CheckOptions, { port, place }: CheckedServer, warn: Warn): boolean {
  if (checkPort !== undefined || port !== 0) return true;
  warn(place, 'there is no port to check: name it with checkport; the server is not checked');
  return false;
}

function connection(options: CheckOptions, server: CheckedServer, warn: Warn): CheckEntry | undefined {
  if (!hasPort(options, server, warn)) return undefined;
  return {
    type: options.isUdp ? 'udp' : 'tcp',
    ...timesOf(options, options.connectTimeout),
    ...portOf(options, server),
  };
}

/** Arguments: VIP VPORT RIP RPORT. */
function external(options: CheckOptions, server: CheckedServer, warn: Warn): CheckEntry | undefined {
  const { command, virtualAddress, virtualPort } = options;
  if (command.length === 0) {
    warn(options.place, 'checktype external without checkcommand; the servers are not checked');
    return undefined;
  }
  const words = [virtualAddress, String(virtualPort), server.address, String(server.port)];
  return { type: 'command', ...timesOf(options, options.connectTimeout), command: [...command, ...words] };
}

function negotiation(options: CheckOptions, server: CheckedServer, warn: Warn): CheckEntry | undefined {
  const { service, place } = options;
  if (!hasPort(options, server, warn)) return undefined;
  const common = { ...timesOf(options, options.negotiateTimeout), ...portOf(options, server) };
  switch (service) {
    case 'http':
    case 'https':
      return { type: service, ...common, ...httpOptions(options, server, warn) };
    case 'smtp':
    case 'submission':
      return { type: 'smtp', ...common };
    case 'dns':
      return { type: 'dns', ...common, ...dnsOptions(options, server, warn) };
    case 'none':
      return connection(options, server, warn);
    default:
      warn(place, `service ${service}: only that the connection is made is checked`);
      return connection(options, server, warn);
  }
}

function httpOptions(options: CheckOptions, server: CheckedServer, warn: Warn): Partial<CheckEntry> {
  const request = server.request ?? options.request ?? '/';
  const receive = server.receive ?? options.receive ?? '';
  const [, urlHost, urlPath] = /^https?:\/\/([^/]*)(\/.*)?$/.exec(request) ?? [];
  const host = options.virtualhost ?? urlHost;
  const path = urlHost === undefined ? request : (urlPath ?? '/');
  return {
    ...(options.method === 'HEAD' && { method: 'HEAD' }),
    path: encodeURI(path.startsWith('/') ? path : `/${path}`).replaceAll('%25', '%'),
    ...(host !== undefined && { host }),
    ...regexOf(receive, server.receive === undefined ? options.place : server.place, warn),
  };
}

function regexOf(source: string, place: Place, warn: Warn): Partial<CheckEntry> {
  if (source === '') return {};
  try {
    return { body_regex: re2Regex(source) };
  } catch (error) {
    if (!(error instanceof KeyError)) throw error;
    warn(place, `receive: ${error.message}; the body is not compared`);
    return {};
  }
}

function dnsOptions(options: CheckOptions, server: CheckedServer, warn: Warn): Partial<CheckEntry> {
  const name = server.request ?? options.request;
  if ((server.receive ?? options.receive) !== undefined) {
    warn(options.place, 'receive: any answer without error is taken, addresses are not compared');
  }
  return name === undefined ? {} : { query_name: name, query_type: 'A' };
}
