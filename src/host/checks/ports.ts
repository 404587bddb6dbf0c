// SPDX-License-Identifier: Apache-2.0
// The running director's ports and the neighbours on their links.
import type { DirectorFacts } from '../director_facts.js';
import { type Finding, ok, problem, warning } from '../finding.js';

export function checkPorts({ ports }: DirectorFacts): readonly Finding[] {
  return ports.map(({ name, driver, linkUp, mtu, rxMissed, rxNoBuffer }) => {
    const subject = `port ${name}`;
    if (!linkUp)
      return problem(
        subject,
        'no link',
        'nothing comes and nothing goes',
        'cable, switch, or ip link of a kernel interface',
      );
    const lost = Number(rxMissed) + Number(rxNoBuffer);
    const change = 'more workers, rx_descriptors, or packet_buffers; fulcrum stats workers';
    if (lost > 0) return warning(subject, `${lost} packets missed by the device`, 'workers came too late', change);
    return ok(subject, `${driver}, link up, MTU ${mtu}`);
  });
}

export function checkGateways({ routes, neighbors }: DirectorFacts): readonly Finding[] {
  const gateways = new Map(
    routes.filter(({ via }) => via !== '').map(({ via, interface: by }) => [`${via} ${by}`, { via, by }]),
  );
  return [...gateways.values()].map(({ via, by }) => {
    const known = neighbors.find((one) => one.address === via && one.interface === by);
    const state = stateOf(known?.state);
    const subject = `gateway ${via}`;
    if (state !== 'failed' && state !== 'incomplete') return ok(subject, `on ${by}, ${state}`);
    const why = 'packets that leave by it wait, and are lost';
    return problem(
      subject,
      `on ${by}, does not answer for its MAC`,
      why,
      `routes: is ${via} right? is it on the link of ${by}?`,
    );
  });
}

/** "reachable"; a neighbour that nobody has asked for yet is no failure. */
export function stateOf(state: string | undefined): string {
  return state === undefined ? 'not asked for yet' : state.replace('NEIGHBOR_STATE_', '').toLowerCase();
}
