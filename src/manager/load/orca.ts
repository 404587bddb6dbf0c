// SPDX-License-Identifier: Apache-2.0
// OrcaSource: the load reports of ORCA's out-of-band service, one stream a server for as long as it lasts.
import type { ClientHttp2Session, IncomingHttpHeaders } from 'node:http2';
import type { Socket } from 'node:net';
import type { OrcaSource__Output } from '../../generated/fulcrum/v1/OrcaSource.js';
import type { OrcaLoadReport__Output } from '../../generated/xds/data/orca/v3/OrcaLoadReport.js';
import type { OpenRcaServiceDefinition } from '../../generated/xds/service/orca/v3/OpenRcaService.js';
import { joinPath, quote } from '../../grpc/errors.js';
import { loadProto } from '../../grpc/loader.js';
import { type Course, durationText } from '../health/attempt.js';
import { type Connection, openConnection, readTls, type Tls } from '../health/connection.js';
import { ownFault, reasonOf } from '../health/faults.js';
import { invalid } from '../health/fields.js';
import { beginCall, framed, grpcStatusText, http2Complaint, http2Reason, prefixBytes } from '../health/grpc_call.js';
import type { Target } from '../health/prober.js';
import type { Listen, Listener } from './source.js';

const longestReport = 1024 * 1024;
/** Servers may report less often than they are asked to, as a rule every 30 s. */
const leastSilenceMs = 90_000;
const intervalsOfSilence = 3;

type Method = OpenRcaServiceDefinition['StreamCoreMetrics'];
/** Name and value in a report; a text says why it is not there. */
type Metric = (report: OrcaLoadReport__Output) => readonly [name: string, value: number] | string;

let loaded: Method | undefined;

/** Only who uses it waits for it to be parsed. */
export function streamCoreMetrics(): Method {
  const file = loadProto('xds/service/orca/v3/orca.proto');
  loaded ??= (file['xds.service.orca.v3.OpenRcaService'] as unknown as OpenRcaServiceDefinition).StreamCoreMetrics;
  return loaded;
}

interface Settings {
  readonly metric: Metric;
  readonly tls: Tls | undefined;
  readonly question: Buffer;
  readonly connectMs: number;
  readonly silenceMs: number;
}

export function prepareOrca(source: OrcaSource__Output, intervalMs: number, connectMs: number, path: string): Listen {
  const reportInterval = { seconds: Math.floor(intervalMs / 1000), nanos: (intervalMs % 1000) * 1_000_000 };
  const settings: Settings = {
    metric: readMetric(source.metric, joinPath(path, 'metric')),
    tls: source.tls === null ? undefined : readTls(source.tls, joinPath(path, 'tls')),
    question: framed(streamCoreMetrics().requestSerialize({ reportInterval })),
    connectMs,
    silenceMs: Math.max(leastSilenceMs, intervalsOfSilence * intervalMs),
  };
  return (target, listener) => listen(target, listener, settings);
}

const plainMetrics: Readonly<Record<string, (report: OrcaLoadReport__Output) => number>> = {
  application_utilization: (report) => report.applicationUtilization,
  cpu_utilization: (report) => report.cpuUtilization,
  mem_utilization: (report) => report.memUtilization,
  rps_fractional: (report) => report.rpsFractional,
  eps: (report) => report.eps,
};

/** The names that gRPC's own policies use (gRFC A114). */
function readMetric(name: string, field: string): Metric {
  if (name === '') return utilization;
  const plain = Object.hasOwn(plainMetrics, name) ? plainMetrics[name] : undefined;
  if (plain !== undefined) return (report) => [name, plain(report)];
  const [, map, key = ''] = /^(utilization|named_metrics)\.(.+)$/.exec(name) ?? [];
  if (map === 'utilization') return (report) => entryOf(report.utilization, key, name);
  if (map === 'named_metrics') return (report) => entryOf(report.namedMetrics, key, name);
  const known = [...Object.keys(plainMetrics), 'utilization.NAME', 'named_metrics.NAME'];
  throw invalid(field, `${quote(name)} is not a metric of ORCA: ${known.join(', ')}`);
}

/** What gRPC's weighted round robin goes by (gRFC A58). */
function utilization({ applicationUtilization, cpuUtilization }: OrcaLoadReport__Output): readonly [string, number] {
  if (applicationUtilization > 0) return ['application_utilization', applicationUtilization];
  return ['cpu_utilization', cpuUtilization];
}

function entryOf(map: OrcaLoadReport__Output['utilization'], key: string, name: string) {
  return Object.hasOwn(map, key) ? ([name, map[key] as number] as const) : `report has no ${name}`;
}

