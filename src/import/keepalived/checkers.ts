// SPDX-License-Identifier: Apache-2.0
// keepalived's checkers as checks of the director: HTTP_GET, SSL_GET, TCP_CHECK, SMTP_CHECK, DNS_CHECK, UDP_CHECK,
// PING_CHECK and MISC_CHECK. Its times and tries have other defaults, and are written out where they differ.
import { type CheckEntry, checkTimes, type TlsEntry } from '../../config/health_check.js';
import { KeyError, largestPort } from '../../config/keys.js';
import { isRegexOption, re2Regex } from '../regex.js';
import type { Place, Warn } from '../source.js';
import { programOf } from '../words.js';
import type { Statement } from './blocks.js';
import { checkerSettings, inherit, type Settings, type Writable } from './settings.js';
import { addressOf, booleanOf, type Handlers, numberOf, readBlock, secondsOf, wordOf } from './values.js';

/** What one checker comes to; several checks if it has several urls or hosts. */
export interface Checker {
  readonly checks: readonly CheckEntry[];
  readonly alpha: boolean;
}

interface Context {
  readonly statement: Statement;
  readonly outer: Settings;
  readonly ssl: TlsEntry;
  readonly warn: Warn;
}

export type CheckerReader = (context: Context) => Checker | undefined;

const readers: Readonly<Record<string, CheckerReader>> = {
  TCP_CHECK: plain('tcp'),
  PING_CHECK: plain('ping'),
  HTTP_GET: http('http'),
  SSL_GET: http('https'),
  SMTP_CHECK: smtp,
  DNS_CHECK: dns,
  UDP_CHECK: udp,
  MISC_CHECK: misc,
};

/** Checkers without equivalent, and what to do instead. */
export const checkerAdvice: Readonly<Record<string, string>> = {
  BFD_CHECK: 'the director has no BFD; a PING_CHECK or TCP_CHECK with a short delay_loop comes near to it',
  FILE_CHECK:
    'no checks of files; a command that reads the file can be a check, with dynamic_weight also for the weight',
};

export function checkerHandlers(read: (statement: Statement, reader: CheckerReader) => void): Handlers {
  return Object.fromEntries(
    Object.entries(readers).map(([keyword, reader]) => [keyword, (statement: Statement) => read(statement, reader)]),
  );
}

const defaults = { delayLoop: 60, connectTimeout: 5, delayBeforeRetry: 1, retry: 1 } as const;

/** A checker's own, seconds and tries. */
interface Times {
  readonly timeout?: number;
  readonly retry?: number;
  readonly delayBeforeRetry?: number;
}

/** Times and tries of a check, without those that are the director's own defaults. */
function timesOf(settings: Settings, own: Times, place: Place, warn: Warn): Omit<CheckEntry, 'type'> {
  const clamped = (name: keyof typeof checkTimes, value: number): number => {
    const { least, most } = checkTimes[name];
    const kept = Math.min(Math.max(value, least), most);
    if (kept !== value) warn(place, `${name} of ${value} s becomes ${kept} s: ${least} … ${most} are possible`);
    return kept;
  };
  const interval = clamped('interval', settings.delayLoop ?? defaults.delayLoop);
  const timeout = clamped('timeout', own.timeout ?? settings.connectTimeout ?? defaults.connectTimeout);
  const fall = (settings.retry ?? own.retry ?? defaults.retry) + 1;
  const pause = settings.delayBeforeRetry ?? own.delayBeforeRetry ?? defaults.delayBeforeRetry;
  const retryInterval = fall > 1 ? clamped('retry_interval', pause) : interval;
  const warmup = clamped('warmup', settings.warmup ?? interval);
  return {
    interval,
    ...(timeout !== checkTimes.timeout.initial && { timeout }),
    ...(fall !== 1 && { fall }),
    ...(retryInterval !== interval && { retry_interval: retryInterval }),
    ...(warmup !== interval && { warmup }),
  };
}

type Connection = Pick<CheckEntry, 'address' | 'port' | 'source'>;

