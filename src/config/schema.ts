// SPDX-License-Identifier: Apache-2.0
// The configuration file as operators write it: its types and its JSON Schema, which the build also writes to
// dist/fulcrum.schema.json for editors.

import { type MasqueradeEntry, masqueradeSchema } from './masquerade.js';
import { type ServicesSection, servicesProperties } from './services.js';

export interface InterfaceEntry {
  readonly name?: string;
  readonly vlan?: number;
  readonly mtu?: number;
  readonly addresses?: readonly string[];
}

export interface KernelPortEntry {
  readonly name: string;
  readonly driver?: 'tap';
  readonly limits?: Readonly<Partial<Record<KernelClassName, number>>>;
}

/** What is counted together on its way to the kernel. */
export type KernelClassName = 'control' | 'tcp' | 'connect' | 'icmp' | 'rest';

export interface PortEntry {
  readonly device: string;
  readonly mtu?: number;
  readonly mac?: string;
  readonly faces?: 'auto' | 'clients' | 'servers' | 'both';
  readonly rx_queues?: number;
  readonly tx_queues?: number;
  readonly rx_descriptors?: number;
  readonly tx_descriptors?: number;
  readonly kernel?: KernelPortEntry;
  readonly interfaces?: readonly InterfaceEntry[];
}

export interface RouteEntry {
  readonly to: string;
  readonly via?: string;
  readonly interface?: string;
}

export interface NeighborEntry {
  readonly address: string;
  readonly interface: string;
  readonly mac: string;
}

export interface DirectorFile extends ServicesSection {
  readonly cpus?: { readonly housekeeping?: readonly number[]; readonly workers?: readonly number[] };
  readonly memory?: {
    readonly hugepages?: 'auto' | 'on' | 'off';
    readonly megabytes?: number;
    readonly connections?: number;
    readonly packet_buffers?: number;
  };
  readonly idle?: 'sleep' | 'poll';
  readonly forwarding?: boolean;
  readonly ports: Readonly<Record<string, PortEntry>>;
  readonly routes?: readonly RouteEntry[];
  readonly neighbors?: readonly NeighborEntry[];
  readonly masquerade?: readonly MasqueradeEntry[];
}

/** Names of ports and interfaces: as the kernel takes them. */
const namePattern = '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$';
const nameRule = 'a name of at most 15 letters, digits, "_", "-" and ".", not beginning with "-" or "."';
const macPattern = '^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$';
const macRule = 'a MAC address, "02:00:00:00:00:01"';

const cpuList = (description: string) => ({
  type: 'array',
  minItems: 1,
  items: { type: 'integer', minimum: 0, maximum: 1023 },
  description,
});

const count = (minimum: number, maximum: number, description: string) => ({
  type: 'integer',
  minimum,
  maximum,
  description,
});

const mtu = count(576, 9600, 'bytes of the largest IP packet; default 1500, or that of the port');

const interfaceSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    name: {
      type: 'string',
      pattern: namePattern,
      description: `${nameRule}; left out: that of the port, with ".VLAN" behind it`,
    },
    vlan: count(1, 4094, '802.1Q VLAN id; left out: untagged'),
    mtu,
    addresses: {
      type: 'array',
      items: { type: 'string' },
      description: 'own addresses with prefix length, "203.0.113.1/24"',
    },
  },
};

const kernelLimit = (packets: string, usual: string) =>
  count(0, 4_294_967_295, `packets a second towards the kernel: ${packets}; 0: no limit; default ${usual}`);

const kernelLimits: Record<KernelClassName, object> = {
  control: kernelLimit('ARP and neighbour discovery, BGP, BFD, VRRP, OSPF, PIM, IGMP, MLD', '50,000'),
  tcp: kernelLimit('TCP but for first packets', '100,000'),
  connect: kernelLimit('first packets of TCP connections', '5,000'),
  icmp: kernelLimit('ICMP', '10,000'),
  rest: kernelLimit('everything else', '20,000'),
};

const kernelSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['name'],
  description: 'an interface of the kernel for what the director does not forward itself; left out: none',
  properties: {
    name: { type: 'string', pattern: namePattern, description: nameRule },
    driver: { enum: ['tap'], default: 'tap', description: 'how the kernel is reached' },
    limits: {
      type: 'object',
      additionalProperties: false,
      description: 'packets a second towards the kernel, by class, so that a flood starves neither ssh nor BGP',
      properties: kernelLimits,
    },
  },
};

const portSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['device'],
  properties: {
    device: {
      type: 'string',
      minLength: 1,
      description: 'a PCI address ("0000:01:00.0") or a DPDK vdev ("net_af_packet0,iface=eth1")',
    },
    mtu,
    mac: { type: 'string', pattern: macPattern, description: `${macRule}; left out: the device's own` },
    faces: {
      enum: ['auto', 'clients', 'servers', 'both'],
      default: 'auto',
      description:
        'who is reached through it: a device that can be set spreads packets by the source where clients are, by the destination where servers are, and is left as it is for both; auto: clients, if a default route leaves by it or if it is the only port',
    },
    rx_queues: count(1, 1024, 'receive queues; left out: what suits workers and device'),
    tx_queues: count(1, 1024, 'transmit queues; left out: what suits workers and device'),
    rx_descriptors: count(32, 32768, 'descriptors of a receive queue; left out: what suits the device'),
    tx_descriptors: count(32, 32768, 'descriptors of a transmit queue; left out: what suits the device'),
    kernel: kernelSchema,
    interfaces: {
      type: 'array',
      minItems: 1,
      items: interfaceSchema,
      description: 'untagged and VLAN interfaces; left out: one untagged without addresses',
    },
  },
};

const routeSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['to'],
  properties: {
    to: { type: 'string', description: '"default", or a prefix: "10.0.0.0/8"' },
    via: { type: 'string', description: 'address of the gateway; left out: on link of "interface"' },
    interface: { type: 'string', description: 'where it leads; may be left out if the gateway tells it' },
  },
};

const neighborSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['address', 'interface', 'mac'],
  properties: {
    address: { type: 'string', description: "the neighbour's, without prefix length" },
    interface: { type: 'string', description: 'on whose link it is' },
    mac: { type: 'string', pattern: macPattern, description: macRule },
  },
};

export const directorSchema = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'Fulcrum configuration',
  type: 'object',
  additionalProperties: false,
  required: ['ports'],
  properties: {
    cpus: {
      type: 'object',
      additionalProperties: false,
      description: 'CPUs by number, as in /proc/cpuinfo; the two lists may overlap where there are few',
      properties: {
        housekeeping: cpuList('CPUs of the control thread and of JavaScript; left out: the first'),
        workers: cpuList('CPUs of the workers, one worker an entry; left out: the second, if there is one'),
      },
    },
    memory: {
      type: 'object',
      additionalProperties: false,
      description: 'taken when the dataplane starts, and kept',
      properties: {
        hugepages: { enum: ['auto', 'on', 'off'], default: 'auto', description: 'auto: if enough are reserved' },
        megabytes: count(64, 1048576, 'megabytes of packet buffers and tables; left out: worked out'),
        connections: count(
          1024,
          1000000000,
          'entries of the connection tables of all workers, of either address family; default 1,000,000',
        ),
        packet_buffers: count(
          1024,
          134217728,
          'buffers for packets on their way, of a frame each; left out: worked out from ports and queues',
        ),
      },
    },
    idle: {
      enum: ['sleep', 'poll'],
      default: 'sleep',
      description: 'workers without packets: short sleeps (a shared machine) or none (an appliance)',
    },
    forwarding: {
      type: 'boolean',
      default: true,
      description: 'route packets that are not balanced between the interfaces',
    },
    ports: {
      type: 'object',
      minProperties: 1,
      description: 'DPDK ports by name',
      propertyNames: { pattern: namePattern, description: nameRule },
      additionalProperties: portSchema,
    },
    routes: {
      type: 'array',
      items: routeSchema,
      description: 'where everything leads that is on no link of the director',
    },
    neighbors: { type: 'array', items: neighborSchema, description: 'static neighbours' },
    masquerade: {
      type: 'array',
      items: masqueradeSchema,
      description: 'for what servers send by themselves; the first rule that matches counts',
    },
    ...servicesProperties,
  },
};
