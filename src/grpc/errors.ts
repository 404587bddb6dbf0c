// SPDX-License-Identifier: Apache-2.0
// The one error type of the project and its one mapping to a gRPC status and back. LVS's reason and the field's path
// travel in trailing metadata, so that a client need not read them out of the message.
import { Metadata, type ServiceError, type StatusObject, status } from '@grpc/grpc-js';
import type { Reason__Output } from '../generated/fulcrum/v1/Reason.js';

/** Why an edit was refused, in LVS's terms; see types.proto. */
export type Reason = Reason__Output;

/** Name of a gRPC status, for example 'NOT_FOUND'. */
export type StatusName = Exclude<keyof typeof status, 'OK'>;

export const reasonMetadataKey = 'fulcrum-reason';
export const fieldMetadataKey = 'fulcrum-field';

const statusOfReason: Readonly<Record<Reason, StatusName>> = {
  REASON_UNSPECIFIED: 'UNKNOWN',
  REASON_SERVICE_EXISTS: 'ALREADY_EXISTS',
  REASON_SERVICE_NOT_FOUND: 'NOT_FOUND',
  REASON_SERVER_EXISTS: 'ALREADY_EXISTS',
  REASON_SERVER_NOT_FOUND: 'NOT_FOUND',
  REASON_SCHEDULER_NOT_FOUND: 'INVALID_ARGUMENT',
  REASON_INVALID: 'INVALID_ARGUMENT',
  REASON_OUT_OF_RANGE: 'OUT_OF_RANGE',
  REASON_FAMILY_MISMATCH: 'INVALID_ARGUMENT',
  REASON_NO_ROOM: 'RESOURCE_EXHAUSTED',
  REASON_NOT_SUPPORTED: 'UNIMPLEMENTED',
  REASON_VIP_NOT_FOUND: 'NOT_FOUND',
  REASON_STALE: 'ABORTED',
  REASON_PREFIX_LIST_NOT_FOUND: 'NOT_FOUND',
  REASON_PREFIX_LIST_IN_USE: 'FAILED_PRECONDITION',
};

export interface FulcrumErrorFields {
  /** Left out: follows from the reason. */
  readonly code?: StatusName | undefined;
  readonly reason?: Reason | undefined;
  /** Path of the field that is wrong, "service.key.port". */
  readonly field?: string | undefined;
  /** One sentence for the operator, without the field's path. */
  readonly message: string;
  readonly cause?: unknown;
}

/** What Fulcrum refuses or fails with: a gRPC status name, LVS's reason, the field's path and one sentence. */
export class FulcrumError extends Error {
  readonly code: StatusName;
  readonly reason: Reason;
  readonly field: string;

  constructor(fields: FulcrumErrorFields) {
    super(fields.message, fields.cause === undefined ? undefined : { cause: fields.cause });
    this.name = 'FulcrumError';
    this.reason = fields.reason ?? 'REASON_UNSPECIFIED';
    this.code = fields.code ?? statusOfReason[this.reason];
    this.field = fields.field ?? '';
  }

  /** "field: message", or only the message if no field is to blame. */
  describe(): string {
    return this.field === '' ? this.message : `${this.field}: ${this.message}`;
  }

  /** The same error, seen from an object that has this one's field at a path. */
  within(path: string): FulcrumError {
    const field = joinPath(path, this.field);
    return new FulcrumError({ code: this.code, reason: this.reason, field, message: this.message, cause: this.cause });
  }
}

/** "a" and "b" → "a.b"; "a" and "[1].b" → "a[1].b". */
export function joinPath(path: string, field: string): string {
  if (path === '' || field === '') return path + field;
  return field.startsWith('[') ? path + field : `${path}.${field}`;
}

/** A value as it may stand in a message: quoted, and cut if it is long. */
export function quote(value: unknown): string {
  const text = typeof value === 'string' ? value : String(value);
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

/** The gRPC status of an error. Anything but a FulcrumError is a fault of ours: INTERNAL. */
export function toStatus(error: unknown): Partial<StatusObject> {
  const metadata = new Metadata();
  if (!(error instanceof FulcrumError)) {
    const message = error instanceof Error ? error.message : String(error);
    return { code: status.INTERNAL, details: `internal error: ${message}`, metadata };
  }
  if (error.reason !== 'REASON_UNSPECIFIED') metadata.set(reasonMetadataKey, error.reason);
  if (error.field !== '') metadata.set(fieldMetadataKey, error.field);
  return { code: status[error.code], details: error.describe(), metadata };
}

function isReason(text: string): text is Reason {
  return Object.hasOwn(statusOfReason, text);
}

function metadataText(metadata: Metadata | undefined, key: string): string {
  const value = metadata?.get(key)[0];
  return typeof value === 'string' ? value : '';
}

/** grpc-js wraps the reason why it could not connect into more words than it has. */
function tidy(details: string): string {
  return /Last error: (?:Error: )?(.+?)\. Resolution note:/.exec(details)?.[1] ?? details;
}

/** The error that the other side had, from what a grpc-js call failed with. */
export function fromServiceError(error: ServiceError): FulcrumError {
  const reason = metadataText(error.metadata, reasonMetadataKey);
  const field = metadataText(error.metadata, fieldMetadataKey);
  const prefix = `${field}: `;
  const details = tidy(error.details ?? error.message);
  return new FulcrumError({
    code: statusName(error.code),
    reason: isReason(reason) ? reason : 'REASON_UNSPECIFIED',
    field,
    message: field !== '' && details.startsWith(prefix) ? details.slice(prefix.length) : details,
    cause: error,
  });
}

/** Name of a numeric gRPC status; an unknown number is UNKNOWN. */
export function statusName(code: number | undefined): StatusName {
  const name = code === undefined ? undefined : status[code];
  return name === undefined || name === 'OK' ? 'UNKNOWN' : (name as StatusName);
}

/** True for the name of a gRPC status other than OK. */
export function isStatusName(text: unknown): text is StatusName {
  return typeof text === 'string' && text !== 'OK' && Object.hasOwn(status, text) && Number.isNaN(Number(text));
}
