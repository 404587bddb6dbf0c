// SPDX-License-Identifier: Apache-2.0
// The durable desired state: one file, replaced as a whole (write beside it, fsync, rename, fsync the directory), so that
// a crash at any moment leaves the old or the new one. Its first line has length and SHA-256 of the rest; a file that
// does not match is refused and left alone. One process at a time: the directory is locked with flock(2).
import { spawnSync } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { defaultTimeouts, type TimeoutValues } from '../config/timeouts.js';
import type { TunableValues } from '../config/tunables.js';
import { FulcrumError } from '../grpc/errors.js';
import { emptyModel, type Model } from './model.js';
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

const format = 'fulcrum-state';
const version = 2;
/** Version 1 knows three timeouts, and neither tunables nor mark rules. */
const readableVersions: readonly unknown[] = [1, version];
const stateFile = 'state.json';
const temporaryFile = 'state.json.new';
const lockFile = 'lock';

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
function serverText({ key, spec, sequence, version: changed }: Server): string {
  const rest = hasExtras(spec) ? `,"extras":${JSON.stringify(extrasOf(spec))}` : '';
  return `{"address":"${key.address}","port":${key.port},"method":"${spec.method}","weight":${spec.weight},"sequence":${sequence},"version":${changed}${rest}}`;
}

type Extras = Omit<ServerSpec, 'method' | 'weight'>;

