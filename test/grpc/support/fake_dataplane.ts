// SPDX-License-Identifier: Apache-2.0
// A dataplane without an engine: a real gRPC server that keeps what it is told to, and remembers the calls. It follows
// operations by its own few lines, not by the manager's model, so that the two can be compared.
import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import type { Server } from '@grpc/grpc-js';
import { pino } from 'pino';
import type { ApplyRequest__Output } from '../../../src/generated/fulcrum/dataplane/v1/ApplyRequest.js';
import type { CheckPath__Output } from '../../../src/generated/fulcrum/dataplane/v1/CheckPath.js';
import type { DataplaneServiceDefinition } from '../../../src/generated/fulcrum/dataplane/v1/DataplaneService.js';
import type { DeleteConnectionsRequest__Output } from '../../../src/generated/fulcrum/dataplane/v1/DeleteConnectionsRequest.js';
import type { DeleteConnectionsResponse } from '../../../src/generated/fulcrum/dataplane/v1/DeleteConnectionsResponse.js';
import type { ListConnectionsRequest__Output } from '../../../src/generated/fulcrum/dataplane/v1/ListConnectionsRequest.js';
import type { WatchEventsResponse } from '../../../src/generated/fulcrum/dataplane/v1/WatchEventsResponse.js';
import type { Connection } from '../../../src/generated/fulcrum/v1/Connection.js';
import type { Operation__Output } from '../../../src/generated/fulcrum/v1/Operation.js';
import type { Overload } from '../../../src/generated/fulcrum/v1/Overload.js';
import type { ServerKey__Output } from '../../../src/generated/fulcrum/v1/ServerKey.js';
import type { ServerStatistics } from '../../../src/generated/fulcrum/v1/ServerStatistics.js';
import type { ServiceKey__Output } from '../../../src/generated/fulcrum/v1/ServiceKey.js';
import type { ServiceStatistics } from '../../../src/generated/fulcrum/v1/ServiceStatistics.js';
import type { WorkerStatistics } from '../../../src/generated/fulcrum/v1/WorkerStatistics.js';
import { FulcrumError } from '../../../src/grpc/errors.js';
import { addService, type CallContext, type Handlers } from '../../../src/grpc/handlers.js';
import { createServer, listenUnix } from '../../../src/grpc/listen.js';
import { loadDataplaneServices } from '../../../src/grpc/loader.js';

const service = (key: ServiceKey__Output | null) => `${key?.address}:${key?.port}`;
const server = (key: ServerKey__Output | null) => `${key?.address}:${key?.port}`;

const sum = (servers: readonly ServerStatistics[], field: 'activeConnections' | 'inactiveConnections') =>
  servers.reduce((all, each) => all + Number(each[field] ?? 0), 0);

/** Refuses an apply, or lets it pass. */
export type Check = (request: ApplyRequest__Output) => FulcrumError | undefined;

export class FakeDataplane {
  /** Every Apply that was answered with success, oldest first. */
  readonly applied: ApplyRequest__Output[] = [];
  /** What connections were to be deleted, not only counted. */
  readonly deleted: DeleteConnectionsRequest__Output[] = [];
  /** Number of calls by method. */
  readonly calls = new Map<string, number>();
  instanceId: string = randomUUID();
  generation = 0;
  lineage = '';
  /** Servers by service, weights by server, in the order of addition. */
  services = new Map<string, Map<string, number>>();
  check: Check = () => undefined;
  /** An Apply waits for this before it is answered. */
  gate: Promise<void> = Promise.resolve();
  /** Defences that say they are at work. */
  active: { secureTcpActive?: boolean; dropEntryActive?: boolean; dropPacketActive?: boolean } = {};
  overloads: Overload[] = [];
  connections: Connection[] = [];
  checkPaths: readonly CheckPath__Output[] = [];
  statistics: { services: ServiceStatistics[]; workers: WorkerStatistics[] } = { services: [], workers: [] };
  /** What it counted as of the last run of the estimator. */
  estimated: ServiceStatistics[] = [];
  readonly #path: string;
  readonly #changes = new EventEmitter();
  readonly #events = new EventEmitter();
  #server: Server | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async start(): Promise<void> {
    const grpcServer = createServer();
    const log = pino({ level: 'silent' });
    const { dataplane } = loadDataplaneServices();
    addService<DataplaneServiceDefinition, 'WatchEvents'>(grpcServer, dataplane, this.#handlers(), log);
    await listenUnix(grpcServer, this.#path);
    this.#server = grpcServer;
  }

  /** Ends all connections at once, as a crash does. */
  stop(): void {
    this.#server?.forceShutdown();
    this.#server = undefined;
  }

  /** Comes back as a new process would: another instance that has nothing. */
  async restart(): Promise<void> {
    this.stop();
    this.instanceId = randomUUID();
    this.generation = 0;
    this.lineage = '';
    this.services = new Map();
    await this.start();
  }

  emit(event: WatchEventsResponse): void {
    this.#events.emit('event', event);
  }

  /** Resolves when a condition holds, asked after every call. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) await once(this.#changes, 'change');
  }

  /** "192.0.2.1:80: 10.0.0.1:80=1 10.0.0.2:80=1", servers in the order of addition. */
  outline(): string[] {
    return [...this.services].map(([key, servers]) =>
      `${key}: ${[...servers].map(([id, weight]) => `${id}=${weight}`).join(' ')}`.trimEnd(),
    );
  }

  /** Of the last Plan. */
  planned: readonly Operation__Output[] = [];

  #count(method: string): void {
    this.calls.set(method, (this.calls.get(method) ?? 0) + 1);
    setImmediate(() => this.#changes.emit('change'));
  }

  #handlers(): Handlers<DataplaneServiceDefinition, 'WatchEvents'> {
    return {
      getState: async () => {
        this.#count('GetState');
        const { instanceId, generation, lineage } = this;
        return {
          instanceId,
          generation,
          lineage,
          pid: process.pid,
          workers: 2,
          memory: 'no-huge',
          dpdkVersion: 'fake',
          ...this.active,
          overloads: this.overloads,
        };
      },
      apply: async (request) => {
        await this.gate;
        this.#apply(request);
        this.#count('Apply');
        return { generation: this.generation, results: [] };
      },
      setCheckPaths: async ({ paths }) => {
        this.#count('SetCheckPaths');
        this.checkPaths = paths;
        return { answers: paths.map(() => ({ source: '192.0.2.254', problem: '' })) };
      },
      getStatistics: async ({ estimated }) => {
        this.#count('GetStatistics');
        return estimated ? { services: this.estimated } : this.statistics;
      },
      listConnections: async (request) => {
        this.#count('ListConnections');
        return this.#page(request);
      },
      deleteConnections: async (request) => {
        this.#count('DeleteConnections');
        return this.#delete(request);
      },
      startTrace: async () => ({ id: 1 }),
      readTrace: async () => ({ packets: [{ verdict: 'routed', time: '2026-05-01T12:00:00.000000001Z' }] }),
      stopTrace: async () => {
        this.#count('StopTrace');
        return {};
      },
      // Never of the generation that is declared: nothing is compared.
      digest: async () => ({ generation: 0 }),
      readBack: async () => ({}),
      plan: async ({ operations }) => {
        this.#count('Plan');
        this.planned = operations?.operations ?? [];
        return { services: [] };
      },
      explain: async () => ({ explanation: { verdict: 'routed' } }),
      listNeighbors: async () => ({ neighbors: [{ address: '10.0.0.1', interface: 'lan', mac: '02:00:00:00:00:01' }] }),
      listPorts: async () => ({ ports: [{ name: 'wan', linkUp: true }] }),
      listRoutes: async () => ({ routes: [{ destination: '0.0.0.0/0', via: '10.0.0.1', interface: 'wan' }] }),
      watchEvents: (_request, context) => this.#watch(context),
    };
  }

