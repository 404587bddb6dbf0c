// SPDX-License-Identifier: Apache-2.0
// Reads a Check of the API into what the monitor goes by: who asks, how often, and how many answers it takes.
import type { Check__Output } from '../../generated/fulcrum/v1/Check.js';
import { joinPath, quote } from '../../grpc/errors.js';
import { familyOf, parseAddress } from '../address.js';
import { prepareCommand } from './checks/command.js';
import { prepareDns } from './checks/dns.js';
import { prepareGrpc } from './checks/grpc.js';
import { prepareHttp } from './checks/http.js';
import { preparePing } from './checks/ping.js';
import { prepareSmtp } from './checks/smtp.js';
import { prepareTcp } from './checks/tcp.js';
import { prepareUdp } from './checks/udp.js';
import { invalid, readLine, readRange } from './fields.js';
import type { Prober } from './prober.js';
import { goesToVip, viaVip } from './via_vip.js';

const leastIntervalMs = 100;
const longestIntervalMs = 86_400_000;
const usualIntervalMs = 2000;
const leastTimeoutMs = 10;
const longestTimeoutMs = 3_600_000;
const usualTimeoutMs = 5000;
const mostInARow = 1_000_000;
const maxPort = 65_535;

/** A check as the monitor makes it. */
export interface ScheduledCheck {
  /** Checks with the same key are the same: they keep their state when a target is set again. */
  readonly key: string;
  readonly name: string;
  readonly prober: Prober;
  /** It goes the way of clients. */
  readonly isViaVip?: boolean | undefined;
  readonly intervalMs: number;
  readonly timeoutMs: number;
  readonly rise: number;
  readonly fall: number;
  readonly retryIntervalMs: number;
  readonly warmupMs: number;
  /** Instead of the target's own. */
  readonly address?: string | undefined;
  readonly port?: number | undefined;
  readonly source?: string | undefined;
}

/** Throws a FulcrumError that names the field below `path` ("health.checks[0]"). Reads the files that are named. */
export function prepareCheck(check: Check__Output, path: string): ScheduledCheck {
  const { prober, kind } = prepareProber(check, path);
  const within = (field: string): string => joinPath(path, field);
  const interval = (value: number, unset: number, field: string): number =>
    readRange(value, unset, leastIntervalMs, longestIntervalMs, within(field));
  const intervalMs = interval(check.intervalMs, usualIntervalMs, 'interval_ms');
  return {
    key: JSON.stringify(check),
    name: readLine(check.name, within('name')) || kind,
    prober: goesToVip(check) ? viaVip(prober, check.port || undefined) : prober,
    isViaVip: goesToVip(check),
    intervalMs,
    timeoutMs: readRange(check.timeoutMs, usualTimeoutMs, leastTimeoutMs, longestTimeoutMs, within('timeout_ms')),
    rise: readRange(check.rise, 1, 1, mostInARow, within('rise')),
    fall: readRange(check.fall, 1, 1, mostInARow, within('fall')),
    retryIntervalMs: interval(check.retryIntervalMs, intervalMs, 'retry_interval_ms'),
    warmupMs: readRange(check.warmupMs ?? intervalMs, 0, 0, longestIntervalMs, within('warmup_ms')),
    ...readPlace(check, path),
  };
}

/** Checks in the order in which they are given. */
export function prepareChecks(checks: readonly Check__Output[], path: string): readonly ScheduledCheck[] {
  return checks.map((check, index) => prepareCheck(check, joinPath(path, `checks[${index}]`)));
}

/** Where to and from, if it is not the target itself that says so. */
export function readPlace(
  check: Pick<Check__Output, 'address' | 'port' | 'source'>,
  path: string,
): Pick<ScheduledCheck, 'address' | 'port' | 'source'> {
  const address = readAddress(check.address, joinPath(path, 'address'));
  const source = readAddress(check.source, joinPath(path, 'source'));
  const port = readRange(check.port, 0, 1, maxPort, joinPath(path, 'port'));
  if (address !== undefined && source !== undefined && familyOf(address) !== familyOf(source))
    throw invalid(joinPath(path, 'source'), `${source} is not of the family of ${address}`);
  return {
    ...(address === undefined ? {} : { address }),
    ...(source === undefined ? {} : { source }),
    ...(port === 0 ? {} : { port }),
  };
}

function readAddress(text: string, field: string): string | undefined {
  if (text === '') return undefined;
  const address = parseAddress(text);
  if (address === undefined) throw invalid(field, `${quote(text)} is not an IPv4 or IPv6 address`);
  return address.text;
}

function prepareProber(check: Check__Output, path: string): { readonly prober: Prober; readonly kind: string } {
  const { kind } = check;
  const within = joinPath(path, kind ?? '');
  if (check.tcp) return { kind: 'tcp', prober: prepareTcp() };
  if (check.http) return { kind: check.http.tls === null ? 'http' : 'https', prober: prepareHttp(check.http, within) };
  if (check.smtp) return { kind: 'smtp', prober: prepareSmtp(check.smtp, within) };
  if (check.dns) return { kind: 'dns', prober: prepareDns(check.dns, within) };
  if (check.udp) return { kind: 'udp', prober: prepareUdp(check.udp, within) };
  if (check.ping) return { kind: 'ping', prober: preparePing() };
  if (check.grpc) return { kind: 'grpc', prober: prepareGrpc(check.grpc, within) };
  if (check.command) return { kind: 'command', prober: prepareCommand(check.command, within) };
  throw invalid(path, 'must have a kind: tcp, http, smtp, dns, udp, ping, grpc or command');
}