const connectionAdvice: Readonly<Record<string, string>> = {
  bind_port: 'checks take any free port',
  bind_if: 'checks go where the routes lead',
  fwmark: 'checks carry no mark',
  log_all_failures: 'every change of state is an event: fulcrum watch',
};

function connectionHandlers(connection: Writable<Connection>, warn: Warn): Handlers {
  return {
    connect_ip: (statement) => {
      const address = addressOf(statement, warn);
      if (address !== undefined) connection.address = address;
    },
    connect_port: (statement) => {
      const port = numberOf(statement, 1, largestPort, warn);
      if (port !== undefined) connection.port = port;
    },
    bindto: (statement) => {
      const address = addressOf(statement, warn);
      if (address !== undefined) connection.source = address;
    },
  };
}

/** Common options and those of the handlers. */
function readChecker(
  { statement, outer, warn }: Context,
  own: Handlers,
  advice: Readonly<Record<string, string>> = {},
) {
  const settings: Writable<Settings> = {};
  const connection: Writable<Connection> = {};
  const handlers = { ...checkerSettings(settings, warn), ...connectionHandlers(connection, warn), ...own };
  readBlock(
    statement.body ?? [],
    { handlers, advice: { ...connectionAdvice, ...advice }, where: statement.keyword },
    warn,
  );
  const merged = inherit(settings, outer);
  return { settings: merged, connection, alpha: merged.alpha ?? false };
}

function plain(type: string): CheckerReader {
  return (context) => {
    const { settings, connection, alpha } = readChecker(context, {});
    const times = timesOf(settings, {}, context.statement.place, context.warn);
    return { checks: [{ type, ...times, ...connection }], alpha };
  };
}

interface Url {
  readonly place: Place;
  readonly entry: Omit<CheckEntry, 'type'>;
}

function http(type: 'http' | 'https'): CheckerReader {
  return (context) => {
    const { statement, warn, ssl } = context;
    const { place } = statement;
    const urls: Url[] = [];
    let virtualhost = context.outer.virtualhost;
    let version = '1.0';
    let sni = false;
    let retries: number | undefined;
    const { settings, connection, alpha } = readChecker(context, {
      url: (url) => urls.push(readUrl(url, warn)),
      virtualhost: (one) => {
        virtualhost = wordOf(one);
      },
      nb_get_retry: (one) => {
        retries = numberOf(one, 0, 999, warn);
      },
      http_protocol: (one) => {
        version = httpVersion(one, warn);
      },
      enable_sni: (one) => {
        sni = booleanOf(one, warn) ?? false;
      },
      // Recovery waits for nothing here, since every url is checked on its own.
      fast_recovery: () => undefined,
    });
    if (urls.length === 0) {
      warn(place, `${statement.keyword} has no url; ignored`);
      return undefined;
    }
    if (urls.length > 1) {
      warn(
        place,
        `${urls.length} urls become ${urls.length} checks, each made every delay_loop; keepalived asks for one of them at a time`,
      );
    }
    const times = timesOf(inherit({ retry: retries }, settings), { delayBeforeRetry: 3 }, place, warn);
    const checks = urls.map(({ entry }) => {
      const host = entry.host ?? virtualhost;
      const tls = { ...(sni && host !== undefined && { server_name: host }), ...ssl };
      return {
        type,
        ...(urls.length > 1 && { name: `${host ?? ''}${entry.path ?? '/'}` }),
        ...times,
        ...connection,
        ...entry,
        ...(host !== undefined && { host }),
        ...(version !== '1.1' && { http_1_0: true }),
        ...(version === '1.0C' && { headers: ['Connection: close'] }),
        ...(type === 'https' && Object.keys(tls).length > 0 && { tls }),
      };
    });
    return { checks, alpha };
  };
}

function httpVersion(statement: Statement, warn: Warn): string {
  const version = (wordOf(statement) ?? '').toUpperCase();
  if (['1.0', '1.0C', '1.1'].includes(version)) return version;
  warn(statement.place, `http_protocol "${version}" is none of 1.0, 1.0C, 1.1; ignored`);
  return '1.0';
}

