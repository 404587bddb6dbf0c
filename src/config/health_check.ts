// SPDX-License-Identifier: Apache-2.0
// One health check as operators write it, "{ type: http, path: /health, interval: 2 }": JSON Schema, the way to the API's
// message and back. Times are seconds here, milliseconds there. Every type takes the common options and its own.
import { isIP } from 'node:net';
import type { Check__Output } from '../generated/fulcrum/v1/Check.js';
import type { CommandCheck__Output } from '../generated/fulcrum/v1/CommandCheck.js';
import type { DnsCheck__Output } from '../generated/fulcrum/v1/DnsCheck.js';
import type { GrpcCheck__Output } from '../generated/fulcrum/v1/GrpcCheck.js';
import type { HttpCheck__Output } from '../generated/fulcrum/v1/HttpCheck.js';
import type { StatusRange__Output } from '../generated/fulcrum/v1/StatusRange.js';
import type { TlsOptions__Output } from '../generated/fulcrum/v1/TlsOptions.js';
import type { UdpCheck__Output } from '../generated/fulcrum/v1/UdpCheck.js';
import type { Attempt, Path } from './document.js';
import { KeyError, largestPort } from './keys.js';
import { compileRegex } from './regex.js';

// Types and not interfaces, here and below: only so are they plain data for what prints any.
export type TlsEntry = {
  readonly server_name?: string;
  readonly verify?: boolean;
  readonly ca_file?: string;
  readonly certificate_file?: string;
  readonly key_file?: string;
};

export type CheckEntry = {
  readonly type: string;
  readonly name?: string;
  readonly interval?: number;
  readonly timeout?: number;
  readonly rise?: number;
  readonly fall?: number;
  readonly retry_interval?: number;
  readonly warmup?: number;
  readonly address?: string;
  readonly port?: number;
  readonly source?: string;
  readonly via?: 'server' | 'vip';
  readonly method?: string;
  readonly path?: string;
  readonly host?: string;
  readonly headers?: readonly string[];
  /** 301 or "200-299". */
  readonly expected_status?: readonly (number | string)[];
  readonly body_contains?: string;
  readonly body_regex?: string;
  readonly body_regex_negated?: boolean;
  readonly body_md5?: string;
  readonly http_1_0?: boolean;
  readonly tls?: TlsEntry;
  readonly helo_name?: string;
  readonly query_name?: string;
  readonly query_type?: string;
  readonly payload?: string;
  readonly require_reply?: boolean;
  readonly reply?: string;
  readonly least_reply_bytes?: number;
  readonly most_reply_bytes?: number;
  readonly service?: string;
  readonly command?: readonly string[];
  readonly dynamic_weight?: boolean;
};

type CheckOption = Exclude<keyof CheckEntry, 'type'>;

const httpOptions = [
  'method',
  'path',
  'host',
  'headers',
  'expected_status',
  'body_contains',
  'body_regex',
  'body_regex_negated',
  'body_md5',
  'http_1_0',
] as const;

/** What a type takes beside the common options. */
const ownOptions: Readonly<Record<string, readonly CheckOption[]>> = {
  tcp: [],
  http: httpOptions,
  https: [...httpOptions, 'tls'],
  smtp: ['helo_name'],
  dns: ['query_name', 'query_type'],
  udp: ['payload', 'require_reply', 'reply', 'least_reply_bytes', 'most_reply_bytes'],
  ping: [],
  grpc: ['service', 'tls'],
  command: ['command', 'dynamic_weight'],
};

/** Seconds that a check can have, as the API bounds them. */
export const checkTimes = {
  interval: { least: 0.1, most: 86_400, initial: 2 },
  timeout: { least: 0.01, most: 3_600, initial: 5 },
  retry_interval: { least: 0.1, most: 86_400 },
  warmup: { least: 0, most: 86_400 },
} as const;

/** Tries in a row, for rise and fall. */
const mostTries = 1_000_000;

