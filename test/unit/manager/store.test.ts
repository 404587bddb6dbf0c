// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { defaultTimeouts } from '../../../src/config/timeouts.js';
import { FulcrumError } from '../../../src/grpc/errors.js';
import { applyOperations, emptyModel } from '../../../src/manager/model.js';
import { parseState, type State, serializeState } from '../../../src/manager/state_file.js';
import { Store } from '../../../src/manager/store.js';
import { moduleArguments } from '../../support/program.js';
import {
  addServer,
  addService,
  editServer,
  outline,
  setMarkRules,
  setTimeouts,
  setTunables,
} from './support/operations.js';

const web = 'tcp 192.0.2.1:80';

function temporaryDirectory(t: ExecutionContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-store-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function exampleState(): State {
  const { model } = applyOperations(emptyModel, [
    {
      action: 'setVip',
      setVip: { address: '192.0.2.1', announce: 'ANNOUNCE_NONE', state: 'VIP_STATE_STANDBY', services: 0 },
    },
    setTimeouts({ tcpS: 60 }),
    setTunables({ sloppyTcp: 1 }),
    setMarkRules({ destination: '203.0.113.0/24', protocol: 'PROTOCOL_TCP', destinationPorts: { first: 80, last: 0 } }),
    addService(web, { scheduler: 'rr' }),
    addServer(web, '10.0.0.1:80'),
    addServer(web, '10.0.0.2:80', { weight: 0 }),
    addService('udp 192.0.2.1:53'),
  ]);
  return { lineage: 'lineage-1', generation: 7, model };
}

async function openError(directory: string): Promise<FulcrumError> {
  try {
    await (await Store.open(directory)).close();
  } catch (error) {
    if (error instanceof FulcrumError) return error;
    throw error;
  }
  throw new Error('the store was opened');
}

test('what is saved is what is loaded, list order included', async (t) => {
  const directory = temporaryDirectory(t);
  const first = await Store.open(directory);
  t.is(first.loaded.model.services.size, 0);
  const state = { ...exampleState(), lineage: first.loaded.lineage };
  await first.save(state);
  await first.close();
  const second = await Store.open(directory);
  t.deepEqual(second.loaded, state);
  t.deepEqual(outline(second.loaded.model), outline(state.model));
  await second.close();
});

test('a new directory gets a lineage that stays', async (t) => {
  const directory = join(temporaryDirectory(t), 'a', 'b');
  const first = await Store.open(directory);
  await first.close();
  const second = await Store.open(directory);
  t.is(second.loaded.lineage, first.loaded.lineage);
  t.is(second.loaded.generation, 1);
  await second.close();
});

test('cut off after any byte, the state is refused', (t) => {
  const bytes = Buffer.from(serializeState(exampleState()));
  for (let length = 0; length < bytes.length; length++) {
    t.throws(() => parseState(bytes.subarray(0, length)), { message: /is empty|is cut off/ }, `${length} bytes`);
  }
  t.notThrows(() => parseState(bytes));
});

test('with any one byte changed, the state is refused', (t) => {
  const bytes = Buffer.from(serializeState(exampleState()));
  for (let index = 0; index < bytes.length; index++) {
    const damaged = Buffer.from(bytes);
    damaged[index] = (damaged[index] ?? 0) ^ 0x01;
    t.throws(() => parseState(damaged), undefined, `byte ${index}`);
  }
});

const damages: readonly (readonly [string, (good: string) => string, RegExp])[] = [
  ['empty', () => '', /is empty/],
  ['cut off in the first line', (good) => good.slice(0, 30), /is cut off in its first line, after 30 bytes/],
  ['cut off', (good) => good.slice(0, -10), /is cut off: \d+ of \d+ bytes follow its first line/],
  ['with more at its end', (good) => `${good}more`, /has 4 bytes too many at its end/],
  ['edited by hand', (good) => good.replace('"weight":1', '"weight":2'), /does not match its checksum/],
  ['of another program', () => '{"name":"x"}\n', /is not a state file of fulcrum/],
  [
    'of a newer version',
    (good) => good.replace('"version":4', '"version":5'),
    /has format version 5; this program reads 1, 2, 3, 4/,
  ],
  ['with a first line that is not JSON', (good) => `x${good}`, /has a damaged first line/],
  ['null', () => 'null\n', /is not a state file of fulcrum/],
];

for (const [name, damage, expected] of damages) {
  test(`a state file ${name} is refused and left as it is`, async (t) => {
    const directory = temporaryDirectory(t);
    const path = join(directory, 'state.json');
    const damaged = damage(serializeState(exampleState()));
    writeFileSync(path, damaged);
    const error = await openError(directory);
    t.is(error.code, 'DATA_LOSS');
    t.true(error.message.includes(path));
    t.regex(error.message, expected);
    t.is(readFileSync(path, 'utf8'), damaged);
    // The lock was given up: a second attempt meets the same damage.
    t.is((await openError(directory)).message, error.message);
  });
}

/** A file as the first version wrote it. */
function firstVersion(): string {
  const body = `${JSON.stringify({
    lineage: 'lineage-1',
    generation: 3,
    revision: 2,
    nextSequence: 5,
    timeouts: { tcpS: 60, tcpFinS: 120, udpS: 300 },
    vips: [],
    services: [],
  })}\n`;
  const sha256 = createHash('sha256').update(body).digest('hex');
  return `${JSON.stringify({ format: 'fulcrum-state', version: 1, bytes: body.length, sha256 })}\n${body}`;
}

test('a state file of the first version is read; what it does not know has its defaults', (t) => {
  const { generation, model } = parseState(Buffer.from(firstVersion()));
  t.is(generation, 3);
  t.deepEqual(model.timeouts, { ...defaultTimeouts, tcpS: 60 });
  t.deepEqual(model.tunables, {});
  t.deepEqual(model.markRules, []);
});

test('a directory in place of the file is an error', async (t) => {
  const directory = temporaryDirectory(t);
  mkdirSync(join(directory, 'state.json'));
  t.regex((await openError(directory)).message, /cannot be read: EISDIR/);
});

test('a write that was cut short is not looked at', async (t) => {
  const directory = temporaryDirectory(t);
  const state = exampleState();
  writeFileSync(join(directory, 'state.json'), serializeState(state));
  writeFileSync(join(directory, 'state.json.new'), serializeState(state).slice(0, 50));
  const store = await Store.open(directory);
  t.is(store.loaded.generation, 7);
  await store.close();
});

/** Opens a store, makes edits to the example state in it, one a record, and closes it. Returns what it then held. */
async function editedStore(directory: string, edits: number): Promise<State> {
  const store = await Store.open(directory);
  let state: State = { ...exampleState(), lineage: store.loaded.lineage };
  await store.save(state);
  for (let weight = 1; weight <= edits; weight++) {
    const { model, carriedOut } = applyOperations(state.model, [
      editServer(web, '10.0.0.1:80', { weight }),
      addServer(web, `10.0.1.${weight}:80`),
      setTunables({ sloppyTcp: weight % 2 }),
      { action: 'zero', zero: { service: null } },
    ]);
    const generation = state.generation + 1;
    state = { ...state, generation, model };
    await store.commit(state, [{ generation, operations: carriedOut }]);
  }
  await store.close();
  return state;
}

function journalIn(directory: string): string {
  const name = readdirSync(directory).find((file) => file.startsWith('journal-'));
  return join(directory, name ?? 'none');
}

async function loadedFrom(directory: string): Promise<State> {
  const store = await openStore(directory);
  await store.close();
  return store.loaded;
}

test('edits are in the journal, and are carried out again when the store is opened', async (t) => {
  const directory = temporaryDirectory(t);
  const state = await editedStore(directory, 3);
  t.is(parseState(readFileSync(join(directory, 'state.json'))).generation, 7);
  t.deepEqual(await loadedFrom(directory), state);
  // And edits go on from there.
  const store = await Store.open(directory);
  const { model, carriedOut } = applyOperations(state.model, [addService('udp 192.0.2.1:54')]);
  await store.commit({ ...state, generation: 11, model }, [{ generation: 11, operations: carriedOut }]);
  await store.close();
  t.deepEqual(await loadedFrom(directory), { ...state, generation: 11, model });
});

test('a journal that was cut off anywhere gives the edits before; the next one follows those', async (t) => {
  const directory = temporaryDirectory(t);
  await editedStore(directory, 3);
  const path = journalIn(directory);
  const whole = readFileSync(path);
  const ends = [...whole.keys()].filter((at) => whole[at] === 0x0a);
  for (let length = 0; length < whole.length; length += 61) {
    writeFileSync(path, whole.subarray(0, length));
    const complete = ends.filter((end) => end < length).length;
    t.is((await loadedFrom(directory)).generation, 7 + complete, `${length} bytes`);
    t.is(readFileSync(path).length, complete === 0 ? 0 : (ends[complete - 1] ?? 0) + 1);
  }
});

test('a journal that is damaged before its end is refused and left as it is', async (t) => {
  const directory = temporaryDirectory(t);
  await editedStore(directory, 3);
  const path = journalIn(directory);
  const damaged = readFileSync(path, 'utf8').replace('"weight":2', '"weight":9');
  writeFileSync(path, damaged);
  const error = await openError(directory);
  t.is(error.code, 'DATA_LOSS');
  t.regex(error.message, /^journal .*journal-7 is damaged in line 2\. It was left as it is/);
  t.is(readFileSync(path, 'utf8'), damaged);
});

test('a journal of another state file is refused', async (t) => {
  const directory = temporaryDirectory(t);
  await editedStore(directory, 1);
  rmSync(join(directory, 'state.json'));
  t.regex((await openError(directory)).message, /is of another state file than the one beside it \(line 1\)/);
  writeFileSync(join(directory, 'state.json'), serializeState({ ...exampleState(), lineage: 'x', generation: 2 }));
  t.regex((await openError(directory)).message, /is of another state file/);
});

test('when the journal has grown, the state file is written anew and the old journal goes', async (t) => {
  const directory = temporaryDirectory(t);
  const store = await Store.open(directory);
  let state: State = { ...exampleState(), lineage: store.loaded.lineage };
  const many = Array.from({ length: 5_000 }, (_, index) =>
    addServer(web, `10.1.${index >> 8}.${index & 255 || 255}:${1000 + index}`, { method: 'FORWARDING_METHOD_NAT' }),
  );
  state = { ...state, model: applyOperations(state.model, many).model };
  await store.save(state);
  // Fewer operations than there are servers: they go to the journal, a megabyte each time.
  const edits = many.map(({ addServer }) => ({ action: 'editServer' as const, editServer: addServer ?? null }));
  for (let round = 0; round < 5; round++) {
    const { model, carriedOut } = applyOperations(state.model, edits);
    const generation = state.generation + 1;
    state = { ...state, generation, model };
    await store.commit(state, [{ generation, operations: carriedOut }]);
  }
  await store.close();
  const written = parseState(readFileSync(join(directory, 'state.json'))).generation;
  t.true(written > 7 && written <= state.generation, `${written}`);
  t.deepEqual(
    readdirSync(directory).filter((name) => name.startsWith('journal-')),
    [`journal-${written}`],
  );
  t.deepEqual(await loadedFrom(directory), state);
});

test('one process at a time', async (t) => {
  const directory = temporaryDirectory(t);
  const store = await Store.open(directory);
  const error = await openError(directory);
  t.is(error.message, `state directory ${directory} is in use by process ${process.pid}`);
  await store.close();
  await (await Store.open(directory)).close();
  t.pass();
});

const writer = moduleArguments(import.meta.url, './support/store_writer.js');

/** Starts the writer, reads so many of its generations, kills it with -9 a moment later. Returns the last one read. */
async function writeAndKill(directory: string, generations: number, momentMs: number): Promise<number> {
  const child: ChildProcess = spawn(process.execPath, [...writer, directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  let last = 0;
  let read = 0;
  if (child.stdout === null) throw new Error('no standard output');
  for await (const line of createInterface({ input: child.stdout })) {
    last = Number(line);
    if (++read === generations) setTimeout(() => child.kill('SIGKILL'), momentMs);
  }
  await exited;
  return last;
}

test('killed with -9 at any moment: the state is that of the last write acknowledged, or the one after', async (t) => {
  const directory = temporaryDirectory(t);
  for (let round = 0; round < 12; round++) {
    const acknowledged = await writeAndKill(directory, 3 + round, round * 1.7);
    const { loaded, close } = await openStore(directory);
    t.true(loaded.generation === acknowledged || loaded.generation === acknowledged + 1, `round ${round}`);
    const server = loaded.model.services.get('TCP 192.0.2.1:80')?.servers.get('10.0.0.1:2');
    t.is(server?.spec.weight, loaded.generation);
    t.is(loaded.model.services.get('TCP 192.0.2.1:80')?.servers.size, 2_000);
    await close();
  }
});

async function openStore(directory: string): Promise<{ loaded: State; close: () => Promise<void> }> {
  const store = await Store.open(directory);
  return { loaded: store.loaded, close: () => store.close() };
}
