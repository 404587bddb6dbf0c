// SPDX-License-Identifier: Apache-2.0
// A connected UDP socket: only the target's datagrams arrive on it, and ICMP port unreachable is told as an error.
import { createSocket, type Socket } from 'node:dgram';
import { familyOf } from '../../address.js';
import type { Course } from '../attempt.js';
import { codeOf } from '../faults.js';
import { requirePort, type Target } from '../prober.js';
import { portsOf } from '../source_ports.js';

/** Sends one datagram; returns what closes the socket. */
export function exchange(
  target: Target,
  payload: Buffer,
  course: Course,
  onReply: (reply: Buffer) => void,
): () => void {
  requirePort(target);
  const socket = createSocket(familyOf(target.address) === 6 ? 'udp6' : 'udp4');
  const ports = portsOf(target.sourcePorts);
  const onError = (error: Error): void => {
    const another = codeOf(error) === 'EADDRINUSE' ? ports.shift() : undefined;
    if (another === undefined)
      course.error(error, codeOf(error) === 'ECONNREFUSED' ? 'ICMP port unreachable' : undefined);
    else bind(another);
  };
  let open = true;
  socket.on('error', onError);
  socket.on('message', onReply);
  const send = (): void => {
    if (open) socket.send(payload, (error) => error !== null && onError(error));
  };
  // In 'connect', the socket is bound and connected.
  socket.once('connect', send);
  const connect = (): void => {
    if (open) socket.connect(target.port, target.address);
  };
  const bind = (port: number): void => {
    if (open) socket.bind({ address: target.source, port });
  };
  if (target.source === undefined) connect();
  else {
    socket.once('listening', connect);
    bind(ports.shift() ?? 0);
  }
  return () => {
    open = false;
    closeQuietly(socket);
  };
}

function closeQuietly(socket: Socket): void {
  socket.removeAllListeners();
  socket.on('error', () => undefined);
  socket.close();
}