const mostReplyBytes = 65_535;

export const time = ({ least, most }: { readonly least: number; readonly most: number }, description: string) => ({
  type: 'number',
  minimum: least,
  maximum: most,
  description,
});
export const text = (description: string) => ({ type: 'string', minLength: 1, description });
export const flag = (description: string) => ({ type: 'boolean', default: false, description });
const tries = (description: string) => ({ type: 'integer', minimum: 1, maximum: mostTries, default: 1, description });
const bytes = (description: string) => ({ type: 'integer', minimum: 0, maximum: mostReplyBytes, description });

/** A program and its arguments. */
export const programSchema = (description: string) => ({
  type: 'array',
  minItems: 1,
  items: { type: 'string' },
  description: `${description}: a program and its arguments, without a shell`,
});

/** Adds to the descriptions of options that only some types take which ones these are: "… (http, https)". */
export function namingTypes<P extends Readonly<Record<string, { readonly description?: string }>>>(
  own: Readonly<Record<string, readonly string[]>>,
  properties: P,
): P {
  const entries = Object.entries(properties).map(([name, schema]) => {
    const types = Object.keys(own).filter((type) => own[type]?.includes(name));
    const description = types.length === 0 ? schema.description : `(${types.join(', ')}) ${schema.description ?? ''}`;
    return [name, { ...schema, description }];
  });
  return Object.fromEntries(entries) as P;
}

export const tlsSchema = {
  type: 'object',
  additionalProperties: false,
  description: 'how TLS is spoken; an empty one takes every certificate',
  properties: {
    server_name: text('server name of the ClientHello; left out: none'),
    verify: flag('the certificate must be valid for server_name, or for the address'),
    ca_file: text('PEM file of who is trusted'),
    certificate_file: text("PEM file of the director's own certificate"),
    key_file: text("PEM file of the director's own key"),
  },
};

export const checkSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['type'],
  properties: namingTypes(ownOptions, {
    type: {
      enum: Object.keys(ownOptions),
      description: 'what is asked; other keys are only of the types that they name',
    },
    name: text('for messages; left out: the type'),
    interval: time(checkTimes.interval, 'seconds from one check to the next; left out: 2'),
    timeout: time(checkTimes.timeout, 'seconds that one try may take; left out: 5'),
    rise: tries('as many successes in a row make a server live'),
    fall: tries('as many failures in a row make it down'),
    retry_interval: time(checkTimes.retry_interval, 'seconds from a failure to the next try; left out: interval'),
    warmup: time(checkTimes.warmup, 'the first check comes after a random part of as many seconds; left out: interval'),
    address: text("address that is asked; left out: the server's"),
    port: {
      type: 'integer',
      minimum: 1,
      maximum: largestPort,
      description: "port that is asked; left out: the server's",
    },
    source: text('address of the director that it is made from'),
    via: {
      enum: ['server', 'vip'],
      default: 'server',
      description: 'vip: the way of clients, to the VIP; not of ping and command, and not with address and source',
    },
    method: text('of the request; left out: GET'),
    path: text('that is asked for; left out: /'),
    host: text('Host header; left out: the address and port checked'),
    headers: { type: 'array', items: { type: 'string' }, description: 'further headers, "Name: value"' },
    expected_status: {
      type: 'array',
      items: { type: ['integer', 'string'] },
      description: 'statuses of success: 301, or "200-299"; left out: "200-299"',
    },
    body_contains: text('must be in the body'),
    body_regex: text('a regular expression, as RE2 has them, that the body must match'),
    body_regex_negated: flag('the body must not match body_regex'),
    body_md5: text('MD5 of the body, 32 hexadecimal digits'),
    http_1_0: flag('HTTP/1.0 instead of 1.1'),
    tls: tlsSchema,
    helo_name: text("name that HELO says; left out: the host's name"),
    query_name: text('name that is asked for; left out: ".", the root'),
    query_type: text('type that is asked for: A, AAAA, MX, …; left out: SOA'),
    payload: text('bytes of the datagram that is sent, hexadecimal digits'),
    require_reply: flag('without: the check passes unless the port is told to be unreachable'),
    reply: text('bytes that the reply must have, hexadecimal digits, x for any; compared as far as both go'),
    least_reply_bytes: bytes('bytes that the reply must have at least; left out: 0'),
    most_reply_bytes: bytes('bytes that it may have at most; left out: 255'),
    service: text('name that grpc.health.v1 is asked for; left out: the whole server'),
    command: programSchema('status 0 is success'),
    dynamic_weight: flag('status 2 … 255 is success with weight status - 2'),
  }),
};

