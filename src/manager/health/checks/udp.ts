// SPDX-License-Identifier: Apache-2.0
// UdpCheck (keepalived's UDP_CHECK): a payload, and either the reply that was asked for or at least no ICMP unreachable.
import type { UdpCheck__Output } from '../../../generated/fulcrum/v1/UdpCheck.js';
import { joinPath, quote } from '../../../grpc/errors.js';
import { attempt } from '../attempt.js';
import { invalid, readHexadecimal, readRange } from '../fields.js';
import type { Prober } from '../prober.js';
import { exchange } from './datagram.js';

/** What fits into a datagram over IPv4. */
const largestDatagram = 65_507;
const usualMostBytes = 255;

/** What is wrong with a reply; undefined if nothing is. */
type Judge = (reply: Buffer) => string | undefined;

export function prepareUdp(check: UdpCheck__Output, path: string): Prober {
  const payload = readHexadecimal(check.payload, joinPath(path, 'payload'));
  if (payload.length > largestDatagram)
    throw invalid(
      joinPath(path, 'payload'),
      `${payload.length} bytes are more than a datagram has (${largestDatagram})`,
    );
  const judge = check.requireReply ? readExpectation(check, path) : refuseExpectation(check, path);
  return {
    probe: (target, timeoutMs, signal) =>
      attempt(timeoutMs, signal, (course) => {
        // Silence is good news unless there has to be a reply.
        if (!check.requireReply) course.late = undefined;
        return exchange(target, payload, course, (reply) => course.settle(judge(reply)));
      }),
  };
}

function refuseExpectation(check: UdpCheck__Output, path: string): Judge {
  if (check.reply !== '' || check.leastReplyBytes !== 0 || check.mostReplyBytes !== 0)
    throw invalid(joinPath(path, 'require_reply'), 'must be set for a reply to be looked at');
  return () => undefined;
}

function readExpectation(check: UdpCheck__Output, path: string): Judge {
  const pattern = readPattern(check.reply, joinPath(path, 'reply'));
  const least = readRange(check.leastReplyBytes, 0, 0, largestDatagram, joinPath(path, 'least_reply_bytes'));
  const unsetMost = Math.max(least, usualMostBytes);
  const most = readRange(check.mostReplyBytes, unsetMost, least, largestDatagram, joinPath(path, 'most_reply_bytes'));
  return (reply) => {
    if (reply.length < least || reply.length > most) return `reply of ${reply.length} bytes, not ${least}-${most}`;
    const digits = reply.subarray(0, pattern.length / 2).toString('hex');
    const wrong = [...digits].findIndex((digit, index) => pattern[index] !== 'x' && pattern[index] !== digit);
    if (wrong === -1) return undefined;
    const at = wrong - (wrong % 2);
    return `byte ${at / 2} of the reply is ${digits.slice(at, at + 2)}, not ${pattern.slice(at, at + 2)}`;
  };
}

/** Hexadecimal digits in lower case, x for any. */
function readPattern(text: string, field: string): string {
  const digits = text.replaceAll(/\s/g, '').toLowerCase();
  if (!/^[0-9a-fx]*$/.test(digits))
    throw invalid(field, `${quote(text)} has other characters than hexadecimal digits and x`);
  if (digits.length % 2 === 1) throw invalid(field, `${quote(text)} ends in the middle of a byte`);
  return digits;
}
