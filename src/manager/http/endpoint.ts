// SPDX-License-Identifier: Apache-2.0
// Keeps the HTTP server up. A port that somebody else has is no reason for a director to have no manager: it is said, and
// tried again.
import type { FulcrumError } from '../../grpc/errors.js';
import type { Logger } from '../../grpc/log.js';
import { type HttpOptions, HttpServer, type Route } from './server.js';

const retryMs = 5_000;

export class HttpEndpoint {
  readonly #options: HttpOptions;
  readonly #routes: ReadonlyMap<string, Route>;
  readonly #log: Logger;
  #server: HttpServer | undefined;
  #retry: NodeJS.Timeout | undefined;
  #stopped = false;
  #saidBefore = '';

  constructor(options: HttpOptions, routes: ReadonlyMap<string, Route>, log: Logger) {
    this.#options = options;
    this.#routes = routes;
    this.#log = log;
  }

  get port(): number {
    return this.#server?.port ?? 0;
  }

  /** Resolves after the first attempt. */
  async start(): Promise<void> {
    try {
      const server = await HttpServer.listen(this.#options, this.#routes, this.#log);
      if (this.#stopped) await server.close();
      else this.#server = server;
      if (this.#saidBefore !== '') this.#log.info({ port: server.port }, 'HTTP listens');
    } catch (error) {
      const said = (error as FulcrumError).message;
      if (said !== this.#saidBefore) this.#log.error(said);
      this.#saidBefore = said;
      if (!this.#stopped) this.#retry = setTimeout(() => void this.start(), retryMs);
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    await this.#server?.close();
  }
}