export function toCheck(entry: CheckEntry, path: Path, attempt: Attempt): Check__Output {
  checkOwnOptions(entry, path, attempt);
  const at = <T>(option: CheckOption, read: () => T): T | undefined => attempt([...path, option], read);
  const milliseconds = (option: keyof typeof checkTimes): number =>
    at(option, () => toMilliseconds(entry[option])) ?? 0;
  return {
    name: entry.name ?? '',
    intervalMs: milliseconds('interval'),
    timeoutMs: milliseconds('timeout'),
    rise: entry.rise ?? 0,
    fall: entry.fall ?? 0,
    retryIntervalMs: milliseconds('retry_interval'),
    ...(entry.warmup !== undefined && { warmupMs: milliseconds('warmup') }),
    address: at('address', () => addressOf(entry.address)) ?? '',
    port: entry.port ?? 0,
    source: at('source', () => addressOf(entry.source)) ?? '',
    via: at('via', () => viaOf(entry)) ?? 'CHECK_VIA_UNSPECIFIED',
    ...kindOf(entry, path, attempt),
  };
}

/** What depends on the service is the manager's to say. */
function viaOf({ type, via, address, source, require_reply: requireReply }: CheckEntry): Check__Output['via'] {
  if (via !== 'vip') return via === 'server' ? 'CHECK_VIA_SERVER' : 'CHECK_VIA_UNSPECIFIED';
  if (type === 'ping' || type === 'command') throw new KeyError(`a check of type ${type} cannot be sent to a VIP`);
  if (address !== undefined) throw new KeyError('vip leaves no choice of address');
  if (source !== undefined) throw new KeyError('vip leaves no choice of source');
  if (type === 'udp' && !requireReply) throw new KeyError('vip needs require_reply: true');
  return 'CHECK_VIA_VIP';
}

/** Names the option that belongs to another type. */
function checkOwnOptions(entry: CheckEntry, path: Path, attempt: Attempt): void {
  const own = ownOptions[entry.type] ?? [];
  const foreign = new Set(Object.values(ownOptions).flat());
  for (const option of Object.keys(entry) as CheckOption[]) {
    if (!foreign.has(option) || own.includes(option)) continue;
    const owners = Object.keys(ownOptions).filter((type) => ownOptions[type]?.includes(option));
    attempt([...path, option], () => {
      throw new KeyError(`${option} belongs to checks of type ${owners.join(' and ')}, not ${entry.type}`);
    });
  }
}

/** Seconds as milliseconds; 0 stands for what is left out. */
export function toMilliseconds(seconds: number | undefined): number {
  const exact = (seconds ?? 0) * 1000;
  const whole = Math.round(exact);
  if (Math.abs(exact - whole) > 1e-6) throw new KeyError(`${seconds} is finer than a millisecond`);
  return whole;
}

export function addressOf(address: string | undefined): string {
  if (address !== undefined && isIP(address) === 0) {
    throw new KeyError(`"${address}" is not an IPv4 or IPv6 address`);
  }
  return address ?? '';
}

type Kind = Pick<Check__Output, 'tcp' | 'http' | 'smtp' | 'dns' | 'udp' | 'ping' | 'grpc' | 'command'>;

