// SPDX-License-Identifier: Apache-2.0
// The network that the recordings were made in: the director between client gateway and real servers. Everything here
// is a fact of the scenario format, none of it is known to the product.
import { thisMachine } from '../../src/config/machine.js';

/** Virtual addresses that are local to the director. */
export function virtualAddresses(ipv6: boolean): readonly string[] {
  const addresses = Array.from({ length: 9 }, (_, index) => `192.0.2.${index + 1}`);
  return ipv6 ? [...addresses, '2001:db8:ff::1'] : addresses;
}

export const portMacs = { cl: '02:00:00:00:01:01', rs: '02:00:00:00:02:01' } as const;
export const gatewayMac = '02:00:00:00:01:fe';
export const routerMac = '02:00:00:00:02:fe';
/** All-hosts group, for what comes to the multicast MAC. */
export const multicastMac = '01:00:5e:00:00:51';

const serverMacStart = '02:00:00:00:02:';

export function macOfServer(lastByte: number): string {
  return serverMacStart + lastByte.toString(16).padStart(2, '0');
}

/** The server that has a MAC; undefined if none of them has it. */
export function serverOfMac(mac: string, isIpv6: boolean): string | undefined {
  if (!mac.startsWith(serverMacStart)) return undefined;
  const last = Number.parseInt(mac.slice(serverMacStart.length), 16);
  return isIpv6 ? `2001:db8:2::${last.toString(16)}` : `10.0.2.${last}`;
}

/** Addresses that only servers have. */
export function isServerNet(address: string): boolean {
  return /^10\.0\.[23]\.|^2001:db8:[23]::/.test(address);
}

const servers = Array.from({ length: 20 }, (_, index) => 11 + index);
const serversV6 = [0xb, 0xc, 0xd, 0xe, 0xf];

export interface PlanOptions {
  readonly ipv6: boolean;
  readonly workers: number;
  readonly mtu: Readonly<Record<'cl' | 'rs', number>>;
  readonly forwarding: boolean;
  /** Besides those that this network has. */
  readonly routes: readonly object[];
  readonly neighbors: readonly object[];
}

const { cpus } = thisMachine();
let nextCpu = 0;

/** Directors that run at the same time get different CPUs, as far as there are. */
function workerCpus(count: number): readonly number[] {
  return Array.from({ length: count }, () => cpus[nextCpu++ % cpus.length] ?? 0);
}

/** The StartConfig of the director in this network, as proto3 JSON. */
export function startConfig({ ipv6, workers, mtu, forwarding, routes, neighbors }: PlanOptions): object {
  const addresses = {
    cl: ['10.0.1.1/24', ...(ipv6 ? ['2001:db8:1::1/64'] : [])],
    rs: ['10.0.2.1/24', ...(ipv6 ? ['2001:db8:2::1/64'] : [])],
  };
  const interfaceOf = (name: 'cl' | 'rs') => ({
    name,
    port: name,
    mtu: mtu[name],
    addresses: addresses[name].map((prefix) => ({ prefix })),
  });
  const portOf = (name: 'cl' | 'rs') => ({
    name,
    device: 'memory',
    mac: portMacs[name],
    mtu: Math.max(1500, mtu[name]),
  });
  return {
    housekeepingCpus: cpus,
    workerCpus: workerCpus(workers),
    hugepages: 'HUGEPAGES_OFF',
    // As many as the kernel's table has buckets: listings begin with it.
    connections: 4_096,
    packetBuffers: 4_096,
    idle: 'IDLE_POLICY_SLEEP',
    testing: true,
    forwarding,
    ports: [portOf('cl'), portOf('rs')],
    interfaces: [interfaceOf('cl'), interfaceOf('rs')],
    routes: [
      { prefix: '0.0.0.0/0', via: '10.0.1.254', interface: 'cl' },
      { prefix: '10.0.3.0/24', via: '10.0.2.254', interface: 'rs' },
      ...(ipv6 ? [{ prefix: '::/0', via: '2001:db8:1::fe', interface: 'cl' }] : []),
      ...routes,
    ],
    neighbors: [
      { address: '10.0.1.254', interface: 'cl', mac: gatewayMac },
      { address: '10.0.2.254', interface: 'rs', mac: routerMac },
      ...servers.map((last) => ({ address: `10.0.2.${last}`, interface: 'rs', mac: macOfServer(last) })),
      ...(ipv6 ? ipv6Neighbors() : []),
      ...neighbors,
    ],
  };
}

function ipv6Neighbors(): readonly object[] {
  return [
    { address: '2001:db8:1::fe', interface: 'cl', mac: gatewayMac },
    ...serversV6.map((last) => ({
      address: `2001:db8:2::${last.toString(16)}`,
      interface: 'rs',
      mac: macOfServer(last),
    })),
  ];
}
