// SPDX-License-Identifier: Apache-2.0
// The fulcrum executable.
import { openDirector } from '../grpc/client.js';
import { fulcrum } from './fulcrum.js';
import { processStreams } from './streams.js';

const interrupted = new AbortController();

const exitCode = await fulcrum(process.argv.slice(2), {
  ...processStreams(),
  connect: (socket) => {
    // From here on Ctrl-C ends the call; before, and in commands without a director, it is their own.
    process.once('SIGINT', () => interrupted.abort());
    return openDirector(socket);
  },
  signal: interrupted.signal,
});
process.exitCode ||= exitCode;
