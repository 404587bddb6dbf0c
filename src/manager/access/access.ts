// SPDX-License-Identifier: Apache-2.0
// What decides who gets in over TCP and what they may do: certificates and the roles file. They are read again when they
// change and on SIGHUP; what is not good is refused, said, and what there was stays in force.
import { readFileSync } from 'node:fs';
import { ConfigurationError } from '../../config/document.js';
import type { Role } from '../../grpc/caller.js';
import { FulcrumError } from '../../grpc/errors.js';
import type { Logger } from '../../grpc/log.js';
import type { CertificateNames } from '../../grpc/tcp/certificate_names.js';
import { parseRoles, type RoleOf } from './roles_file.js';
import { readTls, type TlsFiles, type TlsMaterial } from './tls_files.js';
import { WatchedFiles } from './watched_files.js';

export interface AccessOptions {
  readonly tls: TlsFiles;
  /** Without: every client of the authority is an administrator. */
  readonly rolesFile?: string | undefined;
  readonly report: (kind: string, message: string) => void;
  readonly log: Logger;
}

export interface AccessFollower {
  readonly certificatesChanged: (material: TlsMaterial) => void;
  readonly rolesChanged: () => void;
}

interface Roles {
  readonly text: string;
  readonly roleOf: RoleOf;
}

export class Access {
  readonly #options: AccessOptions;
  #material: TlsMaterial;
  #roles: Roles | undefined;
  #files: WatchedFiles | undefined;
  #follower: AccessFollower | undefined;
  /** What was complained of last, by what it is about: it is not said twice. */
  readonly #complaints = new Map<string, string>();
  /** By outcome. */
  readonly reloads = new Map<'done' | 'refused', number>([
    ['done', 0],
    ['refused', 0],
  ]);

  /** Throws if any of the files is not good. */
  constructor(options: AccessOptions) {
    this.#options = options;
    this.#material = readTls(options.tls);
    if (options.rolesFile !== undefined) this.#roles = readRoles(options.rolesFile);
    else options.log.info('no --roles: every client with a certificate of --tls-client-ca is an administrator');
    this.#warnOfAge();
  }

  get material(): TlsMaterial {
    return this.#material;
  }

  roleOf(names: CertificateNames): Role | undefined {
    return this.#roles === undefined ? 'admin' : this.#roles.roleOf(names);
  }

  follow(follower: AccessFollower): void {
    const { tls, rolesFile, log } = this.#options;
    this.#follower = follower;
    const files = [tls.certificate, tls.key, tls.clientAuthority, ...(rolesFile === undefined ? [] : [rolesFile])];
    this.#files = new WatchedFiles(files, () => this.reload(), log);
  }

  stop(): void {
    this.#files?.stop();
  }

  /** Reads the files again. What has not changed changes nothing. */
  reload(): void {
    this.#attempt('certificates', () => this.#reloadCertificates());
    this.#attempt('roles', () => this.#reloadRoles());
  }

  #reloadCertificates(): string {
    const material = readTls(this.#options.tls);
    if (material.fingerprint === this.#material.fingerprint) return '';
    this.#material = material;
    this.#follower?.certificatesChanged(material);
    this.#warnOfAge();
    const { serialNumber, validTo } = material.certificate;
    return `serial ${serialNumber}, valid until ${validTo}`;
  }

  #reloadRoles(): string {
    const { rolesFile } = this.#options;
    if (rolesFile === undefined) return '';
    const roles = readRoles(rolesFile);
    if (roles.text === this.#roles?.text) return '';
    this.#roles = roles;
    this.#follower?.rolesChanged();
    return rolesFile;
  }

  #attempt(what: 'certificates' | 'roles', reload: () => string): void {
    const { report } = this.#options;
    try {
      const done = reload();
      this.#complaints.delete(what);
      if (done === '') return;
      this.#count('done');
      report(`${what}_reloaded`, done);
    } catch (error) {
      const message = complaint(error);
      if (this.#complaints.get(what) === message) return;
      this.#complaints.set(what, message);
      this.#count('refused');
      report(`${what}_refused`, `${message}; what was read before stays in force`);
    }
  }

  #count(outcome: 'done' | 'refused'): void {
    this.reloads.set(outcome, (this.reloads.get(outcome) ?? 0) + 1);
  }

  #warnOfAge(): void {
    const { validFrom, validTo } = this.#material.certificate;
    const now = Date.now();
    if (now < Date.parse(validFrom) || now > Date.parse(validTo))
      this.#options.log.warn(`--tls-cert is valid from ${validFrom} to ${validTo}: clients will refuse it`);
  }
}

function readRoles(file: string): Roles {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    const message = `--roles ${file} cannot be read: ${(error as NodeJS.ErrnoException).code}`;
    throw new FulcrumError({ code: 'FAILED_PRECONDITION', message });
  }
  return { text, roleOf: parseRoles(text, file) };
}

function complaint(error: unknown): string {
  if (error instanceof FulcrumError) return error.describe();
  if (error instanceof ConfigurationError) return error.message;
  throw error;
}
