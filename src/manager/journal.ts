// SPDX-License-Identifier: Apache-2.0
// The edits since the state file was written, a record a line: a checksum, then generation and operations as JSON. What
// was being written when the machine stopped is a last line that does not match; nobody was told that it was made.
import { createHash } from 'node:crypto';
import type { Operation, Operation__Output } from '../generated/fulcrum/v1/Operation.js';
import { storedCapabilities } from './capabilities.js';
import { applyConditions, applyOperations, type ConditionChange } from './model.js';
import type { State } from './state_file.js';

/** Edits that were made together. */
export interface JournalRecord {
  /** That they led to. */
  readonly generation: number;
  /** In normal form, as they were carried out. */
  readonly operations: readonly Operation[];
  /** What checks have found, instead. */
  readonly conditions?: readonly ConditionChange[];
}

const checksumLength = 32;

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, checksumLength);
}

/** A line, of the store with this lineage. */
export function recordText({ generation, operations, conditions = [] }: JournalRecord, lineage: string): string {
  const found = conditions.length > 0 ? { conditions } : {};
  const text = JSON.stringify({ lineage, generation, operations, ...found });
  return `${checksum(text)} ${text}\n`;
}

export interface Replayed {
  readonly state: State;
  /** Of whole records, from the beginning. */
  readonly bytes: number;
}

/**
 * Carries out what a journal has beyond a state. Throws an Error that says what is wrong with it: a record that is damaged
 * though others follow, or one that does not fit.
 */
export function replay(begin: State, journal: Buffer): Replayed {
  let state = begin;
  let at = 0;
  for (let number = 1; at < journal.length; number++) {
    const newline = journal.indexOf('\n', at);
    const end = newline < 0 ? journal.length : newline;
    const record = newline < 0 ? undefined : readRecord(journal.subarray(at, end).toString());
    if (record === undefined) {
      if (hasRecord(journal.subarray(end + 1))) throw new Error(`is damaged in line ${number}`);
      break;
    }
    state = advance(state, record, number);
    at = end + 1;
  }
  return { state, bytes: at };
}

function hasRecord(rest: Buffer): boolean {
  return rest
    .toString()
    .split('\n')
    .some((line) => readRecord(line) !== undefined);
}

interface StoredRecord extends JournalRecord {
  readonly lineage: string;
}

function readRecord(line: string): StoredRecord | undefined {
  const text = line.slice(checksumLength + 1);
  return line.slice(0, checksumLength + 1) === `${checksum(text)} ` ? JSON.parse(text) : undefined;
}

/** Records that the state file has already are passed over. */
function advance(state: State, record: StoredRecord, line: number): State {
  const { lineage, generation, operations, conditions = [] } = record;
  if (lineage !== state.lineage) throw new Error(`is of another state file than the one beside it (line ${line})`);
  if (generation <= state.generation) return state;
  if (generation !== state.generation + 1)
    throw new Error(`goes on with generation ${generation} in line ${line}, but ${state.generation} is what there is`);
  const edited =
    operations.length > 0
      ? applyOperations(state.model, operations.map(withAction), 'APPLY_MODE_ATOMIC', storedCapabilities).model
      : state.model;
  return { ...state, generation, model: conditions.length > 0 ? applyConditions(edited, conditions).model : edited };
}

/** An operation in normal form names its action by its only field. */
export function withAction(operation: Operation): Operation__Output {
  return { ...operation, action: Object.keys(operation)[0] } as Operation__Output;
}
