// SPDX-License-Identifier: Apache-2.0
// Kernel interfaces that ports sit on: up, wide enough, and handing over frames as they come from the wire.
import type { HostFacts } from '../facts.js';
import { harmfulOffloads, harmfulOn, type InterfaceFacts } from '../interface_facts.js';
import type { Needs } from '../needs.js';
import { type Action, command, type SetupStep } from '../step.js';

export function interfaceSteps(facts: HostFacts, needs: Needs, force: boolean): readonly SetupStep[] {
  return needs.ports.flatMap(({ name, interface: device, mtu }) => {
    if (device === undefined) return [];
    const known = facts.interfaces.find((one) => one.name === device);
    return [known === undefined ? missing(name, device) : stepOf(name, known, mtu, force)];
  });
}

const subjectOf = (port: string, device: string): string => `interface ${device} of port ${port}`;

const missing = (port: string, device: string): SetupStep => ({
  subject: subjectOf(port, device),
  state: 'manual',
  is: 'not there',
  wanted: 'an interface in this network namespace',
  why: 'ip -br link shows those that there are',
  actions: [],
  undo: '',
});

function stepOf(port: string, known: InterfaceFacts, mtu: number, force: boolean): SetupStep {
  const { name, isUp } = known;
  const harmful = harmfulOn(known);
  const isNarrow = known.mtu < mtu;
  const undo: string[] = [];
  const actions: Action[] = [];
  const change = (action: Action, back: string): void => {
    actions.push(action);
    undo.push(back);
  };
  if (harmful.length > 0) {
    const words = (state: string): string[] => harmful.flatMap((short) => [short, state]);
    change(command('ethtool', '-K', name, ...words('off')), `ethtool -K ${name} ${words('on').join(' ')}`);
  }
  if (isNarrow) change(command('ip', 'link', 'set', name, 'mtu', String(mtu)), `ip link set ${name} mtu ${known.mtu}`);
  if (!isUp) change(command('ip', 'link', 'set', name, 'up'), `ip link set ${name} down`);
  const base = {
    subject: subjectOf(port, name),
    is: `${isUp ? 'up' : 'down'}, MTU ${known.mtu}, ${harmful.length > 0 ? `${harmful.join(' and ')} on` : 'offloads off'}`,
    wanted: `up, MTU ${mtu} or more, ${Object.values(harmfulOffloads).join(', ')} off`,
  };
  const why = 'AF_PACKET hands frames over as offloads leave them: merged, longer than the MTU, without their VLAN tag';
  const danger = silencedText(known);
  if (danger !== undefined && !force) return { ...base, state: 'refused', why: danger, actions: [], undo: '' };
  return { ...base, state: actions.length > 0 ? 'todo' : 'done', why, actions, undo: undo.join('; ') };
}

/** A port on an interface silences the kernel there. */
export function silencedText({ name, isDefaultRoute, ssh }: InterfaceFacts): string | undefined {
  if (isDefaultRoute) return `the default route leaves by ${name}, and the director silences the kernel there: --force`;
  if (ssh.length > 0)
    return `somebody is logged in by ssh at ${ssh.join(', ')} on ${name}, and the director silences the kernel there: --force`;
  return undefined;
}
