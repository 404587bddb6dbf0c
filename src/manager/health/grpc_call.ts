// SPDX-License-Identifier: Apache-2.0
// gRPC over HTTP/2 as checks speak it: one call on a connection of its own, by node:http2, because grpc-js knows neither
// a source address nor when a connection is closed.
import { type ClientHttp2Session, type ClientHttp2Stream, connect as connectHttp2, constants } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { status as statusCodes } from '@grpc/grpc-js';
import { endpoint } from '../address.js';
import type { Tls } from './connection.js';
import type { Target } from './prober.js';

/** Length and compression flag before each message. */
export const prefixBytes = 5;

export function framed(message: Buffer): Buffer {
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

/** What is wrong with a connection that should speak HTTP/2. */
export function http2Complaint(socket: Socket, tls: Tls | undefined): string | undefined {
  const speaks = tls === undefined || (socket as TLSSocket).alpnProtocol === 'h2';
  return speaks ? undefined : 'it does not offer HTTP/2 (ALPN h2)';
}

export interface GrpcCall {
  readonly session: ClientHttp2Session;
  readonly stream: ClientHttp2Stream;
}

/** Asks the question; who calls hears of what happens by the events of both. */
export function beginCall(
  socket: Socket,
  { address, port }: Target,
  tls: Tls | undefined,
  path: string,
  question: Buffer,
): GrpcCall {
  const scheme = tls === undefined ? 'http' : 'https';
  const origin = `${scheme}://${tls?.serverName || endpoint(address, port)}`;
  const session = connectHttp2(origin, { createConnection: () => socket });
  const stream = session.request({
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: path,
    'content-type': 'application/grpc',
    te: 'trailers',
    'user-agent': 'fulcrum',
  });
  stream.end(question);
  return { session, stream };
}

export function http2Reason(error: Error): string | undefined {
  if (/ERR_HTTP2_(?:ERROR|SESSION_ERROR|STREAM_ERROR)/.test((error as NodeJS.ErrnoException).code ?? ''))
    return `HTTP/2: ${error.message}`;
  return undefined;
}

/** "UNAVAILABLE: database is away". */
export function grpcStatusText(code: number, message: string | string[] | undefined): string {
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
