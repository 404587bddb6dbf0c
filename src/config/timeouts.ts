// SPDX-License-Identifier: Apache-2.0
// The timeouts of connections: one for each state of TCP and SCTP, one for UDP, with LVS's defaults; as tables, and as
// operators write them: "{ tcp: 900, tcp_syn_recv: 60 }".
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

/** Seconds by name; what is left out keeps its value. */
export type TimeoutsEntry = Readonly<Record<string, number>>;

export const timeoutsSchema = {
  type: 'object',
  additionalProperties: false,
  description: 'connection timeouts in seconds, by state; 0 keeps the value in force',
  properties: Object.fromEntries(
    timeouts.map(({ name, state, initialS }) => [
      name,
      {
        type: 'integer',
        minimum: 0,
        maximum: largestTimeout,
        description: `seconds in state ${state}; left out: the value in force, ${initialS} at first`,
      },
    ]),
  ),
};

export function toTimeouts(entry: TimeoutsEntry): TimeoutValues {
  return timeoutsFrom(({ name }) => entry[name] ?? 0);
}

/** Those that are not kept. */
export function timeoutsEntry(values: TimeoutValues): TimeoutsEntry {
  return Object.fromEntries(
    timeouts.filter(({ field }) => values[field] !== 0).map(({ name, field }) => [name, values[field]]),
  );
}

/** Those of ipvsadm --set, and what else is not at its default: for a file that people read. */
export function shortTimeoutsEntry(values: TimeoutValues): TimeoutsEntry {
  const isShown = ({ field, initialS }: Timeout, index: number) =>
    values[field] !== 0 && (index < setTimeouts || values[field] !== initialS);
  return Object.fromEntries(timeouts.filter(isShown).map(({ name, field }) => [name, values[field]]));
}

/** The first ones of the table are those of ipvsadm --set. */
const setTimeouts = 3;
