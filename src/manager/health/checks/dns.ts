// SPDX-License-Identifier: Apache-2.0
// DnsCheck (keepalived's DNS_CHECK): one question over UDP, answered with our id, QR set and RCODE 0 (RFC 1035, 4.1.1).
// What the answer says is not looked at.
import { randomInt } from 'node:crypto';
import { decode, encode, RECURSION_DESIRED, type RecordType } from 'dns-packet';
import type { DnsCheck__Output } from '../../../generated/fulcrum/v1/DnsCheck.js';
import { joinPath, quote } from '../../../grpc/errors.js';
import { attempt, type Course } from '../attempt.js';
import { invalid } from '../fields.js';
import type { Prober } from '../prober.js';
import { exchange } from './datagram.js';

const headerBytes = 12;
const longestLabel = 63;
/** In octets on the wire (RFC 1035, 2.3.4). */
const longestName = 255;

/** RFC 6895, 2.3. */
const responseCodes: readonly string[] =
  'NOERROR FORMERR SERVFAIL NXDOMAIN NOTIMP REFUSED YXDOMAIN YXRRSET NXRRSET NOTAUTH NOTZONE'.split(' ');

export function prepareDns(check: DnsCheck__Output, path: string): Prober {
  const name = readName(check.name, joinPath(path, 'name'));
  const type = readType(check.type, joinPath(path, 'type'));
  const question = encode({ type: 'query', id: 0, flags: RECURSION_DESIRED, questions: [{ type, name }] });
  return {
    probe: (target, timeoutMs, signal) =>
      attempt(timeoutMs, signal, (course) => {
        const id = randomInt(0x10000);
        const query = Buffer.from(question);
        query.writeUInt16BE(id, 0);
        return exchange(target, query, course, (reply) => hear(reply, id, course));
      }),
  };
}

function readName(text: string, field: string): string {
  const name = text === '' ? '.' : text;
  if (name === '.') return name;
  const labels = name.replace(/\.$/, '').split('.');
  if (!/^[\x21-\x7e]+$/.test(name) || labels.some((label) => label === ''))
    throw invalid(field, `${quote(text)} is not a domain name`);
  const long = labels.find((label) => label.length > longestLabel);
  if (long !== undefined) throw invalid(field, `${quote(long)} is longer than a label may be (${longestLabel})`);
  const bytes = labels.reduce((sum, label) => sum + label.length + 1, 1);
  if (bytes > longestName) throw invalid(field, `${bytes} octets are more than a name may have (${longestName})`);
  return name;
}

/** A type that the encoder does not know comes back as another one. */
function readType(text: string, field: string): RecordType {
  const type = (text === '' ? 'SOA' : text.toUpperCase()) as RecordType;
  const understood = decode(encode({ type: 'query', questions: [{ type, name: '.' }] })).questions?.[0]?.type;
  if (understood !== type || type.startsWith('UNKNOWN_'))
    throw invalid(field, `${quote(text)} is not a type of DNS records`);
  return type;
}

/** An answer to another question is of an earlier try: ours may still come. */
function hear(reply: Buffer, id: number, course: Course): void {
  if (reply.length < headerBytes) course.fail(`answer of ${reply.length} bytes is not DNS`);
  else if (reply.readUInt16BE(0) !== id) course.late = 'only answers to other questions';
  else course.settle(complaintOf(reply.readUInt16BE(2)));
}

function complaintOf(flags: number): string | undefined {
  if ((flags & 0x8000) === 0) return 'answer is a question: its QR bit is not set';
  const code = flags & 0xf;
  if (code === 0) return undefined;
  const name = responseCodes[code];
  return `RCODE ${code}${name === undefined ? '' : ` (${name})`}`;
}
