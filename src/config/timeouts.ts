// SPDX-License-Identifier: Apache-2.0
// The timeouts of connections: one for each state of TCP and SCTP, one for UDP, with LVS's defaults.
import type { Timeouts__Output } from '../generated/fulcrum/v1/Timeouts.js';

export type TimeoutField = keyof Timeouts__Output;
/** Seconds by field. */
export type TimeoutValues = Readonly<Record<TimeoutField, number>>;

export interface Timeout {
  /** As operators write it: "tcp_syn_recv". */
  readonly name: string;
  readonly field: TimeoutField;
  /** As LVS names protocol and state. */
  readonly state: string;
  readonly initialS: number;
}

/** 31 days, the longest that ipvsadm takes for -p and --set. */
export const largestTimeout = 2_678_400;

const timeout = (name: string, state: string, initialS: number): Timeout => ({
  name,
  field: `${name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())}S` as TimeoutField,
  state,
  initialS,
});

/** Those of ipvsadm --set first. */
export const timeouts: readonly Timeout[] = [
  timeout('tcp', 'TCP ESTABLISHED', 900),
  timeout('tcp_fin', 'TCP FIN_WAIT', 120),
  timeout('udp', 'UDP', 300),
  timeout('tcp_none', 'TCP NONE', 2),
  timeout('tcp_syn_sent', 'TCP SYN_SENT', 120),
  timeout('tcp_syn_recv', 'TCP SYN_RECV', 60),
  timeout('tcp_time_wait', 'TCP TIME_WAIT', 120),
  timeout('tcp_close', 'TCP CLOSE', 10),
  timeout('tcp_close_wait', 'TCP CLOSE_WAIT', 60),
  timeout('tcp_last_ack', 'TCP LAST_ACK', 30),
  timeout('tcp_listen', 'TCP LISTEN', 120),
  timeout('tcp_synack', 'TCP SYNACK', 120),
  timeout('sctp_none', 'SCTP NONE', 2),
  timeout('sctp_init1', 'SCTP INIT1', 4),
  timeout('sctp_init', 'SCTP INIT', 61),
  timeout('sctp_cookie_sent', 'SCTP C-SENT', 61),
  timeout('sctp_cookie_replied', 'SCTP C-REPLIED', 61),
  timeout('sctp_cookie_wait', 'SCTP C-WAIT', 61),
  timeout('sctp_cookie', 'SCTP COOKIE', 61),
  timeout('sctp_cookie_echoed', 'SCTP C-ECHOED', 61),
  timeout('sctp_established', 'SCTP ESTABLISHED', 900),
  timeout('sctp_shutdown_sent', 'SCTP S-SENT', 61),
  timeout('sctp_shutdown_received', 'SCTP S-RECEIVED', 61),
  timeout('sctp_shutdown_ack_sent', 'SCTP S-ACK-SENT', 61),
  timeout('sctp_rejected', 'SCTP REJECTED', 4),
  timeout('sctp_closed', 'SCTP CLOSED', 61),
];

/** A value for every timeout. */
export function timeoutsFrom(value: (timeout: Timeout) => number): TimeoutValues {
  return Object.fromEntries(timeouts.map((one) => [one.field, value(one)])) as Record<TimeoutField, number>;
}

/** LVS's defaults. */
export const defaultTimeouts: TimeoutValues = timeoutsFrom(({ initialS }) => initialS);
/** Keeps every value. */
export const keptTimeouts: TimeoutValues = timeoutsFrom(() => 0);

export function timeoutByName(name: string): Timeout | undefined {
  return timeouts.find((one) => one.name === name);
}
