// SPDX-License-Identifier: Apache-2.0
// The three files that the API's TLS is made of, read and held against each other before they are used.
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { FulcrumError } from '../../grpc/errors.js';

export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
  /** Authority that clients' certificates must be signed by. */
  readonly clientAuthority: string;
}

export interface TlsMaterial {
  readonly context: SecureContextOptions;
  /** The server's own certificate. */
  readonly certificate: X509Certificate;
  /** Differs when anything in the files does. */
  readonly fingerprint: string;
}

/** Throws a FulcrumError that names the option and the file. */
export function readTls(files: TlsFiles): TlsMaterial {
  const cert = readOption('--tls-cert', files.certificate);
  const key = readOption('--tls-key', files.key);
  const ca = readOption('--tls-client-ca', files.clientAuthority);
  const [certificate] = certificatesOf(cert, '--tls-cert', files.certificate);
  certificatesOf(ca, '--tls-client-ca', files.clientAuthority);
  try {
    createSecureContext({ cert, key, ca });
  } catch (error) {
    const why = /mismatch/.test((error as Error).message) ? 'is not that of the certificate' : (error as Error).message;
    throw refused('--tls-key', files.key, why);
  }
  return {
    context: { cert, key, ca },
    certificate: certificate as X509Certificate,
    fingerprint: [cert, key, ca].map((file) => file.toString('base64')).join(' '),
  };
}

function readOption(option: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw refused(option, file, `cannot be read: ${(error as NodeJS.ErrnoException).code}`);
  }
}

const pem = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

function certificatesOf(bytes: Buffer, option: string, file: string): readonly X509Certificate[] {
  const parts = bytes.toString('latin1').match(pem);
  if (parts === null) throw refused(option, file, 'has no certificate (PEM) in it');
  try {
    return parts.map((part) => new X509Certificate(part));
  } catch (error) {
    throw refused(option, file, `has a damaged certificate in it: ${(error as Error).message}`);
  }
}

function refused(option: string, file: string, why: string): FulcrumError {
  return new FulcrumError({ code: 'FAILED_PRECONDITION', message: `${option} ${file} ${why}` });
}
