// SPDX-License-Identifier: Apache-2.0
// SmtpCheck (keepalived's SMTP_CHECK): 220, HELO answered with 250, QUIT (RFC 5321, 3.1, 4.1.1.1 and 4.1.1.10).
import type { Socket } from 'node:net';
import { hostname } from 'node:os';
import type { SmtpCheck__Output } from '../../../generated/fulcrum/v1/SmtpCheck.js';
import { joinPath, quote } from '../../../grpc/errors.js';
import { attempt, type Course } from '../attempt.js';
import { openConnection } from '../connection.js';
import { invalid } from '../fields.js';
import type { Prober } from '../prober.js';

/** A reply may have several lines (RFC 5321, 4.5.3.1.5 allows 512 bytes each); nobody's is as long as this. */
const longestReply = 65_536;
/** A server that has answered HELO is well, even if it does not say goodbye. */
const goodbyeMs = 500;

interface Step {
  readonly code: number;
  readonly name: string;
  /** Sent when it came. */
  readonly next: string;
}

export function prepareSmtp(check: SmtpCheck__Output, path: string): Prober {
  const helo = check.heloName === '' ? hostname() : check.heloName;
  if (!/^[\x21-\x7e]+$/.test(helo)) throw invalid(joinPath(path, 'helo_name'), `${quote(helo)} is not a host's name`);
  const steps: readonly Step[] = [
    { code: 220, name: 'greeting', next: `HELO ${helo}\r\n` },
    { code: 250, name: 'answer to HELO', next: 'QUIT\r\n' },
  ];
  return {
    probe: (target, timeoutMs, signal) =>
      attempt(timeoutMs, signal, (course) => {
        const begun = performance.now();
        let latencyUs = 0;
        let goodbye: NodeJS.Timeout | undefined;
        const part = (): void => {
          latencyUs = Math.round((performance.now() - begun) * 1000);
          goodbye = setTimeout(end, goodbyeMs);
        };
        const end = (): void => course.pass(latencyUs);
        const connection = openConnection(target, course, (socket) => converse(socket, steps, course, { part, end }));
        return () => {
          clearTimeout(goodbye);
          connection.destroy();
        };
      }),
  };
}

interface Goodbye {
  /** HELO was answered. */
  readonly part: () => void;
  /** So was QUIT. */
  readonly end: () => void;
}

function converse(socket: Socket, steps: readonly Step[], course: Course, { part, end }: Goodbye): void {
  let received = '';
  let done = 0;
  const take = (reply: string): void => {
    const step = steps[done];
    if (step === undefined) end();
    else if (!reply.startsWith(String(step.code))) course.fail(`${quote(reply.trim())} is not ${step.code}`);
    else {
      done++;
      socket.write(step.next);
      if (done === steps.length) part();
      else course.late = lateFor(steps[done]);
    }
  };
  course.late = lateFor(steps[done]);
  socket.on('data', (data: Buffer) => {
    received += data.toString('latin1');
    for (let reply = firstReply(received); reply !== undefined; reply = firstReply(received)) {
      received = received.slice(reply.length);
      take(reply);
    }
    if (received.length > longestReply) course.fail('answer is not SMTP: its lines do not end');
  });
  socket.on('close', () => {
    const missing = steps[done];
    if (missing === undefined) end();
    else course.fail(`connection closed before the ${missing.name}`);
  });
}

function lateFor(step: Step | undefined): string {
  return `connected, but no ${step?.name}`;
}

/** The first whole reply: lines "250-…" and at last "250 …". What is no reply at all is returned as it is. */
function firstReply(text: string): string | undefined {
  const whole = /^(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\r?\n/.exec(text)?.[0];
  if (whole !== undefined) return whole;
  const line = /^[^\n]*\n/.exec(text)?.[0];
  return line !== undefined && !/^\d{3}-/.test(line) ? line : undefined;
}
