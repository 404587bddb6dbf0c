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
// the client.

export type Method = 'nat' | 'dr' | 'tun';

export interface LabService {
  readonly method: Method;
  readonly vip: string;
  readonly scheduler: string;
  /** One for each server, in the order of addition. */
  readonly weights: readonly number[];
}

export interface LabServer {
  readonly name: string;
  readonly lan: string;
  readonly out: string;
}

export const services: readonly LabService[] = [
  { method: 'nat', vip: '203.0.113.10', scheduler: 'rr', weights: [1, 1, 1] },
  { method: 'dr', vip: '203.0.113.20', scheduler: 'wrr', weights: [3, 2, 1] },
  { method: 'tun', vip: '203.0.113.30', scheduler: 'wlc', weights: [1, 1, 1] },
];

export const servers: readonly LabServer[] = [1, 2, 3].map((number) => ({
  name: `rs${number}`,
  lan: `10.0.0.${10 + number}`,
  out: `203.0.113.${100 + number}`,
}));

export const client = '203.0.113.200';
export const director = { wan: '203.0.113.1', lan: '10.0.0.1' } as const;
export const prefixLength = 24;

export const vipOf = (method: Method): string => services.find((service) => service.method === method)?.vip ?? '';

/** An AF_PACKET device on a veth: a ring of 2048 frames of up to 1,984 bytes each way. */
export const packetDevice = (number: number, device: string): string =>
  `net_af_packet${number},iface=${device},blocksz=65536,framesz=2048,framecnt=2048,qpairs=1`;

/** The director's configuration. Workers share the CPUs behind the first, which is for housekeeping. */
export function configuration(workers: number, cpus: readonly number[]): string {
  const [first = 0, ...rest] = cpus;
  const others = rest.length > 0 ? rest : [first];
  const workerCpus = Array.from({ length: workers }, (_, index) => others[index % others.length]);
  return `# The lab's director.
cpus: { housekeeping: [${first}], workers: [${workerCpus.join(', ')}] }
memory: { hugepages: off, connections: 262144 }
idle: sleep
ports:
  wan: { device: "${packetDevice(0, 'wan0')}", interfaces: [{ addresses: [${director.wan}/${prefixLength}] }] }
  lan: { device: "${packetDevice(1, 'lan0')}", interfaces: [{ addresses: [${director.lan}/${prefixLength}] }] }
services:
${services.map(serviceText).join('')}`;
}

function serviceText({ method, vip, scheduler, weights }: LabService): string {
  const lines = servers.map(
    (server, index) => `      - { address: "${server.lan}:80", method: ${method}, weight: ${weights[index]} }\n`,
  );
  return `  - address: tcp:${vip}:80\n    scheduler: ${scheduler}\n    servers:\n${lines.join('')}`;
}
