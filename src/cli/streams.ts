// SPDX-License-Identifier: Apache-2.0
// Standard input and output of a command, with back pressure; a reader that goes away (`| head`) ends it quietly.

export interface Streams {
  /** Resolves when more may be written. */
  write(text: string): Promise<void>;
  /** One line on standard error. */
  complain(line: string): void;
  /** Standard input in pieces. */
  input(): AsyncIterable<string>;
  /** A person types the input. */
  readonly inputIsTerminal: boolean;
}

/** Those of this process. */
export function processStreams(): Streams {
  process.stdout.on('error', endQuietly);
  return {
    write: (text) =>
      new Promise((done) => {
        if (process.stdout.write(text)) done();
        else process.stdout.once('drain', done);
      }),
    complain: (line) => process.stderr.write(`${line}\n`),
    input: () => {
      process.stdin.setEncoding('utf8');
      return process.stdin;
    },
    get inputIsTerminal() {
      return process.stdin.isTTY === true;
    },
  };
}

function endQuietly(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
}
