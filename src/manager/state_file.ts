// SPDX-License-Identifier: Apache-2.0
// The text of the state file. Its first line has length and SHA-256 of the rest, so that a file that was cut off or
// damaged is known as such. It is written in slices: a hundred thousand real servers hold up nobody for long.
import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { defaultTimeouts, type TimeoutValues } from '../config/timeouts.js';
import type { TunableValues } from '../config/tunables.js';
import type { PrefixList__Output } from '../generated/fulcrum/v1/PrefixList.js';
import type { Model } from './model.js';
import {
  type MarkRule,
  type Server,
  type ServerKey,
  type ServerSpec,
  type Service,
  serverId,
  serviceId,
  type Vip,
} from './nouns.js';
import type { PoolServer } from './pool.js';

const format = 'fulcrum-state';
const version = 4;
/** Version 1 knows three timeouts, and neither tunables nor mark rules; version 2 no health; version 3 no traffic policies. */
const readableVersions: readonly unknown[] = [1, 2, 3, version];
/** Bytes of the first line: it is filled up with blanks, since it is written last. */
const headerBytes = 160;
/** Services and servers in a slice. */
const sliceWeight = 500;

export interface State {
  /** Identity of this store, made once: whose generations the dataplane's are. */
  readonly lineage: string;
  /** Grows by one with each group of edits that is sent to the dataplane. From 1. */
  readonly generation: number;
  readonly model: Model;
}

/**
 * A server as JSON. By hand, since there may be very many of them: numbers, names of enums and addresses need no quoting,
 * and what few servers have is left out.
 */
function serverText({ key, spec, sequence, version: changed, health, condition, drain }: Server): string {
  const checked = condition === null && health === null ? '' : `,"checked":${JSON.stringify({ health, condition })}`;
  const drained = drain === null ? '' : `,"drain":${JSON.stringify(drain)}`;
  const rest = (hasExtras(spec) ? `,"extras":${JSON.stringify(extrasOf(spec))}` : '') + checked + drained;
  return `{"address":"${key.address}","port":${key.port},"method":"${spec.method}","weight":${spec.weight},"sequence":${sequence},"version":${changed}${rest}}`;
}

type Extras = Omit<ServerSpec, 'method' | 'weight'>;

interface StoredServer extends ServerKey, Pick<ServerSpec, 'method' | 'weight'>, Pick<Server, 'sequence' | 'version'> {
  readonly extras?: Extras;
  readonly checked?: Pick<Server, 'health' | 'condition'>;
  readonly drain?: Server['drain'];
}

function hasExtras(spec: ServerSpec): boolean {
  return spec.upperThreshold !== 0 || spec.lowerThreshold !== 0 || spec.tunnelType !== 'TUNNEL_TYPE_UNSPECIFIED';
}

function extrasOf({ method: _method, weight: _weight, ...extras }: ServerSpec): Extras {
  return extras;
}

const noExtras: Extras = {
  upperThreshold: 0,
  lowerThreshold: 0,
  tunnelType: 'TUNNEL_TYPE_UNSPECIFIED',
  tunnelPort: 0,
  tunnelChecksum: 'TUNNEL_CHECKSUM_UNSPECIFIED',
};

function readServer({ address, port, method, weight, sequence, version: changed, ...rest }: StoredServer): Server {
  const { extras = noExtras, checked = { health: null, condition: null }, drain = null } = rest;
  return { key: { address, port }, spec: { method, weight, ...extras }, sequence, version: changed, ...checked, drain };
}

/** A service on lines of its own, made once for each object. */
function serviceText(service: Service): string {
  const known = serviceTexts.get(service);
  if (known !== undefined) return known;
  const { servers, pool, ...rest } = service;
  const serversText = [...servers.values()].map(serverText).join(',\n');
  const poolText = pool === null ? '' : `,"pool":${JSON.stringify({ ...pool, servers: [...pool.servers.values()] })}`;
  const text = `\n${JSON.stringify(rest).slice(0, -1)}${poolText},"servers":[${serversText}]}`;
  serviceTexts.set(service, text);
  return text;
}

const serviceTexts = new WeakMap<Service, string>();

/** The text after the first line, piece by piece. */
function* bodyOf({ lineage, generation, model }: State): Generator<string> {
  const { services, vips, prefixLists, ...rest } = model;
  const head = { lineage, generation, ...rest, vips: [...vips.values()], prefixLists: [...prefixLists.values()] };
  yield `${JSON.stringify(head).slice(0, -1)},"services":[`;
  let texts: string[] = [];
  let weight = 0;
  let separator = '';
  for (const service of services.values()) {
    texts.push(serviceText(service));
    weight += 1 + service.servers.size;
    if (weight < sliceWeight) continue;
    yield separator + texts.join(',');
    separator = ',';
    texts = [];
    weight = 0;
  }
  if (texts.length > 0) yield separator + texts.join(',');
  yield ']}\n';
}

