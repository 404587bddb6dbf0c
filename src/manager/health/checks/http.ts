// SPDX-License-Identifier: Apache-2.0
// HttpCheck (keepalived's HTTP_GET and SSL_GET, one url each): a connection of its own for each request, and the answer
// read to its end.
import { createHash } from 'node:crypto';
import { type IncomingMessage, METHODS, request, validateHeaderName, validateHeaderValue } from 'node:http';
import type { Socket } from 'node:net';
import type { HttpCheck__Output } from '../../../generated/fulcrum/v1/HttpCheck.js';
import type { StatusRange__Output } from '../../../generated/fulcrum/v1/StatusRange.js';
import { joinPath, quote } from '../../../grpc/errors.js';
import { endpoint } from '../../address.js';
import { attempt, type Course } from '../attempt.js';
import { openConnection, readTls } from '../connection.js';
import { codeOf } from '../faults.js';
import { invalid, readHexadecimal, readRange } from '../fields.js';
import type { Prober, Target } from '../prober.js';

/** Of a body, searched for text. */
const searchedBytes = 262_144;

interface StatusRange {
  readonly first: number;
  readonly last: number;
}

/** What is said of a body; undefined if nothing is wrong with it. */
type BodyTest = (head: Buffer, md5: string) => string | undefined;

interface Request {
  readonly method: string;
  readonly path: string;
  readonly headersFor: (target: Target) => readonly string[];
  readonly version10: boolean;
}

interface Expectation {
  readonly status: readonly StatusRange[];
  readonly bodyTests: readonly BodyTest[];
  readonly md5: boolean;
}

export function prepareHttp(check: HttpCheck__Output, path: string): Prober {
  const what = readRequest(check, path);
  const expected = readExpectation(check, path);
  const tls = check.tls === null ? undefined : readTls(check.tls, joinPath(path, 'tls'));
  return {
    probe: (target, timeoutMs, signal) =>
      attempt(timeoutMs, signal, (course) => {
        let sent: { readonly destroy: () => void } | undefined;
        const ready = (socket: Socket): void => {
          sent = ask(socket, what, target, expected, course);
        };
        const connection = openConnection(target, course, ready, tls, ['http/1.1']);
        return () => {
          connection.destroy();
          sent?.destroy();
        };
      }),
  };
}