/** One stream, from the connection to its end. */
function listen(target: Target, listener: Listener, settings: Settings): () => void {
  let session: ClientHttp2Session | undefined;
  let connection: Connection | undefined;
  let isOver = false;
  let timer: NodeJS.Timeout | undefined;
  const close = (): void => {
    isOver = true;
    clearTimeout(timer);
    connection?.destroy();
    session?.destroy();
  };
  const end: Listener['ended'] = (why) => {
    if (isOver) return;
    close();
    listener.ended(why);
  };
  const course: Course = {
    late: 'no connection',
    pass: () => {},
    fail: end,
    settle: (complaint) => end(complaint ?? 'the stream ended'),
    error: (error, reason) => end(ownFault(error) ?? reason ?? reasonOf(error)),
  };
  const waitAtMost = (milliseconds: number, what: () => string): void => {
    if (isOver) return;
    clearTimeout(timer);
    timer = setTimeout(() => end(`${what()} in ${durationText(milliseconds)}`), milliseconds);
  };
  const ready = (socket: Socket): void => {
    const complaint = http2Complaint(socket, settings.tls);
    if (complaint !== undefined) {
      end(complaint);
      return;
    }
    waitAtMost(settings.silenceMs, () => 'no report');
    const heard = (): void => waitAtMost(settings.silenceMs, () => 'no report');
    session = call(socket, target, settings, { ...listener, ended: end }, course, heard);
  };
  waitAtMost(settings.connectMs, () => course.late ?? '');
  try {
    connection = openConnection(target, course, ready, settings.tls, ['h2']);
    if (isOver) connection.destroy();
  } catch (error) {
    course.error(error);
  }
  return close;
}

function call(
  socket: Socket,
  target: Target,
  { tls, question, metric }: Settings,
  listener: Listener,
  course: Course,
  heard: () => void,
): ClientHttp2Session {
  const { session, stream } = beginCall(socket, target, tls, streamCoreMetrics().path, question);
  let headers: IncomingHttpHeaders = {};
  const take = (received: IncomingHttpHeaders): void => {
    headers = { ...headers, ...received };
  };
  const reports = reportReader((report) => {
    heard();
    hearReport(report, metric, listener);
  });
  session.on('error', (error) => course.error(error, http2Reason(error)));
  session.on('close', () => listener.ended('connection closed'));
  stream.on('response', take);
  stream.on('trailers', take);
  stream.on('data', (data: Buffer) => {
    if (!reports(data)) listener.ended('it does not send load reports');
  });
  stream.on('error', (error) => course.error(error, http2Reason(error)));
  stream.on('end', () => listener.ended(endReason(headers)));
  return session;
}

function hearReport(report: OrcaLoadReport__Output, metric: Metric, { hear, complain }: Listener): void {
  const found = metric(report);
  if (typeof found === 'string') {
    complain(found);
    return;
  }
  const [name, number] = found;
  if (Number.isFinite(number)) hear({ kind: 'number', number, text: `${name} ${number}` });
  else complain(`${name} is ${number}`);
}

/** Takes bytes as they come, and gives out whole reports; false if they are none. */
function reportReader(give: (report: OrcaLoadReport__Output) => void): (data: Buffer) => boolean {
  let rest: Buffer = Buffer.alloc(0);
  return (data) => {
    rest = Buffer.concat([rest, data]);
    while (rest.length >= prefixBytes) {
      const length = rest.readUInt32BE(1);
      if (rest[0] !== 0 || length > longestReport) return false;
      if (rest.length < prefixBytes + length) break;
      const report = deserialized(rest.subarray(prefixBytes, prefixBytes + length));
      if (report === undefined) return false;
      rest = rest.subarray(prefixBytes + length);
      give(report);
    }
    return true;
  };
}

function deserialized(bytes: Buffer): OrcaLoadReport__Output | undefined {
  try {
    return streamCoreMetrics().responseDeserialize(bytes);
  } catch {
    return undefined;
  }
}

function endReason(headers: IncomingHttpHeaders): string {
  const httpStatus = headers[':status'];
  if (httpStatus === undefined) return 'connection closed without an answer';
  if (Number(httpStatus) !== 200) return `HTTP status ${httpStatus}: this is not gRPC`;
  const code = headers['grpc-status'];
  if (code === undefined) return 'answer has no grpc-status: this is not gRPC';
  if (Number(code) === 12) return 'it has no ORCA service (UNIMPLEMENTED)';
  return code === '0' ? 'it ended the stream' : grpcStatusText(Number(code), headers['grpc-message']);
}
