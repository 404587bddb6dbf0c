// SPDX-License-Identifier: Apache-2.0
// Sessions with a real ipvsadm, command by command in one go: the same output and exit status at each. Left out are the
// texts that are not ours to repeat (-h, -v), and a scheduler that the recorded kernel did not have.
import test from 'ava';
import { type Host, ipvsadm } from '../../../src/cli/ipvsadm/run.js';
import { connectDirector } from '../../../src/grpc/client.js';
import { capturedStreams } from './support/captured_streams.js';
import { type DirectorHandlers, fakeDirector } from './support/fake_director.js';
import { modelDirector } from './support/model_director.js';
import { fixture, portNames, services, statistics } from './support/sample_state.js';

interface Exchange {
  readonly line: string;
  /** What came out, and the line with the exit status. */
  readonly answer: string;
}

/** Blocks of "$ ipvsadm …", output, "[exit status N]". */
function exchanges(text: string): readonly Exchange[] {
  return text
    .split(/^\$ ipvsadm/m)
    .slice(1)
    .map((block) => {
      const end = block.indexOf('\n');
      return { line: block.slice(0, end).trim(), answer: block.slice(end + 1) };
    });
}

const sessions: readonly (readonly [file: string, count: number, director: Partial<DirectorHandlers>])[] = [
  ['session-errors.txt', 96, modelDirector(services, statistics)],
  ['session-grammar.txt', 33, modelDirector([], [])],
];

for (const [file, count, handlers] of sessions) {
  test(`as recorded: ${file}`, async (t) => {
    const director = await fakeDirector(handlers);
    t.teardown(() => director.close());
    const recorded = exchanges(fixture(file));
    t.is(recorded.length, count);
    for (const { line, answer } of recorded) {
      const streams = capturedStreams();
      const host: Host = {
        ...streams,
        connect: async () => connectDirector(director.socket),
        portNames,
        resolver: { host: async () => undefined, port: (name, protocol) => portNames.number(name, protocol) },
        reverseLookup: async () => async () => undefined,
      };
      const status = await ipvsadm(line.split(' ').filter(Boolean), host);
      t.is(`${streams.output()}${streams.complaints()}[exit status ${status}]\n`, answer, `ipvsadm ${line}`);
    }
  });
}
