// SPDX-License-Identifier: Apache-2.0
// The names that a client's certificate has, and what the client is called by them.
import type { PeerCertificate } from 'node:tls';

export interface CertificateNames {
  /** Undefined: it has none, or several. */
  readonly commonName: string | undefined;
  /** Subject alternative names of the kind DNS, in small letters. */
  readonly dnsNames: readonly string[];
}

export function certificateNames({ subject, subjectaltname = '' }: PeerCertificate): CertificateNames {
  const commonName: unknown = subject?.CN;
  return {
    commonName: typeof commonName === 'string' && commonName !== '' ? commonName : undefined,
    dnsNames: subjectaltname.split(', ').flatMap((name) => /^DNS:([\w.*-]+)$/.exec(name)?.[1]?.toLowerCase() ?? []),
  };
}

/** "cn:alice"; undefined of a certificate that names nobody. */
export function identityOf({ commonName, dnsNames: [dnsName] }: CertificateNames): string | undefined {
  if (commonName !== undefined) return `cn:${commonName}`;
  return dnsName === undefined ? undefined : `dns:${dnsName}`;
}