function readRequest(check: HttpCheck__Output, path: string): Request {
  const method = check.method === '' ? 'GET' : check.method;
  if (!METHODS.includes(method) || method === 'CONNECT')
    throw invalid(joinPath(path, 'method'), `${quote(method)} is not a method for a check`);
  const requestPath = check.path === '' ? '/' : check.path;
  if (!/^[/*][\x21-\xff]*$/.test(requestPath))
    throw invalid(joinPath(path, 'path'), `${quote(check.path)} does not begin with "/", or has a blank in it`);
  const host = check.host;
  if (host !== '' && !/^[\x21-\x7e]+$/.test(host))
    throw invalid(joinPath(path, 'host'), `${quote(host)} is not a Host header`);
  const further = check.headers.flatMap((header, index) => readHeader(header, joinPath(path, `headers[${index}]`)));
  const names = new Set(further.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase()));
  const usual = [
    ['User-Agent', 'fulcrum'],
    ['Connection', 'close'],
    ...(['POST', 'PUT', 'PATCH'].includes(method) ? [['Content-Length', '0'] as const] : []),
  ].filter(([name = '']) => !names.has(name.toLowerCase()));
  const fixed = [...usual.flat(), ...further];
  return {
    method,
    path: requestPath,
    headersFor: (target) => ['Host', host === '' ? endpoint(target.address, target.port) : host, ...fixed],
    version10: check.http_1_0,
  };
}

function readHeader(header: string, field: string): readonly [string, string] {
  const colon = header.indexOf(':');
  const name = header.slice(0, Math.max(0, colon)).trim();
  const value = header.slice(colon + 1).trim();
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
  } catch (error) {
    throw invalid(field, `${quote(header)} is not "Name: value"`, error);
  }
  if (name.toLowerCase() === 'host') throw invalid(field, 'the Host header is given with host');
  return [name, value];
}

function readExpectation(check: HttpCheck__Output, path: string): Expectation {
  const status = check.expectedStatus.map((range, index) =>
    readStatusRange(range, joinPath(path, `expected_status[${index}]`)),
  );
  return {
    status: status.length === 0 ? [{ first: 200, last: 299 }] : status,
    bodyTests: [...containsTest(check), ...regexTest(check, path), ...md5Test(check, path)],
    md5: check.bodyMd5 !== '',
  };
}

function readStatusRange(range: StatusRange__Output, path: string): StatusRange {
  if (range.first === 0) throw invalid(joinPath(path, 'first'), 'must be given');
  const first = readRange(range.first, 0, 100, 599, joinPath(path, 'first'));
  return { first, last: readRange(range.last, first, first, 599, joinPath(path, 'last')) };
}

function containsTest({ bodyContains: text }: HttpCheck__Output): readonly BodyTest[] {
  if (text === '') return [];
  const wanted = Buffer.from(text);
  return [(head) => (head.includes(wanted) ? undefined : `body does not contain ${quote(text)}`)];
}

function regexTest(check: HttpCheck__Output, path: string): readonly BodyTest[] {
  const { bodyRegex: source, bodyRegexNegated: negated } = check;
  const field = joinPath(path, 'body_regex');
  if (source === '') {
    if (negated) throw invalid(field, 'must be given with body_regex_negated');
    return [];
  }
  const regex = compile(source, field);
  const complaint = `body ${negated ? 'matches' : 'does not match'} /${source}/`;
  return [(head) => (regex.test(head.toString('utf8')) === negated ? complaint : undefined)];
}

function compile(source: string, field: string): RegExp {
  try {
    return new RegExp(source);
  } catch (error) {
    throw invalid(field, (error as Error).message, error);
  }
}

function md5Test(check: HttpCheck__Output, path: string): readonly BodyTest[] {
  if (check.bodyMd5 === '') return [];
  const digest = readHexadecimal(check.bodyMd5, joinPath(path, 'body_md5')).toString('hex');
  if (digest.length !== 32)
    throw invalid(joinPath(path, 'body_md5'), `${quote(check.bodyMd5)} is not an MD5 of 32 hexadecimal digits`);
  return [(_, md5) => (md5 === digest ? undefined : `MD5 of the body is ${md5}, not ${digest}`)];
}

function ask(socket: Socket, what: Request, target: Target, expected: Expectation, course: Course) {
  if (what.version10) sayVersion10(socket);
  const { method, path } = what;
  const headers = what.headersFor(target);
  const sent = request({ method, path, headers, setHost: false, createConnection: () => socket });
  sent.on('response', (response) => judge(response, expected, course));
  sent.on('upgrade', (response) => course.fail(wrongStatus(response, expected.status)));
  sent.on('error', (error) => course.error(error, httpReason(error)));
  sent.end();
  return sent;
}

/** Node's client says HTTP/1.1, whatever it is asked for: the first thing it writes is the request line. */
function sayVersion10(socket: Socket): void {
  const write = socket.write;
  socket.write = ((text: string, ...rest: []) => {
    socket.write = write;
    return socket.write(text.replace(' HTTP/1.1\r\n', ' HTTP/1.0\r\n'), ...rest);
  }) as typeof write;
}

function judge(response: IncomingMessage, expected: Expectation, course: Course): void {
  const { statusCode = 0 } = response;
  if (!expected.status.some(({ first, last }) => statusCode >= first && statusCode <= last)) {
    course.fail(wrongStatus(response, expected.status));
    return;
  }
  course.late = `status ${statusCode}, but the answer did not end`;
  const hash = expected.md5 ? createHash('md5') : undefined;
  const head: Buffer[] = [];
  let bytes = 0;
  response.on('data', (data: Buffer) => {
    hash?.update(data);
    if (expected.bodyTests.length > 0 && bytes < searchedBytes) head.push(data.subarray(0, searchedBytes - bytes));
    bytes += data.length;
  });
  response.on('error', () => course.fail('connection closed in the middle of the answer'));
  response.on('end', () => {
    const body = Buffer.concat(head);
    const md5 = hash?.digest('hex') ?? '';
    course.settle(expected.bodyTests.map((test) => test(body, md5)).find((text) => text !== undefined));
  });
}

function wrongStatus({ statusCode }: IncomingMessage, ranges: readonly StatusRange[]): string {
  const wanted = ranges.map(({ first, last }) => (first === last ? `${first}` : `${first}-${last}`));
  return `status ${statusCode}, not ${wanted.join(', ')}`;
}

function httpReason(error: Error & { readonly reason?: string }): string | undefined {
  if (error.message === 'socket hang up') return 'connection closed without an answer';
  if (codeOf(error).startsWith('HPE_')) return `answer is not HTTP: ${error.reason ?? error.message}`;
  return undefined;
}
