// SPDX-License-Identifier: Apache-2.0
// Checks as they come from the API, and one try of them against a target.
import type { Check__Output } from '../../../../../src/generated/fulcrum/v1/Check.js';
import type { HttpCheck__Output } from '../../../../../src/generated/fulcrum/v1/HttpCheck.js';
import type { TlsOptions__Output } from '../../../../../src/generated/fulcrum/v1/TlsOptions.js';
import type { UdpCheck__Output } from '../../../../../src/generated/fulcrum/v1/UdpCheck.js';
import { FulcrumError } from '../../../../../src/grpc/errors.js';
import { prepareCheck } from '../../../../../src/manager/health/prepare.js';
import type { Result, Target } from '../../../../../src/manager/health/prober.js';

/** Where the tests' checks stand in the configuration. */
export const path = 'health.checks[0]';

const unset: Check__Output = {
  name: '',
  intervalMs: 0,
  timeoutMs: 0,
  rise: 0,
  fall: 0,
  retryIntervalMs: 0,
  address: '',
  port: 0,
  source: '',
  via: 'CHECK_VIA_UNSPECIFIED',
};

const noTls: TlsOptions__Output = { serverName: '', verify: false, caFile: '', certificateFile: '', keyFile: '' };

const plainHttp: HttpCheck__Output = {
  method: '',
  path: '',
  host: '',
  headers: [],
  expectedStatus: [],
  bodyContains: '',
  bodyRegex: '',
  bodyRegexNegated: false,
  bodyMd5: '',
  http_1_0: false,
  tls: null,
};

const plainUdp: UdpCheck__Output = {
  payload: '',
  requireReply: false,
  reply: '',
  leastReplyBytes: 0,
  mostReplyBytes: 0,
};

export const tcpCheck = (fields: Partial<Check__Output> = {}): Check__Output => ({
  ...unset,
  kind: 'tcp',
  tcp: {},
  ...fields,
});

export const tlsOptions = (fields: Partial<TlsOptions__Output> = {}): TlsOptions__Output => ({ ...noTls, ...fields });

export const httpCheck = (fields: Partial<HttpCheck__Output> = {}): Check__Output => ({
  ...unset,
  kind: 'http',
  http: { ...plainHttp, ...fields },
});

export const udpCheck = (fields: Partial<UdpCheck__Output> = {}): Check__Output => ({
  ...unset,
  kind: 'udp',
  udp: { ...plainUdp, ...fields },
});

export const dnsCheck = (name = '', type = ''): Check__Output => ({ ...unset, kind: 'dns', dns: { name, type } });

export const smtpCheck = (heloName = ''): Check__Output => ({ ...unset, kind: 'smtp', smtp: { heloName } });

export const pingCheck = (): Check__Output => ({ ...unset, kind: 'ping', ping: {} });

export const grpcCheck = (service = '', tls: TlsOptions__Output | null = null): Check__Output => ({
  ...unset,
  kind: 'grpc',
  grpc: { service, tls },
});

export const commandCheck = (command: string[], dynamicWeight = false): Check__Output => ({
  ...unset,
  kind: 'command',
  command: { command, dynamicWeight },
});

export const noKind = unset;

/** Prepares the check and makes it once. */
export function tryOnce(
  check: Check__Output,
  target: Target,
  timeoutMs = 5000,
  signal = new AbortController().signal,
): Promise<Result> {
  return prepareCheck(check, path).prober.probe(target, timeoutMs, signal);
}

/** "passed", or why it failed. */
export async function outcome(check: Check__Output, target: Target, timeoutMs = 5000): Promise<string> {
  const result = await tryOnce(check, target, timeoutMs);
  return result.ok ? 'passed' : result.reason;
}

/** "field: message" of what it is refused for. */
export function refusal(check: Check__Output): string {
  try {
    prepareCheck(check, path);
  } catch (error) {
    if (error instanceof FulcrumError) return error.describe();
    throw error;
  }
  return 'not refused';
}

/** Name of what a promise rejects with. */
export function rejection(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'not rejected',
    (error: Error) => error.name,
  );
}