function headerText(bytes: number, sha256: string): string {
  return `${JSON.stringify({ format, version, bytes, sha256 }).padEnd(headerBytes - 1)}\n`;
}

/** The state as the text of its file. */
export function serializeState(state: State): string {
  const body = [...bodyOf(state)].join('');
  return headerText(Buffer.byteLength(body), sha256(body, version)) + body;
}

/** Writes the same to an empty file. Between slices others have their turn. */
export async function writeState(file: FileHandle, state: State): Promise<void> {
  const hash = hashOf(version);
  let position = headerBytes;
  for (const text of bodyOf(state)) {
    const slice = Buffer.from(text);
    hash.update(slice);
    await file.write(slice, 0, slice.length, position);
    position += slice.length;
    await setImmediate();
  }
  await file.write(headerText(position - headerBytes, hash.digest('hex')), 0);
}

/** From version 3 on the version is summed up too: no other can be read into a damaged first line. */
function hashOf(of: number): Hash {
  const hash = createHash('sha256');
  return of < 3 ? hash : hash.update(`${of}\n`);
}

function sha256(body: string | Buffer, of: number): string {
  return hashOf(of).update(body).digest('hex');
}

interface StoredService extends Omit<Service, 'servers' | 'pool' | 'health' | 'traffic'> {
  readonly servers: readonly StoredServer[];
  readonly traffic?: Service['traffic'];
  readonly health?: Service['health'];
  readonly pool?: { readonly servers: readonly PoolServer[]; readonly quorumUp: boolean };
}

interface Body extends Omit<State, 'model'> {
  readonly revision: number;
  readonly nextSequence: number;
  readonly timeouts: Partial<TimeoutValues>;
  readonly tunables?: TunableValues;
  readonly markRules?: readonly MarkRule[];
  readonly vips: readonly Vip[];
  readonly prefixLists?: readonly PrefixList__Output[];
  readonly services: readonly StoredService[];
}

/** The state in the bytes of its file; throws an Error that says what is wrong with them. */
export function parseState(bytes: Buffer): State {
  const body = JSON.parse(checkedBody(bytes).toString()) as Body;
  const services = body.services.map((service): [string, Service] => {
    const servers = new Map(service.servers.map(readServer).map((server) => [serverId(server.key), server]));
    const pooled = service.pool?.servers.map((server): [string, PoolServer] => [serverId(server.key), server]);
    const pool = service.pool === undefined ? null : { ...service.pool, servers: new Map(pooled) };
    const { health = null, traffic = null } = service;
    return [serviceId(service.key), { ...service, servers, pool, health, traffic }];
  });
  return {
    lineage: body.lineage,
    generation: body.generation,
    model: {
      services: new Map(services),
      vips: new Map(body.vips.map((vip) => [vip.address, vip])),
      timeouts: { ...defaultTimeouts, ...body.timeouts },
      tunables: body.tunables ?? {},
      markRules: body.markRules ?? [],
      prefixLists: new Map((body.prefixLists ?? []).map((list) => [list.name, list])),
      revision: body.revision,
      nextSequence: body.nextSequence,
    },
  };
}

function checkedBody(bytes: Buffer): Buffer {
  if (bytes.length === 0) throw new Error('is empty');
  const end = bytes.indexOf('\n');
  if (end < 0) throw new Error(`is cut off in its first line, after ${bytes.length} bytes`);
  const header = parseHeader(bytes.subarray(0, end).toString());
  const body = bytes.subarray(end + 1);
  if (body.length < header.bytes)
    throw new Error(`is cut off: ${body.length} of ${header.bytes} bytes follow its first line`);
  if (body.length > header.bytes) throw new Error(`has ${body.length - header.bytes} bytes too many at its end`);
  if (sha256(body, header.version) !== header.sha256)
    throw new Error('does not match its checksum: it was damaged, or edited by hand');
  return body;
}

function parseHeader(line: string): { readonly version: number; readonly bytes: number; readonly sha256: string } {
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(line);
  } catch {
    throw new Error('has a damaged first line');
  }
  if (header?.format !== format) throw new Error('is not a state file of fulcrum');
  if (!readableVersions.includes(header.version))
    throw new Error(`has format version ${header.version}; this program reads ${readableVersions.join(', ')}`);
  if (!Number.isInteger(header.bytes) || typeof header.sha256 !== 'string') throw new Error('has a damaged first line');
  return { version: header.version as number, bytes: header.bytes as number, sha256: header.sha256 };
}
