// SPDX-License-Identifier: Apache-2.0
// The last events, as the page tells them.
import type { Event } from '../../generated/fulcrum/v1/Event.js';
import type { Happened, Tone } from '../../web/view.js';

/** Of all services, and of each page. */
const kept = 500;
const shown = 40;

const tones: Readonly<Record<string, Tone>> = {
  server_up: 'good',
  server_returned: 'good',
  quorum_gained: 'good',
  dataplane_connected: 'good',
  port_up: 'good',
  overload_left: 'good',
  kernel_interface_up: 'good',
  agent_ready: 'good',
  server_down: 'bad',
  quorum_lost: 'bad',
  dataplane_lost: 'bad',
  apply_refused: 'bad',
  port_down: 'bad',
  overload_entered: 'bad',
  address_conflict: 'bad',
  neighbor_table_full: 'bad',
  route_table_full: 'bad',
  server_ejected: 'warn',
  neighbor_failed: 'warn',
  neighbor_lost: 'warn',
  neighbor_moved: 'warn',
  events_lost: 'warn',
  checks_not_made: 'warn',
  load_not_read: 'warn',
  kernel_interface_down: 'warn',
  kernel_interface_gone: 'warn',
  kernel_news_lost: 'warn',
  kernel_refused: 'warn',
};

export class Happenings {
  #events: Happened[] = [];

  add({ time = '', kind = '', message = '' }: Event): void {
    this.#events = [{ time, kind, message, tone: tones[kind] ?? 'quiet' }, ...this.#events.slice(0, kept - 1)];
  }

  /** Newest first; of one service, those that begin with its name. */
  list(serviceId?: string): readonly Happened[] {
    const of = serviceId === undefined ? this.#events : this.#events.filter(({ message }) => isOf(message, serviceId));
    return of.slice(0, shown);
  }
}

/** "TCP 203.0.113.10:80 10.0.0.11:80: connection refused" is not of "TCP 203.0.113.10:8". */
function isOf(message: string, serviceId: string): boolean {
  return message === serviceId || message.startsWith(`${serviceId} `) || message.startsWith(`${serviceId}:`);
}