function kindOf(entry: CheckEntry, path: Path, attempt: Attempt): Kind {
  switch (entry.type) {
    case 'http':
    case 'https':
      return { http: toHttp(entry, path, attempt) };
    case 'smtp':
      return { smtp: { heloName: entry.helo_name ?? '' } };
    case 'dns':
      return { dns: toDns(entry, path, attempt) };
    case 'udp':
      return { udp: toUdp(entry, path, attempt) };
    case 'ping':
      return { ping: {} };
    case 'grpc':
      return { grpc: { service: entry.service ?? '', tls: entry.tls === undefined ? null : toTls(entry.tls) } };
    case 'command':
      return { command: toCommand(entry, path, attempt) };
    default:
      return { tcp: {} };
  }
}

function toHttp(entry: CheckEntry, path: Path, attempt: Attempt): HttpCheck__Output {
  const at = <T>(option: CheckOption, read: () => T): T | undefined => attempt([...path, option], read);
  const headers = (entry.headers ?? []).map((header, index) =>
    attempt([...path, 'headers', index], () => checkHeader(header)),
  );
  const ranges = (entry.expected_status ?? []).map((range, index) =>
    attempt([...path, 'expected_status', index], () => toStatusRange(range)),
  );
  at('body_regex_negated', () => {
    if (entry.body_regex_negated && entry.body_regex === undefined) throw new KeyError('there is no body_regex');
  });
  return {
    method: at('method', () => checkToken(entry.method ?? '')) ?? '',
    path: at('path', () => checkPath(entry.path ?? '')) ?? '',
    host: at('host', () => checkHost(entry.host ?? '')) ?? '',
    headers: headers.filter((header) => header !== undefined),
    expectedStatus: ranges.filter((range) => range !== undefined),
    bodyContains: entry.body_contains ?? '',
    bodyRegex: at('body_regex', () => checkRegex(entry.body_regex ?? '')) ?? '',
    bodyRegexNegated: entry.body_regex_negated ?? false,
    bodyMd5: at('body_md5', () => checkMd5(entry.body_md5 ?? '')) ?? '',
    http_1_0: entry.http_1_0 ?? false,
    tls: entry.type === 'https' ? toTls(entry.tls ?? {}) : null,
  };
}

export function toTls(entry: TlsEntry): TlsOptions__Output {
  return {
    serverName: entry.server_name ?? '',
    verify: entry.verify ?? false,
    caFile: entry.ca_file ?? '',
    certificateFile: entry.certificate_file ?? '',
    keyFile: entry.key_file ?? '',
  };
}

/** RFC 9110, 5.6.2. */
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

function checkToken(method: string): string {
  if (method !== '' && !token.test(method)) throw new KeyError(`"${method}" is not a method of HTTP`);
  return method;
}

