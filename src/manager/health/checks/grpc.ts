// SPDX-License-Identifier: Apache-2.0
// GrpcCheck: grpc.health.v1.Health/Check answers SERVING. One call on an HTTP/2 connection of its own (gRPC over HTTP/2),
// because grpc-js knows neither a source address nor when a connection is closed.
import { type ClientHttp2Session, connect as connectHttp2, constants, type IncomingHttpHeaders } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { type MethodDefinition, status as statusCodes } from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import type { GrpcCheck__Output } from '../../../generated/fulcrum/v1/GrpcCheck.js';
import { joinPath, quote } from '../../../grpc/errors.js';
import { endpoint } from '../../address.js';
import { attempt, type Course } from '../attempt.js';
import { openConnection, readTls, type Tls } from '../connection.js';
import { readLine } from '../fields.js';
import type { Prober, Target } from '../prober.js';

/** Length and compression flag before each message. */
const prefixBytes = 5;
/** An answer has two bytes. */
const longestAnswer = 65_536;
const method = healthService.Check as MethodDefinition<object, object>;

export function prepareGrpc(check: GrpcCheck__Output, path: string): Prober {
  const service = readLine(check.service, joinPath(path, 'service'));
  const tls = check.tls === null ? undefined : readTls(check.tls, joinPath(path, 'tls'));
  const question = framed(method.requestSerialize({ service }));
  return {
    probe: (target, timeoutMs, signal) =>
      attempt(timeoutMs, signal, (course) => {
        let session: ClientHttp2Session | undefined;
        const ready = (socket: Socket): void => {
          if (tls !== undefined && (socket as TLSSocket).alpnProtocol !== 'h2')
            course.fail('it does not offer HTTP/2 (ALPN h2)');
          else session = call(socket, originOf(target, tls), service, question, course);
        };
        const connection = openConnection(target, course, ready, tls, ['h2']);
        return () => {
          connection.destroy();
          session?.destroy();
        };
      }),
  };
}

function framed(message: Buffer): Buffer {
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function originOf({ address, port }: Target, tls: Tls | undefined): string {
  return `${tls === undefined ? 'http' : 'https'}://${tls?.serverName || endpoint(address, port)}`;
}

function call(socket: Socket, origin: string, service: string, question: Buffer, course: Course): ClientHttp2Session {
  const session = connectHttp2(origin, { createConnection: () => socket });
  session.on('error', (error) => course.error(error, http2Reason(error)));
  session.on('close', () => course.fail('connection closed without an answer'));
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: method.path,
    'content-type': 'application/grpc',
    te: 'trailers',
    'user-agent': 'fulcrum',
  });
  const answer: Buffer[] = [];
  let bytes = 0;
  let headers: IncomingHttpHeaders = {};
  stream.on('response', (received) => {
    headers = received;
  });
  stream.on('trailers', (trailers) => {
    headers = { ...headers, ...trailers };
  });
  stream.on('data', (data: Buffer) => {
    bytes += data.length;
    if (bytes > longestAnswer) course.fail(`answer of more than ${longestAnswer} bytes`);
    else answer.push(data);
  });
  stream.on('error', (error) => course.error(error, http2Reason(error)));
  stream.on('end', () => course.settle(complaintOf(headers, Buffer.concat(answer), service)));
  stream.end(question);
  return session;
}

function http2Reason(error: Error): string | undefined {
  if (/ERR_HTTP2_(?:ERROR|SESSION_ERROR|STREAM_ERROR)/.test((error as NodeJS.ErrnoException).code ?? ''))
    return `HTTP/2: ${error.message}`;
  return undefined;
}

function complaintOf(headers: IncomingHttpHeaders, answer: Buffer, service: string): string | undefined {
  if (headers[':status'] === undefined) return 'connection closed without an answer';
  const httpStatus = Number(headers[':status']);
  if (httpStatus !== 200) return `HTTP status ${httpStatus}: this is not gRPC`;
  const code = headers['grpc-status'];
  if (code === undefined) return 'answer has no grpc-status: this is not gRPC';
  if (code !== '0') return grpcReason(Number(code), headers['grpc-message'], service);
  const state = stateIn(answer);
  if (state === 'SERVING') return undefined;
  return state === undefined ? 'answer is not a HealthCheckResponse' : `it says ${state}`;
}

function grpcReason(code: number, message: string | string[] | undefined, service: string): string {
  if (code === statusCodes.NOT_FOUND) return `it does not know the service ${quote(service)}`;
  if (code === statusCodes.UNIMPLEMENTED) return 'it has no health service (UNIMPLEMENTED)';
  const name = statusCodes[code] ?? `status ${code}`;
  return message === undefined ? name : `${name}: ${decodeURIComponentSafely(String(message))}`;
}

/** grpc-message is percent-encoded. */
function decodeURIComponentSafely(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function stateIn(answer: Buffer): string | undefined {
  if (answer.length < prefixBytes || answer[0] !== 0) return undefined;
  const message = answer.subarray(prefixBytes, prefixBytes + answer.readUInt32BE(1));
  try {
    const { status } = method.responseDeserialize(message) as { readonly status?: unknown };
    return typeof status === 'string' ? status : undefined;
  } catch {
    return undefined;
  }
}
