// SPDX-License-Identifier: Apache-2.0
// What the manager tells over HTTP. Nothing can be changed by it. Off loopback a token is asked for; on loopback none is,
// and a page of somebody else's that has its own name point here gets nothing either.
import { createHash, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { FulcrumError, quote } from '../../grpc/errors.js';
import type { Logger } from '../../grpc/log.js';

export interface HttpOptions {
  /** "HOST:PORT", IPv6 in brackets; port 0: any. */
  readonly listen: string;
  /** Holds the token that must be shown. */
  readonly tokenFile?: string | undefined;
}

export interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

export type Route = () => Promise<Answer> | Answer;

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
      const { status, type, body } = this.#refusal(request) ?? (await this.#routed(request));
      response.writeHead(status, {
        'content-type': type,
        'content-length': Buffer.byteLength(body),
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
        ...(status === 401 && { 'www-authenticate': 'Bearer' }),
        ...(status === 405 && { allow: 'GET, HEAD' }),
      });
      response.end(request.method === 'HEAD' ? undefined : body);
    } catch (error) {
      this.#log.error({ err: error, url: request.url }, 'HTTP');
      response.writeHead(500).end();
    }
  }

  #refusal({ method, headers }: IncomingMessage): Answer | undefined {
    if (this.#token !== undefined) {
      const [scheme = '', shown = ''] = (headers.authorization ?? '').split(' ');
      if (scheme.toLowerCase() !== 'bearer' || !isSame(shown, this.#token)) return text(401, 'a token is needed');
    } else if (!isOwnName(headers.host ?? '')) {
      return text(403, `${quote(headers.host ?? '')} is not this host: ask by its address or as localhost`);
    }
    if (method !== 'GET' && method !== 'HEAD') return text(405, 'only GET and HEAD');
    return undefined;
  }

  async #routed({ url = '/' }: IncomingMessage): Promise<Answer> {
    const path = url.split('?', 1)[0] ?? '/';
    const route = this.#routes.get(path);
    return route === undefined ? text(404, `there is no ${quote(path)}`) : await route();
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
