// SPDX-License-Identifier: Apache-2.0
// What the manager tells over HTTP. Nothing can be changed by it. Off loopback a token is asked for; on loopback none is,
// and a page of somebody else's that has its own name point here gets nothing either.
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import {
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import { isIP } from 'node:net';
import { FulcrumError, quote } from '../../grpc/errors.js';
import type { Logger } from '../../grpc/log.js';

export interface HttpOptions {
  /** "HOST:PORT", IPv6 in brackets; port 0: any. */
  readonly listen: string;
  /** Holds the token that must be shown. */
  readonly tokenFile?: string | undefined;
}

/** What a route may look at. */
export interface Asked {
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
}

interface Begun {
  readonly status: number;
  readonly type: string;
  /** Beside those that every answer has; a name in small letters goes before one of those. */
  readonly headers?: OutgoingHttpHeaders;
}

export interface Answer extends Begun {
  readonly body: string | Buffer;
}

/** An answer that goes on until one side ends it. */
export interface Streamed extends Begun {
  readonly stream: (response: ServerResponse) => void;
}

type Answering = (asked: Asked) => Promise<Answer | Streamed> | Answer | Streamed;

/** An open one tells nothing of this director: it is answered to whoever asks, also without a token. */
export type Route = Answering | { readonly open: Answering };

const leastTokenLength = 16;
const requestTimeoutMs = 5_000;
/** For those whose time is up. */
const lookEveryMs = 1_000;
const mostConnections = 64;
const largestHeader = 8_192;

interface Place {
  readonly host: string;
  readonly port: number;
}

/** Throws a FulcrumError if it is no place, or one that needs a token and has none. */
export function readHttpOptions({ listen, tokenFile }: HttpOptions): Place & { readonly token: string | undefined } {
  const match = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d+)$/.exec(listen);
  const [host, port] = [match?.[1] ?? match?.[2] ?? '', Number(match?.[3])];
  if (match === null || port > 65_535 || (isIP(host) === 0 && host !== 'localhost'))
    throw invalid(`--http ${listen} is not ADDRESS:PORT, such as 127.0.0.1:9680 or [::1]:9680`);
  const token = tokenFile === undefined ? undefined : readToken(tokenFile);
  if (token === undefined && !isLoopback(host))
    throw invalid(`--http ${listen} is not on loopback: who reads there must show a token, give --http-token FILE`);
  return { host, port, token };
}

function invalid(message: string): FulcrumError {
  return new FulcrumError({ reason: 'REASON_INVALID', message });
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host);
}

function readToken(file: string): string {
  let token: string;
  try {
    token = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw invalid(`--http-token ${file} cannot be read: ${(error as Error).message}`);
  }
  if (token.length < leastTokenLength || /\s/.test(token))
    throw invalid(`--http-token ${file}: a token is one word of at least ${leastTokenLength} characters`);
  return token;
}

export class HttpServer {
  readonly #server: Server;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #token: string | undefined;
  readonly #log: Logger;

  private constructor(routes: ReadonlyMap<string, Route>, token: string | undefined, log: Logger) {
    this.#routes = routes;
    this.#token = token;
    this.#log = log;
    const limits = {
      maxHeaderSize: largestHeader,
      requestTimeout: requestTimeoutMs,
      headersTimeout: requestTimeoutMs,
      connectionsCheckingInterval: lookEveryMs,
    };
    this.#server = createServer(limits, (request, response) => this.#answer(request, response));
    this.#server.maxConnections = mostConnections;
  }

  /** Resolves when it listens. */
  static async listen(options: HttpOptions, routes: ReadonlyMap<string, Route>, log: Logger): Promise<HttpServer> {
    const { host, port, token } = readHttpOptions(options);
    const made = new HttpServer(routes, token, log);
    await new Promise<void>((resolve, reject) => {
      made.#server.once('error', (error) => {
        reject(new FulcrumError({ code: 'UNAVAILABLE', message: `--http ${options.listen}: ${error.message}` }));
      });
      made.#server.listen(port, host, resolve);
    });
    return made;
  }

  get port(): number {
    const address = this.#server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const answer = await this.#answerTo(request);
      const isStream = 'stream' in answer;
      response.writeHead(answer.status, {
        'content-type': answer.type,
        ...(!isStream && answer.status !== 304 && { 'content-length': Buffer.byteLength(answer.body) }),
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        ...(answer.status === 401 && { 'www-authenticate': 'Bearer' }),
        ...(answer.status === 405 && { allow: 'GET, HEAD' }),
        ...answer.headers,
      });
      if (request.method === 'HEAD') response.end();
      else if (isStream) answer.stream(response);
      else response.end(answer.body);
    } catch (error) {
      this.#log.error({ err: error, url: request.url }, 'HTTP');
      if (response.headersSent) response.destroy();
      else response.writeHead(500).end();
    }
  }

  async #answerTo(request: IncomingMessage): Promise<Answer | Streamed> {
    const { method, url = '/', headers } = request;
    const [path = '/', query = ''] = url.split('?', 2);
    const route = this.#routes.get(path);
    const isOpen = route !== undefined && typeof route !== 'function';
    const refusal = this.#refusal(request, isOpen);
    if (refusal !== undefined) return refusal;
    if (method !== 'GET' && method !== 'HEAD') return text(405, 'only GET and HEAD');
    if (route === undefined) return text(404, `there is no ${quote(path)}`);
    const answer = isOpen ? route.open : route;
    return await answer({ query: new URLSearchParams(query), headers });
  }

  #refusal({ headers }: IncomingMessage, isOpen: boolean): Answer | undefined {
    if (this.#token !== undefined) {
      const [scheme = '', shown = ''] = (headers.authorization ?? '').split(' ');
      const isShown = scheme.toLowerCase() === 'bearer' && isSame(shown, this.#token);
      if (!isOpen && !isShown) return text(401, 'a token is needed');
    } else if (!isOwnName(headers.host ?? '')) {
      return text(403, `${quote(headers.host ?? '')} is not this host: ask by its address or as localhost`);
    }
    return undefined;
  }
}

/** Whoever has another name point at this host (DNS rebinding) would have a browser ask by that name. */
function isOwnName(host: string): boolean {
  const name = host.replace(/:\d+$/, '').replace(/^\[|\]$/g, '');
  return name === 'localhost' || isIP(name) !== 0;
}

function isSame(shown: string, token: string): boolean {
  const digest = (of: string): Buffer => createHash('sha256').update(of).digest();
  return timingSafeEqual(digest(shown), digest(token));
}

export function text(status: number, message: string): Answer {
  return { status, type: 'text/plain; charset=utf-8', body: `${message}\n` };
}