const urlAdvice: Readonly<Record<string, string>> = {
  regex_min_offset: 'the whole body is searched',
  regex_max_offset: 'the whole body is searched',
  regex_stack: 'not needed',
};

function readUrl(statement: Statement, warn: Warn): Url {
  const entry: Writable<Omit<CheckEntry, 'type'>> = {};
  const regex: { written?: Statement; readonly options: string[] } = { options: [] };
  const handlers: Handlers = {
    path: (one) => {
      entry.path = pathOf(one, warn);
    },
    virtualhost: (one) => {
      const host = wordOf(one);
      if (host !== undefined) entry.host = host;
    },
    status_code: (one) => {
      const codes = one.words.flatMap(({ text }) => statusOf(text, one.place, warn));
      if (codes.length > 0) entry.expected_status = codes;
    },
    digest: (one) => {
      const digest = wordOf(one) ?? '';
      if (/^[0-9a-f]{32}$/i.test(digest)) entry.body_md5 = digest;
      else warn(one.place, `digest "${digest}" is not an MD5; ignored`);
    },
    regex: (one) => {
      regex.written = one;
    },
    regex_no_match: (one) => {
      if (booleanOf(one, warn)) entry.body_regex_negated = true;
    },
    regex_options: (one) => {
      const unknown = one.words.map(({ text }) => text).filter((name) => !isRegexOption(name));
      if (unknown.length > 0) warn(one.place, `regex_options ${unknown.join(' ')}: the expression is used without`);
      regex.options.push(...one.words.map(({ text }) => text));
    },
  };
  readBlock(statement.body ?? [], { handlers, advice: urlAdvice, where: 'url' }, warn);
  if (regex.written !== undefined) readRegex(regex.written, regex.options, entry, warn);
  if (entry.body_regex === undefined) delete entry.body_regex_negated;
  return { place: statement.place, entry };
}

function pathOf(statement: Statement, warn: Warn): string {
  const written = wordOf(statement) ?? '/';
  const path = encodeURI(written.startsWith('/') ? written : `/${written}`).replaceAll('%25', '%');
  if (path !== written) warn(statement.place, `path "${written}" is asked for as ${path}`);
  return path;
}

/** When the options are known, which may be written below it. */
function readRegex(
  statement: Statement,
  options: readonly string[],
  entry: Writable<Omit<CheckEntry, 'type'>>,
  warn: Warn,
): void {
  const source = statement.words.map(({ text }) => text).join(' ');
  try {
    entry.body_regex = re2Regex(source, options);
  } catch (error) {
    if (!(error instanceof KeyError)) throw error;
    warn(statement.place, `regex: ${error.message}; the body is not compared`);
  }
}

/** 200 or "200-299". */
function statusOf(text: string, place: Place, warn: Warn): readonly (number | string)[] {
  const [, first, last = first] = /^([1-5]\d\d)(?:-([1-5]\d\d))?$/.exec(text) ?? [];
  if (first === undefined || Number(last) < Number(first)) {
    warn(place, `status_code "${text}" is not a status or a range of them; ignored`);
    return [];
  }
  return [first === last ? Number(first) : text];
}

function smtp(context: Context): Checker {
  const { statement, warn } = context;
  const hosts: Connection[] = [];
  let heloName: string | undefined;
  const { settings, connection, alpha } = readChecker(context, {
    helo_name: (one) => {
      heloName = wordOf(one);
    },
    host: (one) => {
      const host: Writable<Connection> = {};
      const handlers = connectionHandlers(host, warn);
      readBlock(one.body ?? [], { handlers, advice: connectionAdvice, where: 'host' }, warn);
      hosts.push(host);
    },
  });
  const times = timesOf(settings, {}, statement.place, warn);
  const checks = (hosts.length > 0 ? hosts : [{}]).map((host, index) => ({
    type: 'smtp',
    ...(hosts.length > 1 && { name: `smtp ${host.address ?? index + 1}` }),
    ...times,
    ...connection,
    ...host,
    ...(heloName !== undefined && { helo_name: heloName }),
  }));
  return { checks, alpha };
}

