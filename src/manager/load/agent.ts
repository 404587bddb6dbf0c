// SPDX-License-Identifier: Apache-2.0
// AgentSource: HAProxy's agent-check. A connection for each question; what counts is the first line, and only if it ends
// with CR or LF.
import type { Socket } from 'node:net';
import type { AgentSource__Output } from '../../generated/fulcrum/v1/AgentSource.js';
import { attempt, type Course } from '../health/attempt.js';
import { openConnection } from '../health/connection.js';
import { readAgentLine, shown } from './agent_words.js';
import type { Ask, Hear } from './source.js';

const longestLine = 16_384;
const lineFeed = 10;
const carriageReturn = 13;

export function prepareAgent({ send }: AgentSource__Output): Ask {
  return (target, timeoutMs, signal, hear) =>
    attempt(timeoutMs, signal, (course) => {
      const ready = (socket: Socket): void => {
        if (send !== '') socket.write(send);
        readLine(socket, course, hear);
      };
      return openConnection(target, course, ready).destroy;
    });
}

function readLine(socket: Socket, course: Course, hear: Hear): void {
  let line: Buffer = Buffer.alloc(0);
  socket.on('data', (data: Buffer) => {
    line = Buffer.concat([line, data]);
    course.late = 'no end of the line';
    const end = line.findIndex((byte) => byte === lineFeed || byte === carriageReturn);
    if (end >= 0) {
      const text = line.subarray(0, end).toString();
      hear({ kind: 'words', words: readAgentLine(text), text: shown(text) });
      course.pass();
    } else if (line.length >= longestLine) course.fail(`no end of the line in ${longestLine} bytes`);
  });
  socket.on('end', () =>
    course.fail(
      line.length === 0 ? 'connection closed without an answer' : 'connection closed in the middle of a line',
    ),
  );
}
