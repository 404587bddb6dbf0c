// SPDX-License-Identifier: Apache-2.0
// The audit: who has changed what and when, and who was refused what. Every edit, trace and deletion of connections has a
// line, as have calls that were refused; refusals that go on have one line in ten seconds. What changes nothing has none.
import { join } from 'node:path';
import { describeWithoutSecrets } from '../../config/secrets.js';
import type { Role } from '../../grpc/caller.js';
import { FulcrumError, type StatusName } from '../../grpc/errors.js';
import type { CallContext } from '../../grpc/handlers.js';
import type { Logger } from '../../grpc/log.js';
import type { RefusedCall } from '../../grpc/tcp/call_gate.js';
import type { EditOutcome } from '../director.js';
import { revisionText } from '../messages.js';
import { AuditFile } from './audit_file.js';
import { changesText } from './changes.js';

export interface AuditEntry {
  /** RFC 3339, UTC. */
  readonly time: string;
  /** "cn:NAME", "unix", or a part of the director. */
  readonly identity: string;
  readonly role?: Role | undefined;
  readonly peer?: string | undefined;
  /** "Apply". */
  readonly method: string;
  readonly code: 'OK' | StatusName;
  readonly validateOnly?: boolean;
  readonly revisionBefore?: string;
  readonly revision?: string;
  /** Its first operations in words, and how many there were. */
  readonly changes?: readonly string[];
  readonly count?: number;
  /** Why it was refused. */
  readonly error?: string;
  /** So many more of this kind since the line before. */
  readonly repeated?: number;
}

export interface AuditOptions {
  readonly directory: string;
  /** Instead of audit.jsonl in the directory. */
  readonly file?: string | undefined;
  readonly largestBytes?: number | undefined;
  readonly files?: number | undefined;
  readonly report: (kind: string, message: string) => void;
  readonly log: Logger;
}

const usualBytes = 8 * 1024 * 1024;
const usualFiles = 8;
/** Refusals of one kind have a line in so long. */
const foldMs = 10_000;
/** Beyond so many kinds at a time, what was wrong makes no kind of its own. */
const mostFolded = 1_000;

interface Folded {
  readonly entry: Omit<AuditEntry, 'time'>;
  repeated: number;
  readonly timer: NodeJS.Timeout;
}

export class Audit {
  readonly #file: AuditFile;
  readonly #report: AuditOptions['report'];
  readonly #log: Logger;
  readonly #folded = new Map<string, Folded>();

  constructor({ directory, file, largestBytes, files, report, log }: AuditOptions) {
    this.#report = report;
    this.#log = log;
    const path = file ?? join(directory, 'audit.jsonl');
    this.#file = new AuditFile({
      path,
      largestBytes: largestBytes ?? usualBytes,
      files: files ?? usualFiles,
      failed: (error) => report('audit_failed', `${path} cannot be written: ${(error as Error).message}`),
    });
  }

  /** An edit that was made, or refused. */
  edited({ edit, before, after, applied, error }: EditOutcome): void {
    const { identity, role, peer, validateOnly } = edit;
    const caller = { identity, role, peer, method: lastPart(edit.method), ...(validateOnly && { validateOnly }) };
    if (error !== undefined) {
      this.#refused({ ...caller, ...failureOf(error) });
      return;
    }
    const operations = applied?.carriedOut ?? [];
    if (operations.length === 0) return;
    const revision = revisionText(after.lineage, after.model.revision);
    const changes = changesText(before.model, operations);
    this.#add({
      ...caller,
      code: 'OK',
      revisionBefore: revisionText(before.lineage, before.model.revision),
      ...(!validateOnly && { revision }),
      changes,
      count: operations.length,
    });
    if (!validateOnly) this.#tellApplied(edit.identity, caller.method, changes, operations.length, revision);
  }

  #tellApplied(identity: string, method: string, changes: readonly string[], count: number, revision: string): void {
    const told = changes.slice(0, 3).join('; ');
    const more = count > 3 ? `; and ${count - 3} more` : '';
    this.#report('applied', `by ${identity}, ${method}: ${told}${more}: revision ${revision}`);
  }

  /** A call that is no edit, but does something. */
  called({ identity, role, peer, method }: CallContext, what: string, error?: unknown): void {
    const caller = { identity, role, peer, method: lastPart(method) };
    if (error !== undefined) this.#refused({ ...caller, ...failureOf(error) });
    else this.#add({ ...caller, code: 'OK', changes: [what] });
  }

  /** A call that was not let in. */
  refused({ why, identity, role, peer, method, code, message }: RefusedCall): void {
    const entry = { identity, role, peer, method: lastPart(method), code, error: message };
    if (this.#refused(entry, why)) this.#log.info({ audit: entry }, 'call refused');
  }

  async close(): Promise<void> {
    for (const [key, { timer }] of this.#folded) {
      clearTimeout(timer);
      this.#unfold(key);
    }
    await this.#file.close();
  }

  /** False if it was like one before. */
  #refused(entry: Omit<AuditEntry, 'time'>, kind = entry.error): boolean {
    const key = `${entry.identity} ${entry.method} ${this.#folded.size < mostFolded ? kind : entry.code}`;
    const folded = this.#folded.get(key);
    if (folded !== undefined) {
      folded.repeated++;
      return false;
    }
    this.#add(entry);
    const timer = setTimeout(() => this.#unfold(key), foldMs).unref();
    this.#folded.set(key, { entry, repeated: 0, timer });
    return true;
  }

  #unfold(key: string): void {
    const folded = this.#folded.get(key);
    this.#folded.delete(key);
    if (folded !== undefined && folded.repeated > 0) this.#add({ ...folded.entry, repeated: folded.repeated });
  }

  #add(entry: Omit<AuditEntry, 'time'>): void {
    this.#file.add(JSON.stringify({ time: new Date().toISOString(), ...entry }));
  }
}

function lastPart(method: string): string {
  return method.split('/').at(-1) ?? method;
}

function failureOf(error: unknown): { readonly code: StatusName; readonly error: string } {
  if (error instanceof FulcrumError) return { code: error.code, error: describeWithoutSecrets(error) };
  return { code: 'INTERNAL', error: 'a fault of the manager: see its log' };
}
