// SPDX-License-Identifier: Apache-2.0
// What a handler is given, and what becomes of what it throws, over a real socket.
import { once } from 'node:events';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pino } from 'pino';
import type { DirectorServiceDefinition } from '../../src/generated/fulcrum/v1/DirectorService.js';
import { connectDirector } from '../../src/grpc/client.js';
import { FulcrumError } from '../../src/grpc/errors.js';
import { addService, type CallContext, type Handlers } from '../../src/grpc/handlers.js';
import { createServer, listenUnix } from '../../src/grpc/listen.js';
import { loadDirectorService } from '../../src/grpc/loader.js';
import { failure, temporaryDirectory } from './support/director.js';

type DirectorHandlers = Handlers<DirectorServiceDefinition, 'Watch'>;

/** A server with the handlers given, and a client to it. Logs what goes wrong. */
async function serve(t: ExecutionContext, handlers: Partial<DirectorHandlers>) {
  const logged: string[] = [];
  const log = pino({ level: 'error' }, { write: (line: string) => logged.push(JSON.parse(line).err?.message) });
  const socket = join(temporaryDirectory(t), 'x.sock');
  const server = createServer();
  addService<DirectorServiceDefinition, 'Watch'>(server, loadDirectorService(), handlers as DirectorHandlers, log);
  await listenUnix(server, socket);
  const client = connectDirector(socket);
  t.teardown(() => {
    client.close();
    server.forceShutdown();
  });
  return { client, logged };
}

/** A handler that begins, and then waits until its signal aborts. */
function waiting() {
  let begin: (context: CallContext) => void = () => {};
  const begun = new Promise<CallContext>((resolve) => {
    begin = resolve;
  });
  const handler = async (_request: unknown, context: CallContext) => {
    begin(context);
    await once(context.signal, 'abort');
    return {};
  };
  return { begun, handler };
}

test('a client that cancels aborts the handler’s signal', async (t) => {
  const { begun, handler } = waiting();
  const { client } = await serve(t, { getStatus: handler });
  const controller = new AbortController();
  const call = failure(client.getStatus({}, { signal: controller.signal }));
  const { signal, deadlineMs, identity, method } = await begun;
  t.false(signal.aborted);
  t.true(deadlineMs > Date.now() && deadlineMs < Date.now() + 20_000);
  t.is(identity, 'unix');
  t.is(method, '/fulcrum.v1.DirectorService/GetStatus');
  const aborted = once(signal, 'abort');
  controller.abort();
  await aborted;
  t.is(await call, 'CANCELLED REASON_UNSPECIFIED');
});

test('a deadline that passes aborts it too', async (t) => {
  const { begun, handler } = waiting();
  const { client } = await serve(t, { getStatus: handler });
  const call = failure(client.getStatus({}, { timeoutMs: 1_500 }));
  const { signal } = await begun;
  await once(signal, 'abort');
  t.is(await call, 'DEADLINE_EXCEEDED REASON_UNSPECIFIED');
});

test('a signal that has aborted before makes no call', async (t) => {
  let calls = 0;
  const { client } = await serve(t, {
    getStatus: async () => {
      calls++;
      return {};
    },
  });
  t.is(await failure(client.getStatus({}, { signal: AbortSignal.abort() })), 'CANCELLED REASON_UNSPECIFIED');
  await client.getStatus({});
  t.is(calls, 1);
});

test('what is not a FulcrumError is internal, and logged', async (t) => {
  const { client, logged } = await serve(t, {
    getStatus: () => {
      throw new TypeError('it broke');
    },
    getTimeouts: async () => {
      throw new FulcrumError({ reason: 'REASON_STALE', field: 'a.b', message: 'old' });
    },
  });
  t.is(await failure(client.getStatus({})), 'INTERNAL REASON_UNSPECIFIED');
  t.is(await failure(client.getTimeouts({})), 'ABORTED REASON_STALE a.b');
  t.deepEqual(logged, ['it broke']);
});

test('a stream: messages, then the error that ends it', async (t) => {
  const { client } = await serve(t, {
    watch: async function* () {
      yield { revision: '1' };
      yield { revision: '2' };
      throw new FulcrumError({ code: 'RESOURCE_EXHAUSTED', message: 'enough' });
    },
  });
  const seen: string[] = [];
  const error = await t.throwsAsync(
    async () => {
      for await (const { revision } of client.watch({})) seen.push(revision);
    },
    { instanceOf: FulcrumError },
  );
  t.deepEqual(seen, ['1', '2']);
  t.is(error?.code, 'RESOURCE_EXHAUSTED');
});

test('a reader that stops early ends the handler’s stream', async (t) => {
  let finished = () => {};
  const done = new Promise<void>((resolve) => {
    finished = resolve;
  });
  const { client } = await serve(t, {
    watch: async function* (_request, { signal }) {
      try {
        yield { revision: '1' };
        await once(signal, 'abort');
      } finally {
        finished();
      }
    },
  });
  for await (const { revision } of client.watch({})) {
    t.is(revision, '1');
    break;
  }
  await done;
});