  async *#watch({ signal }: CallContext): AsyncGenerator<WatchEventsResponse> {
    this.#count('WatchEvents');
    try {
      for (;;) {
        const [event] = await once(this.#events, 'event', { signal });
        yield event;
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  /** A page holds what the filter leaves of page_size entries, so it may be empty. */
  #page({ pageSize, cursor, filter }: ListConnectionsRequest__Output) {
    const serverAddress = filter?.serverAddress ?? '';
    const begin = Number(cursor);
    const end = begin + pageSize;
    const entries = this.connections.slice(begin, end);
    const connections = entries.filter((entry) => serverAddress === '' || entry.serverAddress === serverAddress);
    return { connections, nextCursor: end < this.connections.length ? end : 0 };
  }

  /** By the server's address and port only; what it counts is not what it lists. */
  #delete(request: DeleteConnectionsRequest__Output): DeleteConnectionsResponse {
    const { filter, countOnly } = request;
    if (!countOnly) this.deleted.push(request);
    const servers = this.statistics.services.flatMap((each) => each.servers ?? []);
    const meant = servers.filter(
      ({ key }) => key?.address === filter?.serverAddress && key?.port === filter?.serverPort,
    );
    const [active, inactive] = [sum(meant, 'activeConnections'), sum(meant, 'inactiveConnections')];
    for (const one of countOnly ? [] : meant) Object.assign(one, { activeConnections: 0, inactiveConnections: 0 });
    return { connections: active + inactive, active, templates: 0, oldestMs: active > 0 ? 1_500 : 0 };
  }

  #apply(request: ApplyRequest__Output): void {
    const refused = this.check(request);
    if (refused !== undefined) throw refused;
    if (request.instanceId !== this.instanceId) {
      throw new FulcrumError({ code: 'FAILED_PRECONDITION', message: 'another instance' });
    }
    if (request.what === 'operations') {
      if (Number(request.baseGeneration) !== this.generation) {
        throw new FulcrumError({ code: 'FAILED_PRECONDITION', message: `generation is ${this.generation}` });
      }
      for (const operation of request.operations?.operations ?? []) this.#operate(operation);
    } else {
      this.services = new Map(
        request.snapshot?.services.map(({ key, servers }) => [
          service(key),
          new Map(servers.map((entry) => [server(entry.key), entry.spec?.weight ?? -1])),
        ]),
      );
    }
    this.generation = Number(request.generation);
    this.lineage = request.lineage;
    this.applied.push(request);
  }

  #operate(operation: Operation__Output): void {
    if (operation.addService) this.services.set(service(operation.addService.key), new Map());
    if (operation.deleteService) this.services.delete(service(operation.deleteService));
    if (operation.flush) this.services.clear();
    const put = operation.addServer ?? operation.editServer;
    if (put) this.services.get(service(put.service))?.set(server(put.key), put.spec?.weight ?? -1);
    const gone = operation.deleteServer;
    if (gone) this.services.get(service(gone.service))?.delete(server(gone.key));
  }
}
