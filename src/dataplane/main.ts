// SPDX-License-Identifier: Apache-2.0
// The dataplane host: reads a StartConfig (proto3 JSON) from standard input or from a file, starts the engine, serves it on
// a unix socket. No policy, no other files. However the process ends, the engine is stopped first: workers, ports, EAL.
import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import type { Server } from '@grpc/grpc-js';
import { FulcrumError } from '../grpc/errors.js';
import { addHealth } from '../grpc/health.js';
import { closeServer, createServer, listenUnix } from '../grpc/listen.js';
import { loadDataplaneServices } from '../grpc/loader.js';
import { createLogger, type Logger } from '../grpc/log.js';
import { runPaths } from '../grpc/paths.js';
import { type Addon, loadAddon } from './addon.js';
import { EventFanout } from './event_fanout.js';
import { addEngineService } from './service.js';
import { type ParsedStartConfig, parseStartConfig } from './start_config.js';

const stopGraceMs = 500;
const stopping = new AbortController();

interface Arguments {
  readonly socket: string;
  /** A file, or standard input's descriptor. */
  readonly config: string | number;
}

function readArguments(): Arguments {
  const { values } = parseArgs({ options: { socket: { type: 'string' }, config: { type: 'string' } } });
  return { socket: values.socket ?? runPaths().dataplaneSocket, config: values.config ?? 0 };
}

/** Log lines of EAL and of the engine, from the pipe that they are written to. */
function logEngine(addon: Addon, log: Logger): void {
  const pipe = new Socket({ fd: addon.logFd(), readable: true, writable: false });
  pipe.on('error', (error) => log.warn({ err: error }, 'the log of the engine cannot be read'));
  createInterface({ input: pipe }).on('line', (line) => log.info({ source: 'engine' }, line));
  pipe.unref();
}

async function serve(
  server: Server,
  socket: string,
  config: ParsedStartConfig,
  services: ReturnType<typeof loadDataplaneServices>,
  addon: Addon,
  events: EventFanout,
  log: Logger,
): Promise<void> {
  addon.onEvent((event) => events.publish(event));
  addEngineService(server, services.dataplane, addon, events, log);
  if (config.testing) addEngineService(server, services.test, addon, events, log);
  const health = addHealth(server, ['fulcrum.dataplane.v1.DataplaneService']);
  await listenUnix(server, socket);
  health.setServing(true);
}

/** Set before the engine starts, so that a signal meanwhile is handled as soon as it runs. */
function stopOnSignal(server: Server, addon: Addon, events: EventFanout, log: Logger): void {
  const stop = async (signal: NodeJS.Signals) => {
    if (stopping.signal.aborted) return;
    stopping.abort();
    log.info({ signal }, 'stopping');
    addon.notify('STOPPING=1');
    events.end();
    await closeServer(server, stopGraceMs);
    addon.stop();
    log.info('stopped');
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
}

async function main(log: Logger): Promise<void> {
  const { socket, config: source } = readArguments();
  const services = loadDataplaneServices();
  const config = parseStartConfig(readFileSync(source, 'utf8'), services.definitions);
  const addon = loadAddon();
  const server = createServer();
  const events = new EventFanout();
  stopOnSignal(server, addon, events, log);
  // Neither process.exit() nor an uncaught exception runs N-API's clean-up hooks.
  process.on('exit', () => addon.stop());
  logEngine(addon, log);
  addon.start(config.bytes);
  await serve(server, socket, config, services, addon, events, log);
  addon.notify('READY=1');
  log.info({ socket }, 'ready');
}

const log = createLogger('dataplane');
main(log).catch((error: unknown) => {
  // A signal came while it started: stopOnSignal() ends the process.
  if (stopping.signal.aborted) return;
  const message = error instanceof FulcrumError ? error.describe() : (error as Error).message;
  log.fatal({ code: (error as NodeJS.ErrnoException).code }, message);
  process.stderr.write(`dataplane: ${message}\n`);
  process.exit(1);
});