interface StoredServer extends ServerKey, Pick<ServerSpec, 'method' | 'weight'>, Pick<Server, 'sequence' | 'version'> {
  readonly extras?: Extras;
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

function readServer({ address, port, method, weight, sequence, version: changed, extras }: StoredServer): Server {
  return { key: { address, port }, spec: { method, weight, ...(extras ?? noExtras) }, sequence, version: changed };
}

/** A service on lines of its own, made once for each object. */
function serviceText(service: Service): string {
  const known = serviceTexts.get(service);
  if (known !== undefined) return known;
  const { servers, ...rest } = service;
  const serversText = [...servers.values()].map(serverText).join(',\n');
  const text = `\n${JSON.stringify(rest).slice(0, -1)},"servers":[${serversText}]}`;
  serviceTexts.set(service, text);
  return text;
}

const serviceTexts = new WeakMap<Service, string>();

/** The state as the text of its file. */
export function serializeState({ lineage, generation, model }: State): string {
  const { services, vips, ...rest } = model;
  const head = { lineage, generation, ...rest, vips: [...vips.values()] };
  const servicesText = [...services.values()].map(serviceText).join(',');
  const body = `${JSON.stringify(head).slice(0, -1)},"services":[${servicesText}]}\n`;
  const header = { format, version, bytes: Buffer.byteLength(body), sha256: sha256(body) };
  return `${JSON.stringify(header)}\n${body}`;
}

function sha256(body: string | Buffer): string {
  return createHash('sha256').update(body).digest('hex');
}

interface Body extends Omit<State, 'model'> {
  readonly revision: number;
  readonly nextSequence: number;
  readonly timeouts: Partial<TimeoutValues>;
  readonly tunables?: TunableValues;
  readonly markRules?: readonly MarkRule[];
  readonly vips: readonly Vip[];
  readonly services: readonly (Omit<Service, 'servers'> & { readonly servers: readonly StoredServer[] })[];
}

/** The state in the bytes of its file; throws an Error that says what is wrong with them. */
export function parseState(bytes: Buffer): State {
  const body = JSON.parse(checkedBody(bytes).toString()) as Body;
  const services = body.services.map((service): [string, Service] => {
    const servers = new Map(service.servers.map(readServer).map((server) => [serverId(server.key), server]));
    return [serviceId(service.key), { ...service, servers }];
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
  if (sha256(body) !== header.sha256) throw new Error('does not match its checksum: it was damaged, or edited by hand');
  return body;
}

function parseHeader(line: string): { readonly bytes: number; readonly sha256: string } {
  let header: Record<string, unknown>;
  try {
    header = JSON.parse(line);
  } catch {
    throw new Error('has a damaged first line');
  }
  if (header?.format !== format) throw new Error('is not a state file of fulcrum');
  if (!readableVersions.includes(header.version))
    throw new Error(`has format version ${header.version}; this program reads ${readableVersions.join(' and ')}`);
  if (!Number.isInteger(header.bytes) || typeof header.sha256 !== 'string') throw new Error('has a damaged first line');
  return { bytes: header.bytes as number, sha256: header.sha256 };
}

export class Store {
  /** What the file said when it was opened. */
  readonly loaded: State;
  readonly #directory: string;
  readonly #directoryHandle: FileHandle;
  readonly #lock: number;

  private constructor(directory: string, directoryHandle: FileHandle, lock: number, loaded: State) {
    this.#directory = directory;
    this.#directoryHandle = directoryHandle;
    this.#lock = lock;
    this.loaded = loaded;
  }

  /** Locks the directory (making it if need be) and reads the state; without a file it begins a new lineage. */
  static async open(directory: string): Promise<Store> {
    makeDirectory(directory);
    const lock = lockDirectory(directory);
    try {
      const state = readState(join(directory, stateFile));
      rmSync(join(directory, temporaryFile), { force: true });
      const loaded = state ?? { lineage: randomUUID(), generation: 1, model: emptyModel };
      const store = new Store(directory, await open(directory, 'r'), lock, loaded);
      if (state === undefined) await store.save(loaded);
      return store;
    } catch (error) {
      closeSync(lock);
      throw error;
    }
  }

  /** Resolves when the state would survive a loss of power. Not to be called again before that. */
  async save(state: State): Promise<void> {
    const temporary = join(this.#directory, temporaryFile);
    const file = await open(temporary, 'w', 0o640);
    try {
      await file.writeFile(serializeState(state));
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(this.#directory, stateFile));
    await this.#directoryHandle.sync();
  }

  /** Gives up the lock. */
  async close(): Promise<void> {
    await this.#directoryHandle.close();
    closeSync(this.#lock);
  }
}

function makeDirectory(directory: string): void {
  try {
    mkdirSync(directory, { recursive: true, mode: 0o750 });
  } catch (error) {
    throw refused(`state directory ${directory} cannot be made: ${(error as Error).message}`, error);
  }
}

function refused(message: string, cause?: unknown): FulcrumError {
  return new FulcrumError({ code: 'FAILED_PRECONDITION', message, cause });
}

function readState(path: string): State | undefined {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw refused(`state file ${path} cannot be read: ${(error as Error).message}`, error);
  }
  try {
    return parseState(bytes);
  } catch (error) {
    const advice = 'It was left as it is. Put back a good copy, or move it away to begin with an empty configuration';
    const message = `state file ${path} ${(error as Error).message}. ${advice}`;
    throw new FulcrumError({ code: 'DATA_LOSS', message, cause: error });
  }
}

/**
 * Takes the lock of a directory; the kernel gives it up when this process ends, however it ends. Node has no flock(2),
 * but the lock belongs to the open file, which flock(1) locks for us as its file descriptor 3.
 */
function lockDirectory(directory: string): number {
  const path = join(directory, lockFile);
  let lock: number;
  try {
    lock = openSync(path, 'a+', 0o640);
  } catch (error) {
    throw refused(`state directory ${directory} cannot be used: ${(error as Error).message}`, error);
  }
  const flock = spawnSync('flock', ['--exclusive', '--nonblock', '3'], { stdio: ['ignore', 'ignore', 'pipe', lock] });
  if (flock.status === 0) {
    ftruncateSync(lock);
    writeSync(lock, `${process.pid}\n`);
    return lock;
  }
  closeSync(lock);
  if (flock.error !== undefined)
    throw refused(`flock (of util-linux) cannot be run: ${flock.error.message}`, flock.error);
  if (flock.status !== 1) throw refused(`${path} cannot be locked: ${flock.stderr.toString().trim()}`);
  throw refused(`state directory ${directory} is in use by process ${readFileSync(path, 'utf8').trim()}`);
}
