// SPDX-License-Identifier: Apache-2.0
// A director for command tests: a real gRPC server on a unix socket in a directory of its own, with answers that the
// test gives, and a record of what was asked.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DirectorServiceDefinition } from '../../../../src/generated/fulcrum/v1/DirectorService.js';
import type { DirectorStreams } from '../../../../src/grpc/client.js';
import { FulcrumError } from '../../../../src/grpc/errors.js';
import { addService, type Handlers } from '../../../../src/grpc/handlers.js';
import { createServer, listenUnix } from '../../../../src/grpc/listen.js';
import { loadDirectorService } from '../../../../src/grpc/loader.js';
import { createLogger } from '../../../../src/grpc/log.js';

export type DirectorHandlers = Handlers<DirectorServiceDefinition, DirectorStreams>;

export interface FakeDirector {
  readonly socket: string;
  /** Names and requests of all calls so far, in order. */
  readonly calls: readonly { readonly method: string; readonly request: unknown }[];
  /** Requests of one method. */
  requests<M extends keyof DirectorHandlers>(method: M): readonly Parameters<DirectorHandlers[M]>[0][];
  close(): void;
}

/** Methods without an answer fail with UNIMPLEMENTED. */
export async function fakeDirector(answers: Partial<DirectorHandlers>): Promise<FakeDirector> {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-cli-'));
  const socket = join(directory, 'manager.sock');
  const calls: { method: string; request: unknown }[] = [];
  const handlers = new Proxy({} as DirectorHandlers, {
    get: (_target, method: keyof DirectorHandlers) => (request: never, context: never) => {
      calls.push({ method, request });
      const answer = answers[method] as ((request: never, context: never) => unknown) | undefined;
      if (answer) return answer(request, context);
      throw new FulcrumError({ code: 'UNIMPLEMENTED', message: `the fake director has no answer to ${method}` });
    },
  });
  const server = createServer();
  addService(server, loadDirectorService(), handlers, createLogger('fake-director', { write: () => {} }));
  await listenUnix(server, socket);
  return {
    socket,
    calls,
    requests: <M extends keyof DirectorHandlers>(method: M) =>
      calls.filter((call) => call.method === method).map((call) => call.request as Parameters<DirectorHandlers[M]>[0]),
    close: () => {
      server.forceShutdown();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
