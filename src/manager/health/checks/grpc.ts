// SPDX-License-Identifier: Apache-2.0
// GrpcCheck: grpc.health.v1.Health/Check answers SERVING.
import type { ClientHttp2Session, IncomingHttpHeaders } from 'node:http2';
import type { Socket } from 'node:net';
import { type MethodDefinition, status as statusCodes } from '@grpc/grpc-js';
import { service as healthService } from 'grpc-health-check';
import type { GrpcCheck__Output } from '../../../generated/fulcrum/v1/GrpcCheck.js';
import { joinPath, quote } from '../../../grpc/errors.js';
import { attempt, type Course } from '../attempt.js';
import { openConnection, readTls, type Tls } from '../connection.js';
import { readLine } from '../fields.js';
import { beginCall, framed, grpcStatusText, http2Complaint, http2Reason, prefixBytes } from '../grpc_call.js';
import type { Prober, Target } from '../prober.js';

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
          const complaint = http2Complaint(socket, tls);
          if (complaint === undefined) session = call(socket, target, tls, service, question, course);
          else course.fail(complaint);
        };
        const connection = openConnection(target, course, ready, tls, ['h2']);
        return () => {
          connection.destroy();
          session?.destroy();
        };
      }),
  };
}

function call(
  socket: Socket,
  target: Target,
  tls: Tls | undefined,
  service: string,
  question: Buffer,
  course: Course,
): ClientHttp2Session {
  const { session, stream } = beginCall(socket, target, tls, method.path, question);
  session.on('error', (error) => course.error(error, http2Reason(error)));
  session.on('close', () => course.fail('connection closed without an answer'));
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
  return session;
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
  return grpcStatusText(code, message);
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
