// SPDX-License-Identifier: Apache-2.0
// What the schema of a configuration file cannot see: references, duplicates, addresses, and whether this machine has
// the CPUs and devices that are named.

import { type Path, suggestion } from './document.js';
import type { Machine } from './machine.js';
import { checkMasquerade } from './masquerade.js';
import {
  type Address,
  contains,
  hostPart,
  isReserved,
  isUnicast,
  type Prefix,
  parseAddress,
  parsePrefix,
} from './prefix.js';
import type { DirectorFile, InterfaceEntry } from './schema.js';

export type Complain = (path: Path, reason: string) => void;

/** An interface with the name it has when none is given, and where it stands in the file. */
export interface NamedInterface {
  readonly name: string;
  readonly port: string;
  readonly entry: InterfaceEntry;
  readonly path: Path;
}

/** Interfaces of all ports, in the file's order. Default names: the port's, or port.vlan. */
export function interfacesOf(file: DirectorFile): readonly NamedInterface[] {
  return Object.entries(file.ports).flatMap(([port, { interfaces = [{}] }]) =>
    interfaces.map((entry, index) => ({
      name: entry.name ?? (entry.vlan === undefined ? port : `${port}.${entry.vlan}`),
      port,
      entry,
      path: ['ports', port, 'interfaces', index],
    })),
  );
}

/** "default" means every address of the gateway's family. */
export function destinationOf(route: { readonly to: string; readonly via?: string }): Prefix | undefined {
  if (route.to !== 'default') return parsePrefix(route.to);
  const family = parseAddress(route.via ?? '')?.family ?? 4;
  return { family, value: 0n, length: 0 };
}

export function checkFile(file: DirectorFile, machine: Machine, complain: Complain): void {
  const interfaces = interfacesOf(file);
  checkCpus(file, machine, complain);
  checkDevices(file, machine, complain);
  checkInterfaces(file, interfaces, complain);
  checkKernelPorts(file, interfaces, complain);
  const links = checkAddresses(interfaces, complain);
  checkRoutes(file, interfaces, links, complain);
  checkNeighbors(file, interfaces, complain);
  const masqueraded = interfaces.map(({ name, port, entry }) => {
    const kernel = file.ports[port]?.kernel;
    return {
      name,
      addresses: entry.addresses ?? [],
      kernel: kernel === undefined ? undefined : kernelName(kernel.name, entry.vlan),
    };
  });
  checkMasquerade(file.masquerade ?? [], masqueraded, machine, complain);
  if (file.forwarding === false && (file.masquerade ?? []).length > 0)
    complain(['masquerade'], 'nothing is routed, because "forwarding" is false');
  checkVias(file, interfaces, complain);
}

function checkCpus(file: DirectorFile, machine: Machine, complain: Complain): void {
  for (const part of ['housekeeping', 'workers'] as const) {
    file.cpus?.[part]?.forEach((cpu, index) => {
      if (!machine.cpus.includes(cpu))
        complain(['cpus', part, index], `this machine has no CPU ${cpu}; it has ${machine.cpus.join(', ')}`);
    });
  }
}

