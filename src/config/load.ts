// SPDX-License-Identifier: Apache-2.0
// Where a server's load is learnt, as operators write it, "{ type: agent, port: 8081 }": JSON Schema, the way to the API's
// message and back. Times are seconds here, milliseconds there. Every type takes the common options and its own.
import type { LoadSource__Output } from '../generated/fulcrum/v1/LoadSource.js';
import type { NumberSource__Output } from '../generated/fulcrum/v1/NumberSource.js';
import type { Attempt, Path } from './document.js';
import {
  addressOf,
  checkHeader,
  checkHost,
  checkPath,
  flag,
  namingTypes,
  type TlsEntry,
  text,
  time,
  tlsEntry,
  tlsSchema,
  toMilliseconds,
  toTls,
} from './health_check.js';
import { KeyError, largestPort } from './keys.js';

export type LoadEntry = {
  readonly type: string;
  readonly interval?: number;
  readonly timeout?: number;
  readonly address?: string;
  readonly port?: number;
  readonly source?: string;
  readonly smoothing?: number;
  readonly least?: number;
  readonly greatest?: number;
  readonly dead_band?: number;
  readonly expiry?: number;
  readonly send?: string;
  readonly idle?: number;
  readonly busy?: number;
  readonly metric?: string;
  readonly pointer?: string;
  readonly path?: string;
  readonly host?: string;
  readonly headers?: readonly string[];
  readonly https?: boolean;
  readonly tls?: TlsEntry;
};

type LoadOption = Exclude<keyof LoadEntry, 'type'>;

const httpOptions = ['path', 'host', 'headers', 'https', 'tls', 'idle', 'busy'] as const;

/** What a type takes beside the common options. */
const ownOptions: Readonly<Record<string, readonly LoadOption[]>> = {
  agent: ['send'],
  orca: ['metric', 'tls', 'idle', 'busy'],
  json: ['pointer', ...httpOptions],
  prometheus: ['metric', ...httpOptions],
};

const largestShare = 25_600;
const percent = (description: string, most = largestShare) => ({
  type: 'integer',
  minimum: 0,
  maximum: most,
  description,
});

export const loadSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['type'],
  description: 'weights follow the load of the servers; left out: they do not',
  properties: namingTypes(ownOptions, {
    type: {
      enum: Object.keys(ownOptions),
      description: 'who tells the load; other keys are only of the types that they name',
    },
    interval: time({ least: 0.1, most: 86_400 }, 'seconds from one question to the next; left out: 2, of orca 10'),
    timeout: time({ least: 0.01, most: 3_600 }, 'seconds that one question may take; left out: interval'),
    address: text("address that is asked; left out: the server's"),
    port: {
      type: 'integer',
      minimum: 1,
      maximum: largestPort,
      description: "port that is asked; left out: the server's",
    },
    source: text('address of the director that is asked from'),
    smoothing: time(
      { least: 0, most: 3_600 },
      'seconds after which half of a change has come; left out: 10, of agent 0',
    ),
    least: percent('least percentage of the weight; left out: 10, of agent 0'),
    greatest: { ...percent('greatest percentage of the weight; left out: 100, of agent 25600'), minimum: 1 },
    dead_band: percent('percentages that differ by less leave the weight alone; left out: 5, of agent 0', 100),
    expiry: time({ least: 0, most: 86_400 }, 'seconds without a reading until the weight is the wanted one again'),
    send: text('sent to the agent when the connection is made'),
    idle: { type: 'number', description: 'reading that stands for the greatest percentage; left out: 0' },
    busy: { type: 'number', description: 'reading that stands for the least percentage; left out: 1' },
    metric: text('of the report, or of the answer with perhaps labels: node_load1{host="a"}'),
    pointer: { type: 'string', description: 'JSON pointer to the number in the answer' },
    path: text('path that is asked; left out: /'),
    host: text('Host header; left out: the address and port asked'),
    headers: { type: 'array', items: { type: 'string' }, description: 'further headers, "Name: value"' },
    https: flag('HTTPS instead of HTTP'),
    tls: tlsSchema,
  }),
};

export function toLoad(entry: LoadEntry, path: Path, attempt: Attempt): LoadSource__Output {
  checkOwnOptions(entry, path, attempt);
  const at = <T>(option: LoadOption, read: () => T): T | undefined => attempt([...path, option], read);
  const milliseconds = (option: 'interval' | 'timeout' | 'smoothing' | 'expiry'): number =>
    at(option, () => toMilliseconds(entry[option])) ?? 0;
  at('least', () => checkBounds(entry));
  at('busy', () => checkScale(entry));
  return {
    intervalMs: milliseconds('interval'),
    timeoutMs: milliseconds('timeout'),
    address: at('address', () => addressOf(entry.address)) ?? '',
    port: entry.port ?? 0,
    source: at('source', () => addressOf(entry.source)) ?? '',
    ...(entry.smoothing !== undefined && { smoothingMs: milliseconds('smoothing') }),
    ...(entry.least !== undefined && { leastPercent: entry.least }),
    ...(entry.greatest !== undefined && { greatestPercent: entry.greatest }),
    ...(entry.dead_band !== undefined && { deadBandPercent: entry.dead_band }),
    ...(entry.expiry !== undefined && { expiryMs: milliseconds('expiry') }),
    ...(entry.idle !== undefined && { idle: entry.idle }),
    ...(entry.busy !== undefined && { busy: entry.busy }),
    ...kindOf(entry, path, attempt),
  };
}

