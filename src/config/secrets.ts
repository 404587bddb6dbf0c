// SPDX-License-Identifier: Apache-2.0
// What a configuration holds that may be a secret, and nothing that is told of an edit may show: values of HTTP headers,
// queries, arguments of programs, and what is sent to servers.
import type { Operation__Output } from '../generated/fulcrum/v1/Operation.js';
import type { FulcrumError } from '../grpc/errors.js';

export const hidden = '***';

/** By the name of their field in a message; whatever message it is in. */
const redactions: Readonly<Record<string, (value: unknown) => unknown>> = {
  headers: (value) => list(value).map((header) => header.replace(/^([^:]*):.*$/s, `$1: ${hidden}`)),
  command: programOnly,
  notifyUp: programOnly,
  notifyDown: programOnly,
  quorumUp: programOnly,
  quorumDown: programOnly,
  send: text,
  payload: text,
  reply: text,
  path: (value) => (typeof value === 'string' ? value.replace(/\?.*$/s, `?${hidden}`) : value),
};

function programOnly(value: unknown): unknown {
  const [program, ...rest] = list(value);
  return program === undefined ? [] : rest.length === 0 ? [program] : [program, hidden];
}

function text(value: unknown): unknown {
  return value === '' ? '' : hidden;
}

function list(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(String) : [];
}

/** A copy that may be told to anybody. */
export function withoutSecrets(operation: Operation__Output): Operation__Output {
  return redacted(operation) as Operation__Output;
}

function redacted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redacted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, of]) => [name, redactions[name]?.(of) ?? redacted(of)] as const),
  );
}

const secretField =
  /(?:^|\.)(?:headers|command|notify_(?:up|down)|quorum_(?:up|down)|send|payload|reply|path)(?:\[\d+\])*$/;

/** What is wrong, for others than who made the mistake: the value itself is not quoted where it may be a secret. */
export function describeWithoutSecrets(error: FulcrumError): string {
  return secretField.test(error.field) ? `${error.field}: is not what is needed` : error.describe();
}
