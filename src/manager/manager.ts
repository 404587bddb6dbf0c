// SPDX-License-Identifier: Apache-2.0
// A manager, put together: store, director, reconciler, API on its sockets. main.ts runs one as a process.
import { existsSync, readFileSync } from 'node:fs';
import type { Event } from '../generated/fulcrum/v1/Event.js';
import { FulcrumError } from '../grpc/errors.js';
import { descriptorSetPath, loadDataplaneServices, loadDirectorService } from '../grpc/loader.js';
import type { Logger } from '../grpc/log.js';
import { Audit, type AuditOptions } from './audit/audit.js';
import { dataplaneConnector } from './dataplane_client.js';
import { Director } from './director.js';
import { Doors, type ListenOptions } from './doors.js';
import { Drainer } from './drainer.js';
import { sharedEncoding } from './encoding.js';
import { ClientWays } from './health/client_ways.js';
import { Keeper } from './health/keeper.js';
import { History } from './history/history.js';
import { HttpEndpoint } from './http/endpoint.js';
import { httpRoutes } from './http/routes.js';
import type { HttpOptions } from './http/server.js';
import type { LiveOf } from './messages.js';
import { type ScrapeOptions, Scraper } from './metrics/scrape.js';
import { noStreams, StatusPage } from './page/page.js';
import { Reconciler } from './reconciler.js';
import { addDirectorService } from './service.js';
import { Store } from './store.js';
import { Verifier } from './verify/verifier.js';
import { version } from './version.js';
import { Broadcaster } from './watch.js';

export interface ManagerOptions {
  readonly socket: string;
  readonly dataplaneSocket: string;
  readonly stateDirectory: string;
  /** A TCP listener. */
  readonly listen?: ListenOptions | undefined;
  /** What is told over HTTP, if it is told. */
  readonly http?: (HttpOptions & Pick<ScrapeOptions, 'perServer'>) | undefined;
  /** Where the audit goes, and how much of it is kept. */
  readonly audit?: Pick<AuditOptions, 'file' | 'largestBytes' | 'files'> | undefined;
  /** How long an edit waits for the dataplane; default 5 s. */
  readonly inForceTimeoutMs?: number | undefined;
  /** How far a reader of Watch may be behind, in objects. */
  readonly watchBound?: number | undefined;
}

export interface Manager {
  /** Port of the TCP listener; 0 without one. */
  readonly port: number;
  /** Of HTTP; 0 while it does not listen. */
  readonly httpPort: () => number;
  /** Reads certificates and roles again. */
  readonly reload: () => void;
  /** Ends calls and the connection to the dataplane, and gives up the state. May be called twice. */
  readonly stop: () => Promise<void>;
}

const startedAt = Date.now();
const defaultInForceTimeoutMs = 5_000;
/** Calls under way when the manager stops get this long; watchers are ended. */
const stopGraceMs = 300;

function readDescriptorSet(): Buffer {
  if (existsSync(descriptorSetPath)) return readFileSync(descriptorSetPath);
  const message = `${descriptorSetPath} is missing: build it with "npm run build:proto"`;
  throw new FulcrumError({ code: 'FAILED_PRECONDITION', message });
}

