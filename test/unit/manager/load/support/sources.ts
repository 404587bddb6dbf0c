// SPDX-License-Identifier: Apache-2.0
// Load sources as they come from the API, an ORCA server, and a load monitor whose changes can be waited for.
import { Server, ServerCredentials, type ServerWritableStream } from '@grpc/grpc-js';
import type { ExecutionContext } from 'ava';
import type { LoadSource__Output } from '../../../../../src/generated/fulcrum/v1/LoadSource.js';
import type { NumberSource__Output } from '../../../../../src/generated/fulcrum/v1/NumberSource.js';
import type { OrcaSource__Output } from '../../../../../src/generated/fulcrum/v1/OrcaSource.js';
import type { OrcaLoadReport } from '../../../../../src/generated/xds/data/orca/v3/OrcaLoadReport.js';
import type { OrcaLoadReportRequest__Output } from '../../../../../src/generated/xds/service/orca/v3/OrcaLoadReportRequest.js';
import { FulcrumError } from '../../../../../src/grpc/errors.js';
import { loadProto } from '../../../../../src/grpc/loader.js';
import type { Target } from '../../../../../src/manager/health/prober.js';
import type { Load } from '../../../../../src/manager/load/load.js';
import { type LoadChange, LoadMonitor, type LoadMonitorOptions } from '../../../../../src/manager/load/monitor.js';
import { prepareLoad } from '../../../../../src/manager/load/prepare.js';

export const path = 'health.load';

type Common = Partial<Omit<LoadSource__Output, 'kind' | 'agent' | 'orca' | 'number'>>;

const unset = { intervalMs: 0, timeoutMs: 0, address: '', port: 0, source: '' };

export const agentSource = (fields: Common = {}, send = ''): LoadSource__Output => ({
  ...unset,
  port: 1,
  kind: 'agent',
  agent: { send },
  ...fields,
});

export const orcaSource = (fields: Common = {}, orca: Partial<OrcaSource__Output> = {}): LoadSource__Output => ({
  ...unset,
  kind: 'orca',
  orca: { metric: '', tls: null, ...orca },
  ...fields,
});

const plainNumber = { path: '', host: '', headers: [], tls: null };

export const jsonSource = (
  jsonPointer: string,
  fields: Common = {},
  number: Partial<NumberSource__Output> = {},
): LoadSource__Output => ({
  ...unset,
  kind: 'number',
  number: { ...plainNumber, format: 'jsonPointer', jsonPointer, ...number },
  ...fields,
});

export const metricSource = (prometheusMetric: string, fields: Common = {}): LoadSource__Output => ({
  ...unset,
  kind: 'number',
  number: { ...plainNumber, format: 'prometheusMetric', prometheusMetric },
  ...fields,
});

/** What one question brings: "30% up → …" is what was said, otherwise why nothing was. */
export async function askOnce(source: LoadSource__Output, target: Target, timeoutMs = 2000): Promise<string> {
  const { how } = prepareLoad(source, path);
  if (!('ask' in how)) throw new Error('it is not asked');
  const said: string[] = [];
  const result = await how.ask(target, timeoutMs, new AbortController().signal, ({ text }) => said.push(text));
  if (!result.ok) return [...said, result.reason].join(' and ');
  return said.join(' and ');
}

/** "field: message" of what it is refused for. */
export function refusal(source: LoadSource__Output): string {
  try {
    prepareLoad(source, path);
  } catch (error) {
    if (error instanceof FulcrumError) return error.describe();
    throw error;
  }
  return 'not refused';
}

/** A load monitor; what it tells can be waited for. */
export class Watcher {
  readonly monitor: LoadMonitor;
  readonly told: LoadChange[] = [];
  #wake: () => void = () => {};

  constructor(t: ExecutionContext, options: Partial<LoadMonitorOptions> = {}) {
    const onChange = (batch: readonly LoadChange[]): void => {
      this.told.push(...batch);
      this.#wake();
    };
    this.monitor = new LoadMonitor({ random: () => 0, ...options, onChange });
    t.teardown(() => this.monitor.stop());
  }

  set(target: Target, source: LoadSource__Output, known?: Load): void {
    this.monitor.set('a', { target, source: prepareLoad(source, path), known });
  }

  /** The next load that was told, as its most telling parts. */
  async next(): Promise<string> {
    while (this.told.length === 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    const { load } = this.told.shift() as LoadChange;
    const words = [load.admin === 'ready' ? [] : [load.admin], load.down === null ? [] : [load.down]].flat();
    const most = load.maxConnections === null ? [] : [`most ${load.maxConnections}`];
    return [`${load.percent}%`, ...words, ...most].join(' ');
  }

  /** When the source has that problem. */
  async problem(pattern: RegExp): Promise<string> {
    for (;;) {
      const problem = this.monitor.status('a')?.problem ?? '';
      if (pattern.test(problem)) return problem;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

type ReportStream = ServerWritableStream<OrcaLoadReportRequest__Output, OrcaLoadReport>;

/** A gRPC server with ORCA's service, whose streams are in the test's hands. */
export class OrcaServer {
  readonly target: Target;
  readonly #server: Server;
  readonly #calls: ReportStream[] = [];
  #wake: () => void = () => {};

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.target = { address: '127.0.0.1', port };
  }

  static async start(
    t: ExecutionContext,
    credentials = ServerCredentials.createInsecure(),
    port = 0,
  ): Promise<OrcaServer> {
    const server = new Server();
    let self: OrcaServer | undefined;
    const definition = loadProto('xds/service/orca/v3/orca.proto')['xds.service.orca.v3.OpenRcaService'];
    server.addService(definition as never, {
      StreamCoreMetrics: (call: ReportStream) => self?.take(call),
    });
    const bound = await new Promise<number>((resolve, reject) =>
      server.bindAsync(`127.0.0.1:${port}`, credentials, (error, number) => (error ? reject(error) : resolve(number))),
    );
    self = new OrcaServer(server, bound);
    t.teardown(() => server.forceShutdown());
    return self;
  }

  take(call: ReportStream): void {
    this.#calls.push(call);
    this.#wake();
  }

  /** The next stream that a client asks for. */
  async stream(): Promise<ReportStream> {
    while (this.#calls.length === 0)
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    return this.#calls.shift() as ReportStream;
  }

  stop(): void {
    this.#server.forceShutdown();
  }
}
