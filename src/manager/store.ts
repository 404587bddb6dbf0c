// SPDX-License-Identifier: Apache-2.0
// The durable desired state: a state file, replaced as a whole (write beside it, fsync, rename, fsync the directory), and
// journals of the edits since, so that an edit costs what it edits. A crash at any moment leaves what was acknowledged,
// or that and the edit after. One process at a time: the directory is locked with flock(2).
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, ftruncateSync, mkdirSync, openSync, readdirSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { FulcrumError } from '../grpc/errors.js';
import { type JournalRecord, recordText, replay } from './journal.js';
import { countServers, emptyModel } from './model.js';
import { parseState, type State, writeState } from './state_file.js';

const stateFile = 'state.json';
const temporaryFile = 'state.json.new';
const lockFile = 'lock';
/** A journal's name ends with the generation that it begins after. */
const journalName = /^journal-(\d+)$/;
/** Bytes of a journal after which the state file is written again, in the background. */
const journalLimit = 4 * 1024 * 1024;
/** Edits with fewer operations than this always go to the journal. */
const smallEdit = 1_000;

interface Journal {
  readonly file: FileHandle;
  /** Bytes of whole records in it. */
  bytes: number;
}

export class Store {
  /** What the files said when it was opened. */
  readonly loaded: State;
  readonly #directory: string;
  readonly #directoryHandle: FileHandle;
  readonly #lock: number;
  readonly #onError: (error: unknown) => void;
  #journal: Journal;
  #checkpoint: Promise<void> = Promise.resolve();

  private constructor(opened: Opened) {
    this.#directory = opened.directory;
    this.#directoryHandle = opened.directoryHandle;
    this.#lock = opened.lock;
    this.#journal = opened.journal;
    this.#onError = opened.onError;
    this.loaded = opened.state;
  }

  /**
   * Locks the directory (making it if need be) and reads the state; without a file it begins a new lineage. `onError` is
   * told when the state file could not be written in the background: the journals have it all.
   */
  static async open(directory: string, onError: (error: unknown) => void = () => {}): Promise<Store> {
    makeDirectory(directory);
    const lock = lockDirectory(directory);
    try {
      const found = readState(join(directory, stateFile));
      rmSync(join(directory, temporaryFile), { force: true });
      const { state, journal } = readJournals(directory, found ?? freshState());
      const store = new Store({
        directory,
        lock,
        onError,
        state,
        directoryHandle: await open(directory, 'r'),
        journal: await openJournal(journal),
      });
      if (found === undefined) await store.save(state);
      return store;
    } catch (error) {
      closeSync(lock);
      throw error;
    }
  }

  /**
   * Resolves when the state, made by these edits from the one committed last, would survive a loss of power. Not to be
   * called again before that.
   */
  async commit(state: State, records: readonly JournalRecord[]): Promise<void> {
    const operations = records.reduce((sum, record) => sum + sizeOf(record), 0);
    if (operations >= smallEdit && operations >= countServers(state.model)) return await this.save(state);
    await this.#append(records.map((record) => recordText(record, state.lineage)).join(''));
    if (this.#journal.bytes < journalLimit) return;
    await this.#checkpoint;
    await this.#rotate(state);
    this.#checkpoint = this.#write(state).catch(this.#onError);
  }

  /** Writes the whole state. Resolves and may be called as commit(). */
  async save(state: State): Promise<void> {
    await this.#checkpoint;
    await this.#rotate(state);
    await this.#write(state);
  }

  /** Gives up the lock. */
  async close(): Promise<void> {
    await this.#checkpoint;
    await this.#journal.file.close();
    await this.#directoryHandle.close();
    closeSync(this.#lock);
  }

  async #append(text: string): Promise<void> {
    const journal = this.#journal;
    const bytes = Buffer.from(text);
    try {
      for (let at = 0; at < bytes.length; ) {
        at += (await journal.file.write(bytes, at, bytes.length - at, journal.bytes + at)).bytesWritten;
      }
      await journal.file.datasync();
    } catch (error) {
      // Half a record at the end is not read, but no other may follow it.
      await journal.file.truncate(journal.bytes).catch(this.#onError);
      throw error;
    }
    journal.bytes += bytes.length;
  }

  /** From now on edits go to a new journal: the old ones are of no use once this state is written. */
  async #rotate({ generation }: State): Promise<void> {
    const { file } = this.#journal;
    this.#journal = await openJournal({ path: journalPath(this.#directory, generation), bytes: 0 });
    await file.close();
    await this.#directoryHandle.sync();
  }

  async #write(state: State): Promise<void> {
    const temporary = join(this.#directory, temporaryFile);
    const file = await open(temporary, 'w', 0o640);
    try {
      await writeState(file, state);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, join(this.#directory, stateFile));
    await this.#directoryHandle.sync();
    for (const { path, after } of journalsIn(this.#directory)) if (after < state.generation) await rm(path);
  }
}

function sizeOf({ operations, conditions = [] }: JournalRecord): number {
  return operations.length + conditions.length;
}

interface Opened {
  readonly directory: string;
  readonly directoryHandle: FileHandle;
  readonly lock: number;
  readonly journal: Journal;
  readonly state: State;
  readonly onError: (error: unknown) => void;
}

function freshState(): State {
  return { lineage: randomUUID(), generation: 1, model: emptyModel };
}

function journalPath(directory: string, generation: number): string {
  return join(directory, `journal-${generation}`);
}

/** The journals, in the order in which they were begun. */
function journalsIn(directory: string): readonly { readonly path: string; readonly after: number }[] {
  return readdirSync(directory)
    .map((name) => ({ path: join(directory, name), after: Number(journalName.exec(name)?.[1]) }))
    .filter(({ after }) => !Number.isNaN(after))
    .sort((left, right) => left.after - right.after);
}

/** What is to be written on with: what is behind its whole records goes. */
interface JournalEnd {
  readonly path: string;
  readonly bytes: number;
}

async function openJournal({ path, bytes }: JournalEnd): Promise<Journal> {
  const file = await open(path, bytes === 0 ? 'w' : 'r+', 0o640);
  await file.truncate(bytes);
  return { file, bytes };
}

function readJournals(directory: string, begin: State): { readonly state: State; readonly journal: JournalEnd } {
  let state = begin;
  let journal = { path: journalPath(directory, begin.generation), bytes: 0 };
  for (const { path } of journalsIn(directory)) {
    try {
      const replayed = replay(state, readFileSync(path));
      state = replayed.state;
      journal = { path, bytes: replayed.bytes };
    } catch (error) {
      throw damaged(`journal ${path}`, error);
    }
  }
  return { state, journal };
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
    throw damaged(`state file ${path}`, error);
  }
}

function damaged(what: string, error: unknown): FulcrumError {
  const advice = 'It was left as it is. Put back a good copy, or move it away to begin with an empty configuration';
  return new FulcrumError({
    code: 'DATA_LOSS',
    message: `${what} ${(error as Error).message}. ${advice}`,
    cause: error,
  });
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
