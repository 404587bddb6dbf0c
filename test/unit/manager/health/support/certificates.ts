// SPDX-License-Identifier: Apache-2.0
// Certificates for tests, by openssl: an authority, and what it has signed.
import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const newKey = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-batch'];

export interface Certificates {
  /** Path of "ca.crt", "server.crt", "server.key", … */
  readonly path: (name: string) => string;
  readonly remove: () => void;
}

/** ca; server (DNS:localhost and 127.0.0.1); expired (the same, until yesterday); client. */
export async function makeCertificates(): Promise<Certificates> {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-test-'));
  const path = (name: string): string => join(directory, name);
  const openssl = (...parameters: readonly string[]) => run('openssl', parameters);
  await openssl(
    ...[...newKey, '-x509', '-days', '2', '-subj', '/CN=authority'],
    ...['-keyout', path('ca.key'), '-out', path('ca.crt')],
  );
  const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  for (const [name, days] of [
    ['server', ['-days', '2']],
    ['expired', ['-days', '-1']],
    ['client', ['-days', '2']],
  ] as const) {
    await openssl(...newKey, ...names, '-keyout', path(`${name}.key`), '-out', path(`${name}.csr`));
    await sign(openssl, path, name, days);
  }
  return { path, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

async function sign(
  openssl: (...parameters: readonly string[]) => Promise<unknown>,
  path: (name: string) => string,
  name: string,
  days: readonly string[],
): Promise<void> {
  const signed = ['-copy_extensions', 'copy', '-CA', path('ca.crt'), '-CAkey', path('ca.key'), '-CAcreateserial'];
  await openssl('x509', '-req', '-in', path(`${name}.csr`), ...signed, '-out', path(`${name}.crt`), ...days);
}