function dns(context: Context): Checker {
  const query: Writable<Pick<CheckEntry, 'query_name' | 'query_type'>> = {};
  const { settings, connection, alpha } = readChecker(context, {
    type: (one) => {
      const type = wordOf(one)?.toUpperCase() ?? '';
      if (!/^[A-Z][A-Z0-9]*$/.test(type))
        context.warn(one.place, `type "${type}" is not a type of DNS records; ignored`);
      else if (type !== 'SOA') query.query_type = type;
    },
    name: (one) => {
      const name = wordOf(one);
      if (name !== undefined && name !== '.') query.query_name = name;
    },
  });
  const own = { retry: 3, delayBeforeRetry: settings.delayLoop ?? defaults.delayLoop };
  const times = timesOf(settings, own, context.statement.place, context.warn);
  return { checks: [{ type: 'dns', ...times, ...connection, ...query }], alpha };
}

function udp(context: Context): Checker {
  const { warn } = context;
  const options: Writable<Omit<CheckEntry, 'type'>> = {};
  const { settings, connection, alpha } = readChecker(context, {
    payload: (one) => {
      const payload = hexOf(one, /^([0-9a-f]{2})+$/i, warn);
      if (payload !== undefined) options.payload = payload;
    },
    require_reply: (one) => {
      options.require_reply = true;
      const reply = one.words.length === 0 ? undefined : hexOf(one, /^([0-9a-fx]{2})+$/i, warn);
      if (reply !== undefined) options.reply = reply;
    },
    min_reply_length: (one) => {
      options.least_reply_bytes = numberOf(one, 0, 65_535, warn) ?? 0;
    },
    max_reply_length: (one) => {
      options.most_reply_bytes = numberOf(one, 0, 65_535, warn) ?? 255;
    },
  });
  const times = timesOf(settings, {}, context.statement.place, warn);
  return { checks: [{ type: 'udp', ...times, ...connection, ...possibleReply(options, context) }], alpha };
}

/** Lengths that a reply cannot have, or that nobody looks at, are left out. */
function possibleReply(options: Omit<CheckEntry, 'type'>, { statement, warn }: Context): Omit<CheckEntry, 'type'> {
  const { least_reply_bytes: least, most_reply_bytes: most, ...rest } = options;
  const isGiven = least !== undefined || most !== undefined;
  if (isGiven && !options.require_reply) {
    warn(statement.place, 'lengths of a reply are of no use without require_reply; left out');
    return rest;
  }
  if ((least ?? 0) <= (most ?? 255)) return options;
  warn(statement.place, `min_reply_length ${least} is above max_reply_length ${most ?? 255}; both are left out`);
  return rest;
}

/** Digits may stand in groups. */
function hexOf(statement: Statement, form: RegExp, warn: Warn): string | undefined {
  const digits = statement.words.map(({ text }) => text).join('');
  if (form.test(digits)) return digits;
  warn(statement.place, `${statement.keyword} "${digits}" is not an even number of hexadecimal digits; ignored`);
  return undefined;
}

function misc(context: Context): Checker | undefined {
  const { statement, warn } = context;
  const read: { command: readonly string[]; timeout?: number | undefined; isDynamic: boolean } = {
    command: [],
    isDynamic: false,
  };
  const { settings, alpha } = readChecker(
    context,
    {
      misc_path: (one) => {
        read.command = programOf(one.words.map(({ text }) => text).join(' '));
      },
      misc_timeout: (one) => {
        read.timeout = secondsOf(one, warn);
      },
      misc_dynamic: (one) => {
        read.isDynamic = booleanOf(one, warn) ?? false;
      },
    },
    { user: 'the command runs as the user of the manager' },
  );
  const { command, timeout, isDynamic } = read;
  if (command.length === 0) {
    warn(statement.place, 'MISC_CHECK has no misc_path; ignored');
    return undefined;
  }
  const own = { retry: 0, timeout: timeout ?? settings.delayLoop ?? defaults.delayLoop };
  const times = timesOf(settings, own, statement.place, warn);
  return { checks: [{ type: 'command', ...times, command, ...(isDynamic && { dynamic_weight: true }) }], alpha };
}
