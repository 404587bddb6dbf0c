// SPDX-License-Identifier: Apache-2.0
// The manager as a process: arguments, signals, exit codes (2 for wrong arguments, 1 for anything else that fails).
import { parseArgs } from 'node:util';
import { FulcrumError } from '../grpc/errors.js';
import { createLogger, type Logger } from '../grpc/log.js';
import { defaultStateDirectory, runPaths } from '../grpc/paths.js';
import { readHttpOptions } from './http/server.js';
import { type ManagerOptions, startManager } from './manager.js';
import { tellServiceManager } from './service_manager.js';

class UsageError extends Error {}

const optionTypes = {
  socket: { type: 'string' },
  dataplane: { type: 'string' },
  'state-dir': { type: 'string' },
  listen: { type: 'string' },
  'tls-cert': { type: 'string' },
  'tls-key': { type: 'string' },
  'tls-client-ca': { type: 'string' },
  roles: { type: 'string' },
  audit: { type: 'string' },
  http: { type: 'string' },
  'http-token': { type: 'string' },
  'no-server-metrics': { type: 'boolean' },
} as const;

type Values = {
  readonly [name in keyof typeof optionTypes]?: (typeof optionTypes)[name]['type'] extends 'boolean' ? boolean : string;
};

function readArguments(): ManagerOptions {
  let values: Values;
  try {
    ({ values } = parseArgs({ options: optionTypes }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const paths = runPaths();
  return {
    socket: values.socket ?? paths.managerSocket,
    dataplaneSocket: values.dataplane ?? paths.dataplaneSocket,
    stateDirectory: values['state-dir'] ?? defaultStateDirectory(),
    listen: readListen(values),
    http: readHttp(values),
    audit: { file: values.audit },
  };
}

/** Without HTTP its other options mean nothing. */
function readHttp(values: Values): ManagerOptions['http'] {
  const { http: listen, 'http-token': tokenFile, 'no-server-metrics': isTerse = false } = values;
  if (listen === undefined) {
    if (tokenFile !== undefined || isTerse) throw new UsageError('--http-token and --no-server-metrics need --http');
    return undefined;
  }
  const options = { listen, tokenFile };
  try {
    readHttpOptions(options);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  return { ...options, perServer: !isTerse };
}

function readListen(values: Values): ManagerOptions['listen'] {
  const { listen, 'tls-cert': certificate, 'tls-key': key, 'tls-client-ca': clientAuthority } = values;
  const { roles: rolesFile } = values;
  const any = [certificate, key, clientAuthority, rolesFile].some((file) => file !== undefined);
  if (listen === undefined) {
    if (any) throw new UsageError('--tls-cert, --tls-key, --tls-client-ca and --roles need --listen HOST:PORT');
    return undefined;
  }
  if (!/:\d+$/.test(listen)) throw new UsageError(`--listen ${listen} is not HOST:PORT`);
  if (certificate === undefined || key === undefined || clientAuthority === undefined) {
    throw new UsageError('--listen is served only with mutual TLS: give --tls-cert, --tls-key and --tls-client-ca');
  }
  return { address: listen, tls: { certificate, key, clientAuthority }, rolesFile };
}

async function main(log: Logger): Promise<void> {
  const options = readArguments();
  const manager = await startManager(options, log);
  let stopping = false;
  const stop = async (signal: NodeJS.Signals) => {
    if (stopping) return;
    stopping = true;
    log.info({ signal }, 'stopping');
    tellServiceManager('STOPPING=1', log);
    await manager.stop();
    log.info('stopped');
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.on('SIGHUP', () => {
    log.info('SIGHUP: reading certificates and roles again');
    manager.reload();
  });
  log.info(
    { socket: options.socket, stateDirectory: options.stateDirectory, port: manager.port, http: manager.httpPort() },
    'ready',
  );
  tellServiceManager('READY=1', log);
}

const log = createLogger('manager');
main(log).catch((error: unknown) => {
  const message = error instanceof FulcrumError ? error.describe() : (error as Error).message;
  log.fatal(message);
  process.stderr.write(`manager: ${message}\n`);
  process.exit(error instanceof UsageError ? 2 : 1);
});
