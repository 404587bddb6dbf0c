// SPDX-License-Identifier: Apache-2.0
// Types and loads the engine (dataplane/build/Release/dataplane.node). Messages cross as protobuf bytes, so this process
// never decodes them.
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { projectRoot } from '../grpc/loader.js';

/** The engine. There is one in a process. */
export interface Addon {
  /**
   * Starts EAL, ports and workers. Blocks until they run.
   * @param config A serialized fulcrum.dataplane.v1.StartConfig.
   * @throws Error with a code and a message that names the port or field, and has EAL's own lines.
   */
  start(config: Uint8Array): void;
  /**
   * Carries out one call of fulcrum.dataplane.v1.
   * @param method Name of the method, "Apply".
   * @param request The serialized request; resolves with the serialized response.
   * @throws Error whose code is the name of a gRPC status.
   */
  call(method: string, request: Uint8Array): Promise<Uint8Array>;
  /** Sets who gets serialized WatchEventsResponses. */
  onEvent(handler: (event: Uint8Array) => void): void;
  /** Read end of a pipe with the log lines of EAL and the engine. */
  logFd(): number;
  /**
   * Tells the service manager (systemd) a state as sd_notify(3) has them, "READY=1". The engine itself feeds the
   * watchdog, while every worker goes round.
   * @returns Whether it got there; false also when nobody wants to be told.
   */
  notify(state: string): boolean;
  /** Stops workers, closes ports, ends EAL. May be called twice. */
  stop(): void;
}

const addonPath = join(projectRoot, 'dataplane', 'build', 'Release', 'dataplane.node');

/** Loads the engine; fails with the path and what to do if it has not been built. */
export function loadAddon(): Addon {
  if (!existsSync(addonPath)) throw new Error(`${addonPath} is missing: build it with "npm run build:native"`);
  return createRequire(import.meta.url)(addonPath) as Addon;
}
