// SPDX-License-Identifier: Apache-2.0
// The connections of checks: TCP, or TLS by options that are read once for all targets.
import { readFileSync } from 'node:fs';
import { connect, isIP, type Socket } from 'node:net';
import { createSecureContext, type SecureContext, connect as tlsConnect } from 'node:tls';
import type { TlsOptions__Output } from '../../generated/fulcrum/v1/TlsOptions.js';
import { joinPath, quote } from '../../grpc/errors.js';
import type { Course } from './attempt.js';
import { codeOf, reasonOf } from './faults.js';
import { invalid, readFile } from './fields.js';
import { requirePort, type Target } from './prober.js';
import { portsOf } from './source_ports.js';

/** A port that another connection to the same target had a moment ago is not free. */
const portsTried = 9;
/** Of a host, in characters (RFC 1035, 2.3.4, as text). */
const longestName = 253;

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
    serverName: readServerName(options.serverName, joinPath(path, 'server_name')),
    verify: options.verify,
  };
}

/** A name in the sense of RFC 6066, 3: no address. */
function readServerName(name: string, field: string): string {
  if (isIP(name) !== 0)
    throw invalid(field, `${quote(name)} is an address: without a name, the target's is looked for`);
  if (name !== '' && (name.length > longestName || !/^[\w-]+(?:\.[\w-]+)*$/.test(name)))
    throw invalid(field, `${quote(name)} is not a host's name`);
  return name;
}

/** What a try has opened. */
export interface Connection {
  readonly destroy: () => void;
}

type OnError = (error: Error, reason?: string) => void;

/** Begins a connection. `ready` is called when it can be written to; errors are told to the course. */
export function openConnection(
  target: Target,
  course: Course,
  ready: (socket: Socket) => void,
  tls?: Tls,
  protocols: readonly string[] = [],
): Connection {
  requirePort(target);
  let opened: Opened | undefined;
  const ports = portsFor(target);
  let destroyed = false;
  const onError: OnError = (error, reason) => {
    const isTaken = codeOf(error) === 'EADDRINUSE' || codeOf(error) === 'EADDRNOTAVAIL';
    if (destroyed || !isTaken || ports.length === 0) return course.error(error, reason);
    open();
  };
  // It is called by an event, where nobody would catch what it throws.
  const begin = (socket: Socket): void => {
    try {
      ready(socket);
    } catch (error) {
      course.error(error);
    }
  };
  const open = (): void => {
    const place = placeOf(target, ports.shift());
    opened =
      tls === undefined
        ? openPlain(place, course, begin, onError)
        : openTls(place, target, course, begin, onError, tls, protocols);
    if (target.sourcePorts !== undefined) endByReset(opened);
  };
  open();
  return {
    destroy: () => {
      destroyed = true;
      if (target.sourcePorts === undefined) opened?.socket.destroy();
      else opened?.socket.destroySoon();
    },
  };
}

/** What is written to, and the connection below it. */
interface Opened {
  readonly socket: Socket;
  readonly raw: Socket;
}

/**
 * Ports that are needed again soon must not stay behind in TIME-WAIT (RFC 9293, 3.6.1): whoever wants to end the
 * connection in good order, as HTTP's client does, resets it. Not once its end has begun, for Node would neither reset
 * nor close it then; that is when the server has ended it, and TIME-WAIT is with the server.
 */
function endByReset({ socket, raw }: Opened): void {
  socket.destroySoon = () => {
    if (raw.connecting || raw.writableEnded || raw.destroyed) raw.destroy();
    else raw.resetAndDestroy();
    socket.destroy();
  };
}

interface Place {
  readonly host: string;
  readonly port: number;
  readonly localAddress?: string;
  readonly localPort?: number;
}

/**
 * The port is chosen here if the address is. bind() would keep one for itself, for all targets and for a minute after the
 * end (TIME-WAIT, RFC 9293, 3.6.1), and after thirty thousand tries there would be none left; a port that is named may be
 * shared by connections to different targets.
 */
function portsFor({ source, sourcePorts }: Target): number[] {
  if (source === undefined) return [];
  return sourcePorts === undefined ? Array.from({ length: portsTried }, anyPort) : portsOf(sourcePorts);
}

function placeOf({ address, port, source }: Target, localPort: number | undefined): Place {
  const place = { host: address, port };
  return source === undefined || localPort === undefined ? place : { ...place, localAddress: source, localPort };
}

function anyPort(): number {
  portRange ??= readPortRange();
  return portRange.first + Math.floor(Math.random() * (portRange.last - portRange.first + 1));
}

let portRange: { readonly first: number; readonly last: number } | undefined;

function readPortRange() {
  const [first = 0, last = 0] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
    .trim()
    .split(/\s+/)
    .map(Number);
  return { first, last };
}

function openPlain(place: Place, course: Course, ready: (socket: Socket) => void, onError: OnError): Opened {
  const socket = connect(place);
  socket.once('connect', () => {
    course.late = 'connected, but no answer';
    ready(socket);
  });
  socket.on('error', (error) => onError(error));
  return { socket, raw: socket };
}

function openTls(
  place: Place,
  target: Target,
  course: Course,
  ready: (socket: Socket) => void,
  onError: OnError,
  tls: Tls,
  protocols: readonly string[],
): Opened {
  let connected = false;
  const raw = connect(place);
  raw.on('error', (error) => {
    if (!connected) onError(error);
  });
  raw.once('connect', () => {
    connected = true;
    course.late = 'connected, but no TLS handshake';
  });
  const socket = tlsConnect({
    socket: raw,
    host: place.host,
    secureContext: tls.context,
    rejectUnauthorized: tls.verify,
    ...(tls.serverName === '' ? {} : { servername: tls.serverName }),
    ALPNProtocols: [...protocols],
  });
  socket.once('secureConnect', () => {
    course.late = 'TLS is up, but no answer';
    ready(socket);
  });
  socket.on('error', (error) => {
    if (connected) onError(error, tlsReason(error, target, tls));
  });
  return { socket, raw };
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
