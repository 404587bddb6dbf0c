// SPDX-License-Identifier: Apache-2.0
// Runs a fulcrum command line in this process against a director that a test made.
import type { ExecutionContext } from 'ava';
import { type CliHost, fulcrum } from '../../../../src/cli/fulcrum.js';
import { connectDirector, openDirector } from '../../../../src/grpc/client.js';
import { capturedStreams } from './captured_streams.js';
import { type DirectorHandlers, type FakeDirector, fakeDirector } from './fake_director.js';

export interface Outcome {
  readonly exitCode: number;
  readonly output: string;
  readonly complaints: string;
  readonly largestWrite: number;
}

export interface Setting {
  readonly input?: string;
  readonly signal?: AbortSignal;
}

/** A director that is gone when the test ends. */
export async function director(t: ExecutionContext, answers: Partial<DirectorHandlers>): Promise<FakeDirector> {
  const fake = await fakeDirector(answers);
  t.teardown(() => fake.close());
  return fake;
}

/** Words as in a shell, without quoting. */
export async function run(line: string, fake?: FakeDirector, setting: Setting = {}): Promise<Outcome> {
  return runWords(line.split(' ').filter(Boolean), fake, setting);
}

export async function runWords(words: readonly string[], fake?: FakeDirector, setting: Setting = {}): Promise<Outcome> {
  const streams = capturedStreams(setting.input);
  const host: CliHost = {
    ...streams,
    connect: async (socket) => (socket === undefined && fake ? connectDirector(fake.socket) : openDirector(socket)),
    signal: setting.signal ?? new AbortController().signal,
  };
  const exitCode = await fulcrum(words, host);
  return { exitCode, output: streams.output(), complaints: streams.complaints(), largestWrite: streams.largestWrite() };
}
