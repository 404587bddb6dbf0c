// SPDX-License-Identifier: Apache-2.0
// Update masks: which fields of a spec an update replaces.
import type { FieldMask__Output } from '../generated/google/protobuf/FieldMask.js';
import { quote } from '../grpc/errors.js';
import { invalid } from './validate.js';

function camelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/**
 * The current spec with the masked fields of the given one. Without a mask, or with "spec" in it, the given one as it is:
 * what it leaves out gets its default, as with ipvsadm -E and -e.
 */
export function mergeSpec<Current extends object, Given extends object>(
  current: Current,
  given: Given | null | undefined,
  mask: FieldMask__Output | null | undefined,
): Given | Current | null | undefined {
  const paths = mask?.paths ?? [];
  if (paths.length === 0) return given;
  if (given === null || given === undefined) throw invalid('spec', 'must be given with an update_mask');
  const merged = { ...current } as Record<string, unknown>;
  let whole = false;
  paths.forEach((path, index) => {
    if (path === 'spec' || path === '*') whole = true;
    else copyField(path, index, current, given, merged);
  });
  return whole ? given : (merged as Current);
}

function copyField(path: string, index: number, current: object, given: object, merged: Record<string, unknown>): void {
  const name = camelCase(path.replace(/^spec\./, ''));
  if (!path.startsWith('spec.') || !Object.hasOwn(current, name)) {
    const known = Object.keys(current).map(
      (key) => `spec.${key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`,
    );
    throw invalid(
      `update_mask.paths[${index}]`,
      `${quote(path)} cannot be updated; there are: spec ${known.join(' ')}`,
    );
  }
  merged[name] = (given as Record<string, unknown>)[name];
}