/** Names the option that belongs to another type. */
function checkOwnOptions(entry: LoadEntry, path: Path, attempt: Attempt): void {
  const own = ownOptions[entry.type] ?? [];
  const foreign = new Set(Object.values(ownOptions).flat());
  for (const option of Object.keys(entry) as LoadOption[]) {
    if (!foreign.has(option) || own.includes(option)) continue;
    const owners = Object.keys(ownOptions).filter((type) => ownOptions[type]?.includes(option));
    attempt([...path, option], () => {
      throw new KeyError(`${option} belongs to a load of type ${owners.join(' and ')}, not ${entry.type}`);
    });
  }
}

function checkBounds({ type, least, greatest }: LoadEntry): void {
  const isAgent = type === 'agent';
  const [low, high] = [least ?? (isAgent ? 0 : 10), greatest ?? (isAgent ? largestShare : 100)];
  if (low > high) throw new KeyError(`${low} is more than the greatest percentage, which is ${high}`);
}

function checkScale({ idle = 0, busy = 1 }: LoadEntry): void {
  if (idle === busy) throw new KeyError(`${busy} is idle, too`);
}

type Kind = Pick<LoadSource__Output, 'agent' | 'orca' | 'number'>;

function kindOf(entry: LoadEntry, path: Path, attempt: Attempt): Kind {
  switch (entry.type) {
    case 'agent':
      attempt(path, () => {
        if (entry.port === undefined) throw new KeyError('an agent has a port of its own: "port" is missing');
      });
      return { agent: { send: entry.send ?? '' } };
    case 'orca':
      return { orca: { metric: entry.metric ?? '', tls: entry.tls === undefined ? null : toTls(entry.tls) } };
    default:
      return { number: toNumber(entry, path, attempt) };
  }
}

function toNumber(entry: LoadEntry, path: Path, attempt: Attempt): NumberSource__Output {
  const at = <T>(option: LoadOption, read: () => T): T | undefined => attempt([...path, option], read);
  const headers = (entry.headers ?? []).map((header, index) =>
    attempt([...path, 'headers', index], () => checkHeader(header)),
  );
  at('tls', () => {
    if (entry.tls !== undefined && !entry.https) throw new KeyError('tls needs https: true');
  });
  const needed = entry.type === 'json' ? 'pointer' : 'metric';
  attempt(path, () => {
    if (entry[needed] === undefined) throw new KeyError(`a load of type ${entry.type} needs a ${needed}`);
  });
  return {
    path: at('path', () => checkPath(entry.path ?? '')) ?? '',
    host: at('host', () => checkHost(entry.host ?? '')) ?? '',
    headers: headers.filter((header) => header !== undefined),
    tls: entry.https ? toTls(entry.tls ?? {}) : null,
    ...(entry.type === 'json'
      ? { jsonPointer: at('pointer', () => checkPointer(entry.pointer ?? '')) ?? '' }
      : { prometheusMetric: at('metric', () => checkMetric(entry.metric ?? '')) ?? '' }),
  };
}

/** RFC 6901. */
function checkPointer(pointer: string): string {
  if (!/^(\/([^~]|~[01])*)?$/s.test(pointer))
    throw new KeyError(`"${pointer}" is not a JSON pointer such as "/load/0"`);
  return pointer;
}

/** What is in the braces is looked at by who reads them. */
function checkMetric(metric: string): string {
  if (metric !== '' && !/^\s*[a-zA-Z_:][a-zA-Z0-9_:]*\s*(\{.*\}\s*)?$/s.test(metric))
    throw new KeyError(`"${metric}" is not a metric such as node_load1 or busy_workers{pool="web"}`);
  return metric;
}

/** The entry that toLoad would read back to the same; what is left to defaults is left out. */
export function loadEntry(load: LoadSource__Output): LoadEntry {
  return {
    type: load.agent ? 'agent' : load.orca ? 'orca' : load.number?.format === 'jsonPointer' ? 'json' : 'prometheus',
    ...(load.intervalMs !== 0 && { interval: load.intervalMs / 1000 }),
    ...(load.timeoutMs !== 0 && { timeout: load.timeoutMs / 1000 }),
    ...(load.address !== '' && { address: load.address }),
    ...(load.port !== 0 && { port: load.port }),
    ...(load.source !== '' && { source: load.source }),
    ...(load.agent && load.agent.send !== '' && { send: load.agent.send }),
    ...(load.orca && { ...metricEntry(load.orca.metric), ...(load.orca.tls && { tls: tlsEntry(load.orca.tls) }) }),
    ...(load.number && numberEntry(load.number)),
    ...(load.idle !== undefined && { idle: load.idle }),
    ...(load.busy !== undefined && { busy: load.busy }),
    ...(load.smoothingMs !== undefined && { smoothing: load.smoothingMs / 1000 }),
    ...(load.leastPercent !== undefined && { least: load.leastPercent }),
    ...(load.greatestPercent !== undefined && { greatest: load.greatestPercent }),
    ...(load.deadBandPercent !== undefined && { dead_band: load.deadBandPercent }),
    ...(load.expiryMs !== undefined && { expiry: load.expiryMs / 1000 }),
  };
}

function metricEntry(metric: string): Partial<LoadEntry> {
  return metric === '' ? {} : { metric };
}

function numberEntry(number: NumberSource__Output): Partial<LoadEntry> {
  const tls = number.tls ? tlsEntry(number.tls) : {};
  return {
    ...(number.format === 'jsonPointer'
      ? { pointer: number.jsonPointer ?? '' }
      : { metric: number.prometheusMetric ?? '' }),
    ...(number.path !== '' && { path: number.path }),
    ...(number.host !== '' && { host: number.host }),
    ...(number.headers.length > 0 && { headers: number.headers }),
    ...(number.tls && { https: true }),
    ...(Object.keys(tls).length > 0 && { tls }),
  };
}