const pciAddress = /^([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i;
/** Drivers whose iface= is a kernel interface that has to exist (net_tap makes its own). */
const kernelDrivers = /^net_(af_packet|af_xdp|pcap)/;

/** First word of a device argument: what DPDK tells devices apart by. */
const deviceName = (device: string): string => {
  const name = (device.split(',')[0] ?? '').toLowerCase();
  return pciAddress.test(name) && name.length < 12 ? `0000:${name}` : name;
};

const kernelInterfaceOf = (device: string): string | undefined =>
  kernelDrivers.test(device) ? /,iface=([^,]+)/.exec(device)?.[1] : undefined;

function checkDevices(file: DirectorFile, machine: Machine, complain: Complain): void {
  const usedBy = new Map<string, string>();
  for (const [port, { device }] of Object.entries(file.ports)) {
    const path = ['ports', port, 'device'];
    const name = deviceName(device);
    const kernel = kernelInterfaceOf(device);
    for (const thing of [`device ${name}`, ...(kernel === undefined ? [] : [`kernel interface ${kernel}`])]) {
      const other = usedBy.get(thing);
      if (other !== undefined) complain(path, `${thing} is used by port ${other} already`);
      else usedBy.set(thing, port);
    }
    if (kernel !== undefined && !machine.kernelInterfaces.includes(kernel)) {
      complain(
        path,
        `there is no kernel interface "${kernel}" in this network namespace${suggestion(kernel, machine.kernelInterfaces)}`,
      );
    }
    if (pciAddress.test(name) && !machine.pciDevices.includes(name))
      complain(path, `there is no PCI device ${name}${suggestion(name, machine.pciDevices)}`);
  }
}

function checkInterfaces(file: DirectorFile, interfaces: readonly NamedInterface[], complain: Complain): void {
  const named = new Map<string, Path>();
  const tags = new Set<string>();
  for (const { name, port, entry, path } of interfaces) {
    if (named.has(name)) complain([...path, 'name'], `interface "${name}" is defined twice`);
    named.set(name, path);
    const tag = `${port} ${entry.vlan ?? 'untagged'}`;
    if (tags.has(tag)) {
      const what = entry.vlan === undefined ? 'an untagged interface' : `VLAN ${entry.vlan}`;
      complain(entry.vlan === undefined ? path : [...path, 'vlan'], `port ${port} has ${what} already`);
    }
    tags.add(tag);
    const largest = file.ports[port]?.mtu ?? 1500;
    if (entry.mtu !== undefined && entry.mtu > largest)
      complain([...path, 'mtu'], `${entry.mtu} is more than the port's MTU of ${largest}`);
  }
}

/** The kernel's limit (IFNAMSIZ). */
const longestKernelName = 15;

/** The kernel interface of an interface of a port with a kernel port. */
const kernelName = (name: string, vlan: number | undefined): string => (vlan === undefined ? name : `${name}.${vlan}`);

function checkKernelPorts(file: DirectorFile, interfaces: readonly NamedInterface[], complain: Complain): void {
  const usedBy = new Map<string, string>([['lo', 'the loopback interface']]);
  for (const [port, { device }] of Object.entries(file.ports)) {
    const kernel = kernelInterfaceOf(device);
    if (kernel !== undefined) usedBy.set(kernel, `the device of port ${port}`);
  }
  for (const { name, port, entry } of interfaces) {
    const kernel = file.ports[port]?.kernel;
    if (kernel === undefined) continue;
    const at = ['ports', port, 'kernel', 'name'];
    const wanted = kernelName(kernel.name, entry.vlan);
    const other = usedBy.get(wanted);
    if (wanted.length > longestKernelName)
      complain(at, `"${wanted}", for interface ${name}, is longer than ${longestKernelName} characters`);
    if (other !== undefined) complain(at, `"${wanted}" is ${other} already`);
    usedBy.set(wanted, `the kernel port of interface ${name}`);
  }
}

interface Link {
  readonly name: string;
  readonly prefix: Prefix;
}

function checkAddresses(interfaces: readonly NamedInterface[], complain: Complain): readonly Link[] {
  const links: Link[] = [];
  const owners = new Map<string, string>();
  for (const { name, entry, path } of interfaces) {
    entry.addresses?.forEach((text, index) => {
      const at = [...path, 'addresses', index];
      const prefix = parsePrefix(text);
      if (prefix === undefined) {
        const hint = parseAddress(text) === undefined ? '' : ` (its length is missing: "${text}/24"?)`;
        complain(at, `"${text}" is not an address with prefix length${hint}`);
        return;
      }
      if (!isUnicast(prefix)) complain(at, `${text} is not an address that a host can have`);
      else if (isReserved(prefix)) complain(at, `${text} is the network's own or its broadcast address`);
      const key = `${prefix.family} ${prefix.value}`;
      const owner = owners.get(key);
      if (owner !== undefined) complain(at, `${text.split('/')[0]} is an address of interface ${owner} already`);
      owners.set(key, name);
      links.push({ name, prefix });
    });
  }
  return links;
}

function checkRoutes(
  file: DirectorFile,
  interfaces: readonly NamedInterface[],
  links: readonly Link[],
  complain: Complain,
): void {
  const seen = new Set<string>();
  file.routes?.forEach((route, index) => {
    const path = ['routes', index];
    const destination = destinationOf(route);
    if (destination === undefined) {
      complain([...path, 'to'], `"${route.to}" is neither "default" nor a prefix such as "10.0.0.0/8"`);
    } else {
      if (hostPart(destination) !== 0n) complain([...path, 'to'], `${route.to} has bits set behind its prefix length`);
      const key = `${destination.family} ${destination.value}/${destination.length}`;
      if (seen.has(key)) complain([...path, 'to'], `there is a route to ${route.to} already`);
      seen.add(key);
    }
    checkInterfaceName(route.interface, [...path, 'interface'], interfaces, complain);
    if (route.via !== undefined) checkGateway(route.via, route.interface, destination, path, links, complain);
    else if (route.interface === undefined) complain(path, 'needs "via", "interface" or both');
  });
}

function checkGateway(
  via: string,
  name: string | undefined,
  destination: Prefix | undefined,
  path: Path,
  links: readonly Link[],
  complain: Complain,
): void {
  const at = [...path, 'via'];
  const gateway = parseAddress(via);
  if (gateway === undefined) {
    complain(at, `"${via}" is not an IPv4 or IPv6 address`);
    return;
  }
  if (destination !== undefined && destination.family !== gateway.family)
    complain(at, `${via} is not of the destination's address family`);
  const onLink = links.filter((link) => contains(link.prefix, gateway));
  const own = onLink.find((link) => link.prefix.value === gateway.value);
  if (own !== undefined) complain(at, `${via} is the director's own address on interface ${own.name}`);
  else if (name === undefined && onLink.length === 0) complain(at, `${via} is on no interface's link`);
  else if (name === undefined && new Set(onLink.map((link) => link.name)).size > 1)
    complain(at, `${via} is on the links of ${onLink.map((link) => link.name).join(' and ')}: name the interface`);
  else if (name !== undefined && onLink.length > 0 && !onLink.some((link) => link.name === name))
    complain(at, `${via} is on the link of ${onLink.map((link) => link.name).join(' and ')}, not of ${name}`);
}

function checkInterfaceName(
  name: string | undefined,
  path: Path,
  interfaces: readonly NamedInterface[],
  complain: Complain,
): void {
  const names = interfaces.map((entry) => entry.name);
  if (name !== undefined && !names.includes(name))
    complain(path, `there is no interface "${name}"${suggestion(name, names) || `; there are ${names.join(', ')}`}`);
}

/** Checks of a VIP leave this host by a kernel port. */
function checkVias(file: DirectorFile, interfaces: readonly NamedInterface[], complain: Complain): void {
  const withKernel = interfaces.filter(({ port }) => file.ports[port]?.kernel !== undefined);
  const own = withKernel.flatMap(({ entry }) => entry.addresses?.flatMap((text) => parsePrefix(text) ?? []) ?? []);
  const families = new Set(own.map(({ family }) => family));
  file.services?.forEach(({ address, health, servers = [] }, index) => {
    const family = address.includes('[') ? 6 : 4;
    if (families.has(family)) return;
    const places = [
      { path: ['services', index], health },
      ...servers.map((server, number) => ({ path: ['services', index, 'servers', number], health: server.health })),
    ];
    for (const { path, health: given } of places) {
      given?.checks?.forEach(({ via }, number) => {
        if (via !== 'vip') return;
        const reason = `no kernel port has an IPv${family} address: the port of an interface that has one needs "kernel"`;
        complain([...path, 'health', 'checks', number, 'via'], reason);
      });
    }
  });
}

function checkNeighbors(file: DirectorFile, interfaces: readonly NamedInterface[], complain: Complain): void {
  const seen = new Set<string>();
  file.neighbors?.forEach((neighbor, index) => {
    const path = ['neighbors', index];
    const address = parseAddress(neighbor.address);
    checkInterfaceName(neighbor.interface, [...path, 'interface'], interfaces, complain);
    if (address === undefined || !isUnicast(address))
      complain([...path, 'address'], `"${neighbor.address}" is not an address that a host can have`);
    else if (seen.has(keyOf(address, neighbor.interface)))
      complain([...path, 'address'], `${neighbor.address} on ${neighbor.interface} is defined twice`);
    else seen.add(keyOf(address, neighbor.interface));
    if (Number.parseInt(neighbor.mac.slice(0, 2), 16) % 2 === 1 || /^00(:00){5}$/.test(neighbor.mac))
      complain([...path, 'mac'], `${neighbor.mac} is not the MAC address of one host`);
  });
}

const keyOf = (address: Address, name: string): string => `${address.family} ${address.value} ${name}`;
