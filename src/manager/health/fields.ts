// SPDX-License-Identifier: Apache-2.0
// Reads the fields of a check, or throws a FulcrumError that names the one that is wrong.
import { readFileSync } from 'node:fs';
import { getSystemErrorMap } from 'node:util';
import { FulcrumError, quote } from '../../grpc/errors.js';

const controlCharacters = /[\x00-\x1f\x7f]/;
const hexadecimal = /^[0-9a-fA-F]*$/;

export function invalid(field: string, message: string, cause?: unknown): FulcrumError {
  return new FulcrumError({ reason: 'REASON_INVALID', field, message, cause });
}

/** A number that stands for another one if it is unset. */
export function readRange(value: number, unset: number, least: number, most: number, field: string): number {
  if (value === 0) return unset;
  if (value >= least && value <= most) return value;
  const message = `${value} is not in ${least} … ${most}`;
  throw new FulcrumError({ reason: 'REASON_OUT_OF_RANGE', field, message });
}

/** Text that goes into one line of a protocol. */
export function readLine(text: string, field: string): string {
  if (controlCharacters.test(text)) throw invalid(field, `${quote(text)} has a control character`);
  return text;
}

/** "48 65 6c" and "48656c" are the same. */
export function readHexadecimal(text: string, field: string): Buffer {
  const digits = text.replaceAll(/\s/g, '');
  if (!hexadecimal.test(digits)) throw invalid(field, `${quote(text)} has other characters than hexadecimal digits`);
  if (digits.length % 2 === 1) throw invalid(field, `${quote(text)} ends in the middle of a byte`);
  return Buffer.from(digits, 'hex');
}

export function readFile(path: string, field: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw invalid(field, `${quote(path)} cannot be read: ${fileFault(error)}`, error);
  }
}

/** "no such file or directory": what the system says of a file, without the code and the path. */
export function fileFault(error: unknown): string {
  const { errno } = error as NodeJS.ErrnoException;
  const known = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  return known ?? (error instanceof Error ? error.message : String(error));
}
