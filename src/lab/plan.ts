// SPDX-License-Identifier: Apache-2.0
// The lab's hosts, addresses and services; and the configuration file that its director gets.
//
//                 ┌────────────────────────── 203.0.113.0/24 (bridge wan) ───────────────────────────┐
//   client .200 ──┤                                                                                  │
//                 │  wan .1, VIPs .10 .20 .30                            out .101 .102 .103          │
//                 └──── director ─────────────────────┐        ┌──────────── rs1 rs2 rs3 ────────────┘
//                        lan .1                       │        │ lan .11 .12 .13
//                       └──────────────────────── 10.0.0.0/24 (bridge lan) ─┘
//
// Requests always come in by the director. NAT's replies leave a server by lan, for its policy is that what has its
// own lan address as source goes to the director; DR's and TUN's have a VIP as source and leave by out, straight to
// the client. IPv6 is the same once more: 2001:db8:1::/64 on wan, 2001:db8:2::/64 on lan, with the same last numbers.

import { existsSync } from 'node:fs';
import { bracket, formatEndpoint } from '../config/keys.js';

export type Method = 'nat' | 'dr' | 'tun';
export type Family = 4 | 6;
/** A method, over IPv4; with a 6 behind it, over IPv6. */
export type ServiceName = Method | `${Method}6`;

export interface LabService {
  readonly name: ServiceName;
  readonly method: Method;
  readonly family: Family;
  readonly vip: string;
  readonly scheduler: string;
  /** One for each server, in the order of addition. */
  readonly weights: readonly number[];
}

export interface LabServer {
  readonly name: string;
  readonly lan: string;
  readonly lan6: string;
  readonly out: string;
  readonly out6: string;
}

const wan6 = (last: number): string => `2001:db8:1::${last}`;
const lan6 = (last: number): string => `2001:db8:2::${last}`;

/** Families of this machine's kernel: it may have been started without IPv6. */
export const families: readonly Family[] = existsSync('/proc/sys/net/ipv6') ? [4, 6] : [4];

const allServices: readonly LabService[] = [
  { name: 'nat', method: 'nat', family: 4, vip: '203.0.113.10', scheduler: 'rr', weights: [1, 1, 1] },
  { name: 'dr', method: 'dr', family: 4, vip: '203.0.113.20', scheduler: 'wrr', weights: [3, 2, 1] },
  { name: 'tun', method: 'tun', family: 4, vip: '203.0.113.30', scheduler: 'wlc', weights: [1, 1, 1] },
  { name: 'nat6', method: 'nat', family: 6, vip: wan6(10), scheduler: 'rr', weights: [1, 1, 1] },
  { name: 'dr6', method: 'dr', family: 6, vip: wan6(20), scheduler: 'wrr', weights: [3, 2, 1] },
  { name: 'tun6', method: 'tun', family: 6, vip: wan6(30), scheduler: 'wlc', weights: [1, 1, 1] },
];

export const services: readonly LabService[] = allServices.filter(({ family }) => families.includes(family));

export const servers: readonly LabServer[] = [1, 2, 3].map((number) => ({
  name: `rs${number}`,
  lan: `10.0.0.${10 + number}`,
  lan6: lan6(10 + number),
  out: `203.0.113.${100 + number}`,
  out6: wan6(100 + number),
}));

export const client = '203.0.113.200';
export const client6 = wan6(200);
export const director = { wan: '203.0.113.1', wan6: wan6(1), lan: '10.0.0.1', lan6: lan6(1) } as const;

/** The network behind the director, by family. */
export const lanNetworks = { 4: '10.0.0.0/24', 6: '2001:db8:2::/64' } as const;

/** An address as an interface has it. */
export const onLink = (address: string): string => `${address}/${address.includes(':') ? 64 : 24}`;

/** Addresses of both families, those of families that this machine has. */
export const legs = (address: string, address6: string): readonly string[] =>
  families.map((family) => onLink(family === 6 ? address6 : address));

/** A server as the director reaches it for a service. */
export const serverAddress = (server: LabServer, { family }: LabService): string =>
  family === 6 ? server.lan6 : server.lan;

export const vipOf = (name: ServiceName): string => services.find((service) => service.name === name)?.vip ?? '';

/** Where a service's VIP is asked by HTTP. */
export const urlOf = ({ vip }: LabService): string => `http://${bracket(vip)}/`;

/** An AF_PACKET device on a veth: a ring of 2048 frames of up to 1,984 bytes each way. */
export const packetDevice = (number: number, device: string): string =>
  `net_af_packet${number},iface=${device},blocksz=65536,framesz=2048,framecnt=2048,qpairs=1`;

/** Workers share the CPUs behind the first, which is for housekeeping. */
export function cpusText(workers: number, cpus: readonly number[]): string {
  const [first = 0, ...rest] = cpus;
  const others = rest.length > 0 ? rest : [first];
  const workerCpus = Array.from({ length: workers }, (_, index) => others[index % others.length]);
  return `cpus: { housekeeping: [${first}], workers: [${workerCpus.join(', ')}] }\n`;
}

/** The director's configuration. */
export function configuration(workers: number, cpus: readonly number[], kernelPorts = false): string {
  const port = (number: number, name: string, addresses: readonly string[]): string =>
    portText(number, name, addresses, kernelPorts ? ` kernel: { name: fk${number} },` : '');
  return `# The lab's director.
${cpusText(workers, cpus)}memory: { hugepages: off, connections: 262144 }
idle: sleep
ports:
${port(0, 'wan', legs(director.wan, director.wan6))}${port(1, 'lan', legs(director.lan, director.lan6))}services:
${services.map(serviceText).join('')}`;
}

function portText(number: number, name: string, addresses: readonly string[], kernel: string): string {
  const list = addresses.map((address) => `"${address}"`).join(', ');
  return `  ${name}: { device: "${packetDevice(number, `${name}0`)}",${kernel} interfaces: [{ addresses: [${list}] }] }\n`;
}

function serviceText(service: LabService): string {
  const { method, vip, scheduler, weights } = service;
  const lines = servers.map((server, index) => {
    const address = formatEndpoint(serverAddress(server, service), 80);
    return `      - { address: "${address}", method: ${method}, weight: ${weights[index]} }\n`;
  });
  const address = `tcp:${formatEndpoint(vip, 80)}`;
  return `  - address: "${address}"\n    scheduler: ${scheduler}\n    servers:\n${lines.join('')}`;
}
