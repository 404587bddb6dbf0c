// SPDX-License-Identifier: Apache-2.0
// The connections of checks: TCP, or TLS by options that are read once for all targets.
import { connect, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, connect as tlsConnect } from 'node:tls';
import type { TlsOptions__Output } from '../../generated/fulcrum/v1/TlsOptions.js';
import { joinPath, quote } from '../../grpc/errors.js';
import type { Course } from './attempt.js';
import { codeOf, reasonOf } from './faults.js';
import { invalid, readFile, readLine } from './fields.js';
import type { Target } from './prober.js';

/** TlsOptions, with the files read and found to be what they should be. */
export interface Tls {
  readonly context: SecureContext;
  readonly serverName: string;
  readonly verify: boolean;
}

export function readTls(options: TlsOptions__Output, path: string): Tls {
  const file = (name: string, field: string): { readonly path: string; readonly pem: Buffer } | undefined =>
    name === '' ? undefined : { path: name, pem: readFile(name, joinPath(path, field)) };
  const authority = file(options.caFile, 'ca_file');
  const certificate = file(options.certificateFile, 'certificate_file');
  const key = file(options.keyFile, 'key_file');
  if (certificate === undefined && key !== undefined)
    throw invalid(joinPath(path, 'certificate_file'), 'must be given with key_file');
  if (certificate !== undefined && key === undefined)
    throw invalid(joinPath(path, 'key_file'), 'must be given with certificate_file');
  if (authority !== undefined && !authority.pem.includes('-----BEGIN CERTIFICATE-----'))
    throw invalid(joinPath(path, 'ca_file'), `${quote(authority.path)} has no certificate in it`);
  const contextOf = (field: string, what: string, parts: Parameters<typeof createSecureContext>[0]): SecureContext => {
    try {
      return createSecureContext(parts);
    } catch (error) {
      throw invalid(joinPath(path, field), `${what}: ${opensslReason(error)}`, error);
    }
  };
  // Each by itself, so that the one that is wrong is named.
  if (authority !== undefined) contextOf('ca_file', `${quote(authority.path)} is not PEM`, { ca: authority.pem });
  if (certificate !== undefined)
    contextOf('certificate_file', `${quote(certificate.path)} is no certificate in PEM`, { cert: certificate.pem });
  const context = contextOf('key_file', `${quote(options.keyFile)} is not the key of the certificate`, {
    ...(authority === undefined ? {} : { ca: authority.pem }),
    ...(certificate === undefined || key === undefined ? {} : { cert: certificate.pem, key: key.pem }),
  });
  return {
    context,
    serverName: readLine(options.serverName, joinPath(path, 'server_name')),
    verify: options.verify,
  };
}

/** Begins a connection; the caller destroys the socket. `ready` is called when it can be written to. */
export function openConnection(
  target: Target,
  course: Course,
  ready: (socket: Socket) => void,
  tls?: Tls,
  protocols?: readonly string[],
): Socket {
  const place = {
    host: target.address,
    port: target.port,
    ...(target.source === undefined ? {} : { localAddress: target.source }),
  };
  if (tls === undefined) {
    const socket = connect(place);
    socket.once('connect', () => {
      course.late = 'connected, but no answer';
      ready(socket);
    });
    return socket.on('error', (error) => course.error(error));
  }
  let connected = false;
  const socket = tlsConnect({
    ...place,
    secureContext: tls.context,
    rejectUnauthorized: tls.verify,
    ...(tls.serverName === '' ? {} : { servername: tls.serverName }),
    ...(protocols === undefined ? {} : { ALPNProtocols: [...protocols] }),
  });
  socket.once('connect', () => {
    connected = true;
    course.late = 'connected, but no TLS handshake';
  });
  socket.once('secureConnect', () => {
    course.late = 'TLS is up, but no answer';
    ready(socket);
  });
  return socket.on('error', (error) => course.error(error, connected ? tlsReason(error, target, tls) : undefined));
}

interface TlsError extends Error {
  readonly reason?: string;
  readonly library?: string;
  readonly cert?: { readonly subjectaltname?: string; readonly subject?: { readonly CN?: string } };
}

function tlsReason(error: TlsError, target: Target, tls: Tls): string {
  if (codeOf(error) === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const names = error.cert?.subjectaltname ?? `CN=${error.cert?.subject?.CN ?? ''}`;
    return `certificate is not valid for ${tls.serverName || target.address}, only for ${names}`;
  }
  if (codeOf(error) === 'ERR_SSL_WRONG_VERSION_NUMBER') return 'TLS: it does not speak TLS on this port';
  if (error.message.includes('before secure TLS connection')) return 'connection closed during the TLS handshake';
  if (error.library !== undefined) return `TLS: ${opensslReason(error)}`;
  return reasonOf(error);
}

/** OpenSSL's words, without its numbers and places in its source. */
function opensslReason(error: unknown): string {
  const { reason, message } = error as TlsError;
  return reason ?? message.replace(/^error:[0-9A-F]+:/, '').replaceAll('::', ': ');
}
