// SPDX-License-Identifier: Apache-2.0
// Events that change what surrounds the director, mapped to what the product has for them. What it does not have is an
// error that says so.
import type { Scenario, ScenarioEvent } from './scenario.js';

/** The product cannot do what an event asks for. */
export class NotAvailable extends Error {
  constructor(what: string) {
    super(`not available: ${what}`);
  }
}

const defaultMtu = 1500;

/** An interface's MTU is fixed when the director starts: these are the events that can be part of its start. */
function isAtStart(scenario: Scenario, index: number): boolean {
  return scenario.events.slice(0, index).every((event) => ['mtu', 'sysctl', 'fwmark', 'ip'].includes(event.op));
}

export function mtuAtStart(scenario: Scenario): Readonly<Record<'cl' | 'rs', number>> {
  const mtu = { cl: defaultMtu, rs: defaultMtu };
  scenario.events.forEach((event, index) => {
    if (event.op === 'mtu' && isAtStart(scenario, index)) mtu[event.dev as 'cl' | 'rs'] = event.mtu as number;
  });
  return mtu;
}

/** What an event does that is neither a packet, a command of ipvsadm, time nor a listing. */
export function changeEnvironment(scenario: Scenario, event: ScenarioEvent, index: number): void {
  switch (event.op) {
    case 'mtu':
      if (isAtStart(scenario, index)) return;
      throw new NotAvailable('another MTU while the director runs');
    case 'sysctl':
      throw new NotAvailable(`the tunable ${event.key}`);
    case 'fwmark':
      throw new NotAvailable('mark rules');
    case 'ip':
      throw new NotAvailable(`ip ${event.args}`);
    default:
      throw new Error(`"${event.op}" is not an event of the environment`);
  }
}
