// SPDX-License-Identifier: Apache-2.0
// From the text of a configuration file to what the dataplane starts with, and to what the API is asked for.

import { readFileSync } from 'node:fs';
import type { KernelPortConfig } from '../generated/fulcrum/dataplane/v1/KernelPortConfig.js';
import type { StartConfig } from '../generated/fulcrum/dataplane/v1/StartConfig.js';
import type { Configuration } from '../generated/fulcrum/v1/Configuration.js';
import { checkFile, destinationOf, interfacesOf } from './check.js';
import { ConfigurationError, type Document, inOrder, type Problem, readDocument } from './document.js';
import { type Machine, thisMachine } from './machine.js';
import { toMasquerade } from './masquerade.js';
import { type DirectorFile, directorSchema, type KernelPortEntry } from './schema.js';
import { servicesProperties, toConfiguration } from './services.js';

export interface DirectorConfig {
  /** Proto3 JSON of fulcrum.dataplane.v1.StartConfig. */
  readonly start: StartConfig;
  /** What `services`, `vips`, `timeouts`, `tunables` and `mark_rules` ask for; undefined if the file has none of them. */
  readonly services: Configuration | undefined;
  readonly document: Document<DirectorFile>;
}

/** Throws ConfigurationError with every problem, or the error that reading the file gave. */
export function readConfig(path: string, machine: Machine = thisMachine()): DirectorConfig {
  return parseConfig(readFileSync(path, 'utf8'), path, machine);
}

export function parseConfig(text: string, path: string, machine: Machine): DirectorConfig {
  const document = readDocument<DirectorFile>(text, path, directorSchema);
  const file = document.value;
  const problems: Problem[] = [];
  checkFile(file, machine, (at, reason) => problems.push(document.problem(at, reason)));
  const hasServices = Object.keys(servicesProperties).some((name) => name in file);
  const services = hasServices ? collecting(problems, () => toConfiguration(document)) : undefined;
  if (problems.length > 0) throw new ConfigurationError(inOrder(problems));
  return { start: startConfig(file, machine), services, document };
}

/** Runs a reader; its complaints join the others. */
function collecting<T>(problems: Problem[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    problems.push(...error.problems);
    return undefined;
  }
}

const hugepages = { auto: 'HUGEPAGES_AUTO', on: 'HUGEPAGES_ON', off: 'HUGEPAGES_OFF' } as const;
const faces = {
  auto: 'FACES_UNSPECIFIED',
  clients: 'FACES_CLIENTS',
  servers: 'FACES_SERVERS',
  both: 'FACES_BOTH',
} as const;
const idlePolicies = { sleep: 'IDLE_POLICY_SLEEP', poll: 'IDLE_POLICY_POLL' } as const;

function startConfig(file: DirectorFile, machine: Machine): StartConfig {
  const [first = 0, second = first] = machine.cpus;
  return {
    housekeepingCpus: [...(file.cpus?.housekeeping ?? [first])],
    workerCpus: [...(file.cpus?.workers ?? [second])],
    hugepages: hugepages[file.memory?.hugepages ?? 'auto'],
    memoryMb: file.memory?.megabytes ?? 0,
    connections: String(file.memory?.connections ?? 0),
    packetBuffers: file.memory?.packet_buffers ?? 0,
    idle: idlePolicies[file.idle ?? 'sleep'],
    forwarding: file.forwarding ?? true,
    ports: Object.entries(file.ports).map(([name, port]) => ({
      name,
      device: port.device,
      mtu: port.mtu ?? 0,
      rxQueues: port.rx_queues ?? 0,
      txQueues: port.tx_queues ?? 0,
      rxDescriptors: port.rx_descriptors ?? 0,
      txDescriptors: port.tx_descriptors ?? 0,
      mac: port.mac ?? '',
      faces: faces[port.faces ?? 'auto'],
      ...(port.kernel === undefined ? {} : { kernel: kernelPort(port.kernel) }),
    })),
    interfaces: interfacesOf(file).map(({ name, port, entry }) => ({
      name,
      port,
      vlan: entry.vlan ?? 0,
      mtu: entry.mtu ?? 0,
      addresses: (entry.addresses ?? []).map((prefix) => ({ prefix })),
    })),
    routes: (file.routes ?? []).map((route) => ({
      prefix: route.to === 'default' ? defaultPrefix(route) : route.to,
      via: route.via ?? '',
      interface: route.interface ?? '',
    })),
    neighbors: (file.neighbors ?? []).map((neighbor) => ({ ...neighbor })),
    ...(file.masquerade && { masquerade: file.masquerade.map(toMasquerade) }),
  };
}

const kernelPort = ({ name, limits = {} }: KernelPortEntry): KernelPortConfig => ({
  name,
  driver: 'KERNEL_DRIVER_TAP',
  limits: { ...limits },
});

const defaultPrefix = (route: { readonly to: string; readonly via?: string }): string =>
  destinationOf(route)?.family === 6 ? '::/0' : '0.0.0.0/0';
