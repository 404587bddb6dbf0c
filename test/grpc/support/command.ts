// SPDX-License-Identifier: Apache-2.0
// The fulcrum command against a manager that runs.
import { type CliHost, fulcrum } from '../../../src/cli/fulcrum.js';
import { connectDirector } from '../../../src/grpc/client.js';
import type { Rig } from './director.js';

export interface Ran {
  readonly status: number;
  /** What it printed, and then what it complained of. */
  readonly output: string;
}

/** Words are separated by blanks. */
export async function runFulcrum({ socket }: Pick<Rig, 'socket'>, line: string): Promise<Ran> {
  let output = '';
  let complaints = '';
  const host: CliHost = {
    write: async (text) => {
      output += text;
    },
    complain: (text) => {
      complaints += `${text}\n`;
    },
    input: async function* () {},
    inputIsTerminal: false,
    connect: async () => connectDirector(socket),
    signal: new AbortController().signal,
  };
  const status = await fulcrum(line.split(' '), host);
  return { status, output: output + complaints };
}