export function checkPath(path: string): string {
  if (path !== '' && !/^[/*][\x21-\xff]*$/.test(path)) {
    throw new KeyError(`"${path}" is not a path: it begins with "/", and has neither blanks nor control characters`);
  }
  return path;
}

export function checkHost(host: string): string {
  if (/[\x00-\x20\x7f]/.test(host)) throw new KeyError(`"${host}" has a blank or a control character`);
  return host;
}

export function checkHeader(header: string): string {
  const [, name = ''] = /^([^:]*):[^\x00-\x08\x0a-\x1f\x7f]*$/.exec(header) ?? [];
  if (!token.test(name.trim())) throw new KeyError(`"${header}" is not a header: write "Name: value"`);
  return header;
}

const isStatus = (status: number): boolean => status >= 100 && status <= 599;

function toStatusRange(range: number | string): StatusRange__Output {
  const [, first, last] = /^(\d{1,4})(?:-(\d{1,4}))?$/.exec(String(range)) ?? [];
  if (first === undefined) throw new KeyError(`"${range}" is not a status or a range of them such as "200-299"`);
  const ends = [first, last].filter((end) => end !== undefined).map(Number);
  const wrong = ends.find((end) => !isStatus(end));
  if (wrong !== undefined) throw new KeyError(`${wrong} is not a status: they are 100 … 599`);
  const [low = 0, high = 0] = ends;
  if (high !== 0 && high < low) throw new KeyError(`${range} ends before it begins`);
  return { first: low, last: high };
}

function checkRegex(source: string): string {
  if (source !== '') compileRegex(source);
  return source;
}

function checkMd5(digits: string): string {
  if (digits !== '' && !/^[0-9a-f]{32}$/i.test(withoutBlanks(digits))) {
    throw new KeyError(`"${digits}" is not an MD5: 32 hexadecimal digits are needed`);
  }
  return digits;
}

function toDns(entry: CheckEntry, path: Path, attempt: Attempt): DnsCheck__Output {
  const type = attempt([...path, 'query_type'], () => {
    if (!/^([A-Z][A-Z0-9]*)?$/i.test(entry.query_type ?? '')) {
      throw new KeyError(`"${entry.query_type}" is not a type of DNS records such as A, AAAA or MX`);
    }
    return entry.query_type;
  });
  return { name: entry.query_name ?? '', type: type ?? '' };
}

function toUdp(entry: CheckEntry, path: Path, attempt: Attempt): UdpCheck__Output {
  const at = <T>(option: CheckOption, read: () => T): T | undefined => attempt([...path, option], read);
  const { least_reply_bytes: least = 0, most_reply_bytes: most = 0 } = entry;
  at('least_reply_bytes', () => {
    if (most !== 0 && least > most) throw new KeyError(`${least} is more than most_reply_bytes, which is ${most}`);
  });
  for (const option of ['reply', 'least_reply_bytes', 'most_reply_bytes'] as const) {
    at(option, () => {
      if (entry[option] && !entry.require_reply) throw new KeyError(`${option} needs require_reply: true`);
    });
  }
  return {
    payload: at('payload', () => checkHex(entry.payload ?? '', /^([0-9a-f]{2})*$/i)) ?? '',
    requireReply: entry.require_reply ?? false,
    reply: at('reply', () => checkHex(entry.reply ?? '', /^([0-9a-fx]{2})*$/i)) ?? '',
    leastReplyBytes: least,
    mostReplyBytes: most,
  };
}

/** Digits may stand in groups. */
const withoutBlanks = (digits: string): string => digits.replaceAll(/\s/g, '');

function checkHex(digits: string, form: RegExp): string {
  if (!form.test(withoutBlanks(digits))) {
    const orAny = form.source.includes('x') ? ', or x for any' : '';
    throw new KeyError(`"${digits}" is not an even number of hexadecimal digits${orAny}`);
  }
  return digits;
}

function toCommand(entry: CheckEntry, path: Path, attempt: Attempt): CommandCheck__Output {
  const command = attempt([...path, 'command'], () => {
    if (entry.command === undefined)
      throw new KeyError('a check of type command needs a command: [program, argument, …]');
    return checkProgram(entry.command);
  });
  return { command: command ?? [], dynamicWeight: entry.dynamic_weight ?? false };
}

export function checkProgram(program: readonly string[]): string[] {
  if (program[0] === '') throw new KeyError('the first word is the program, and it is empty');
  return [...program];
}

/** The entry that toCheck would read back to the same; what is left to defaults is left out. */
export function checkEntry(check: Check__Output): CheckEntry {
  return {
    type: typeOf(check),
    ...(check.name !== '' && { name: check.name }),
    ...(check.intervalMs !== 0 && { interval: check.intervalMs / 1000 }),
    ...(check.timeoutMs !== 0 && { timeout: check.timeoutMs / 1000 }),
    ...(check.rise !== 0 && { rise: check.rise }),
    ...(check.fall !== 0 && { fall: check.fall }),
    ...(check.retryIntervalMs !== 0 && { retry_interval: check.retryIntervalMs / 1000 }),
    ...(check.warmupMs !== undefined && { warmup: check.warmupMs / 1000 }),
    ...(check.address !== '' && { address: check.address }),
    ...(check.port !== 0 && { port: check.port }),
    ...(check.source !== '' && { source: check.source }),
    ...(check.via === 'CHECK_VIA_VIP' && { via: 'vip' as const }),
    ...(check.via === 'CHECK_VIA_SERVER' && { via: 'server' as const }),
    ...(check.http && httpEntry(check.http)),
    ...(check.smtp?.heloName && { helo_name: check.smtp.heloName }),
    ...(check.dns?.name && { query_name: check.dns.name }),
    ...(check.dns?.type && { query_type: check.dns.type }),
    ...(check.udp && udpEntry(check.udp)),
    ...(check.grpc && grpcEntry(check.grpc)),
    ...(check.command && commandEntry(check.command)),
  };
}

function typeOf(check: Check__Output): string {
  if (check.http) return check.http.tls ? 'https' : 'http';
  const kinds = ['tcp', 'smtp', 'dns', 'udp', 'ping', 'grpc', 'command'] as const;
  const kind = kinds.find((name) => check[name]);
  if (kind === undefined) throw new Error('the director sent a check without a kind');
  return kind;
}

function httpEntry(http: HttpCheck__Output): Partial<CheckEntry> {
  const tls = http.tls ? tlsEntry(http.tls) : {};
  return {
    ...(http.method !== '' && { method: http.method }),
    ...(http.path !== '' && { path: http.path }),
    ...(http.host !== '' && { host: http.host }),
    ...(http.headers.length > 0 && { headers: http.headers }),
    ...(http.expectedStatus.length > 0 && { expected_status: http.expectedStatus.map(statusEntry) }),
    ...(http.bodyContains !== '' && { body_contains: http.bodyContains }),
    ...(http.bodyRegex !== '' && { body_regex: http.bodyRegex }),
    ...(http.bodyRegexNegated && { body_regex_negated: true }),
    ...(http.bodyMd5 !== '' && { body_md5: http.bodyMd5 }),
    ...(http.http_1_0 && { http_1_0: true }),
    ...(Object.keys(tls).length > 0 && { tls }),
  };
}

function statusEntry({ first, last }: StatusRange__Output): number | string {
  return last === 0 ? first : `${first}-${last}`;
}

export function tlsEntry(tls: TlsOptions__Output): TlsEntry {
  return {
    ...(tls.serverName !== '' && { server_name: tls.serverName }),
    ...(tls.verify && { verify: true }),
    ...(tls.caFile !== '' && { ca_file: tls.caFile }),
    ...(tls.certificateFile !== '' && { certificate_file: tls.certificateFile }),
    ...(tls.keyFile !== '' && { key_file: tls.keyFile }),
  };
}

function udpEntry(udp: UdpCheck__Output): Partial<CheckEntry> {
  return {
    ...(udp.payload !== '' && { payload: udp.payload }),
    ...(udp.requireReply && { require_reply: true }),
    ...(udp.reply !== '' && { reply: udp.reply }),
    ...(udp.leastReplyBytes !== 0 && { least_reply_bytes: udp.leastReplyBytes }),
    ...(udp.mostReplyBytes !== 0 && { most_reply_bytes: udp.mostReplyBytes }),
  };
}

function grpcEntry(grpc: GrpcCheck__Output): Partial<CheckEntry> {
  return { ...(grpc.service !== '' && { service: grpc.service }), ...(grpc.tls && { tls: tlsEntry(grpc.tls) }) };
}

function commandEntry(command: CommandCheck__Output): Partial<CheckEntry> {
  return { command: command.command, ...(command.dynamicWeight && { dynamic_weight: true }) };
}