/** Resolves when the manager serves. Fails, with nothing changed, if the state is damaged or a socket is taken. */
export async function startManager(options: ManagerOptions, log: Logger): Promise<Manager> {
  const descriptorSet = readDescriptorSet();
  const store = await Store.open(options.stateDirectory, (err) =>
    log.error({ err }, 'the state file cannot be written'),
  );
  const broadcaster = new Broadcaster(store.loaded.lineage, options.watchBound);
  const director = new Director(store, broadcaster, log);
  const events = new Map<string, number>();
  const tell = (event: Event): void => {
    events.set(event.kind ?? '', (events.get(event.kind ?? '') ?? 0) + 1);
    broadcaster.publishEvent(event, director.state.model);
    page?.note(event);
  };
  const report = (kind: string, message: string): void => {
    log.info({ kind }, message);
    tell({ time: new Date().toISOString(), kind, message });
  };
  const { dataplane, definitions } = loadDataplaneServices();
  const encoding = sharedEncoding(definitions);
  const reconciler = new Reconciler({
    connect: dataplaneConnector(options.dataplaneSocket, encoding.dataplane(dataplane)),
    desired: () => director.state,
    onEvent: (event) => {
      tell(event);
      if (event.kind === 'dataplane_connected') ways.connected();
      if (event.kind === 'dataplane_lost') ways.lost();
    },
    log,
  });
  director.attach(reconciler);
  const audit = new Audit({ directory: options.stateDirectory, ...options.audit, report, log });
  director.onOutcome((outcome) => audit.edited(outcome));
  const history = History.open({ directory: options.stateDirectory, log }, store.loaded);
  director.listen((_before, after, { carriedOut }, { identity, method }) => {
    const edit = { time: new Date().toISOString(), identity, method, operations: carriedOut };
    if (carriedOut.length > 0) history.add({ ...director.state, model: after }, edit);
  });
  director.listen(() => page?.changed());
  const ways = new ClientWays({
    dataplane: () => reconciler.dataplane(),
    onEvent: tell,
    log,
  });
  const keeper = new Keeper({
    director,
    ways,
    dataplane: () => reconciler.dataplane(),
    onEvent: tell,
    log,
  });
  const drainer = new Drainer({
    director,
    reconciler,
    onEvent: tell,
    log,
  });
  const verifier = new Verifier({ director, reconciler, onEvent: tell, log });
  const liveOf: LiveOf = (service, server) => keeper.live(service, server);
  const page =
    options.http &&
    new StatusPage({
      state: () => director.state,
      status: () => reconciler.status(),
      dataplane: () => reconciler.dataplane(),
      history: () => history.list(),
      liveOf,
      disagreements: () => verifier.disagreements,
      startedAt,
      log,
    });
  const inForceTimeoutMs = options.inForceTimeoutMs ?? defaultInForceTimeoutMs;
  const definition = encoding.director(loadDirectorService());
  const context = {
    director,
    reconciler,
    broadcaster,
    ways,
    inForceTimeoutMs,
    liveOf,
    drainer,
    history,
    verifier,
    audit,
    report,
  };
  let doors: Doors | undefined;
  const scraper = new Scraper({
    perServer: options.http?.perServer ?? true,
    dataplane: () => reconciler.dataplane(),
    readings: () => {
      const { model, generation } = director.state;
      const { generationApplied, eventsLost } = reconciler.status();
      const { edits, refusals } = director;
      return {
        model,
        liveOf,
        disagreements: verifier.disagreements,
        comparedAt: verifier.comparedAt,
        generations: { wanted: generation, applied: generationApplied },
        counts: { edits, refusals, events, eventsLost, streams: page?.counts ?? noStreams },
        tcp: doors?.tcpReadings(),
        version,
        startedAt,
      };
    },
  });
  const http = options.http && page && new HttpEndpoint(options.http, httpRoutes(scraper, reconciler, page), log);
  try {
    const { socket, listen } = options;
    const opened = await Doors.open({
      socket,
      listen,
      descriptorSet,
      addDirector: (server) => addDirectorService(server, definition, context, log),
      report,
      refusedCall: (call) => audit.refused(call),
      log,
    });
    doors = opened;
    await http?.start();
    reconciler.start();
    keeper.start();
    drainer.start();
    page?.start();
    verifier.start();
    opened.setServing(true);
    let stopped: Promise<void> | undefined;
    const stop = async () => {
      opened.setServing(false);
      await page?.stop();
      await http?.stop();
      await opened.close(stopGraceMs);
      await keeper.stop();
      await drainer.stop();
      await verifier.stop();
      await director.settle();
      await reconciler.stop();
      await history.settle();
      await audit.close();
      await store.close();
    };
    return {
      port: opened.port,
      httpPort: () => http?.port ?? 0,
      reload: () => opened.reload(),
      stop: () => {
        stopped ??= stop();
        return stopped;
      },
    };
  } catch (error) {
    await http?.stop();
    await doors?.close(0);
    await audit.close();
    await store.close();
    throw error;
  }
}
