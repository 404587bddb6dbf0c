// SPDX-License-Identifier: Apache-2.0
// The last step of every import: what the director's own reader of files would refuse is left out with a warning, so
// that what is printed can always be applied.
import { ConfigurationError, type Problem, readDocument } from '../config/document.js';
import {
  type ServerEntry,
  type ServiceEntry,
  type ServicesSection,
  servicesSchema,
  toConfiguration,
} from '../config/services.js';
import { fileText } from '../config/text.js';
import type { Place, Warn, Warning } from './source.js';

export interface PlacedServer {
  readonly place: Place;
  readonly entry: ServerEntry;
}

export interface PlacedService {
  readonly place: Place;
  readonly entry: Omit<ServiceEntry, 'servers'>;
  readonly servers: readonly PlacedServer[];
}

export interface Import {
  readonly configuration: ServicesSection;
  readonly warnings: readonly Warning[];
}

/** A service whose key is there already, and everything that cannot be read back, goes with a warning. */
export function acceptable(
  services: readonly PlacedService[],
  rest: Omit<ServicesSection, 'services'>,
  warn: Warn,
): ServicesSection {
  let kept = services;
  for (;;) {
    const section = { services: kept.map(serviceEntryOf), ...rest };
    const problems = problemsOf(section);
    if (problems.length === 0) return section;
    kept = without(kept, problems, warn);
  }
}

function serviceEntryOf({ entry, servers }: PlacedService): ServiceEntry {
  return { ...entry, servers: servers.map((server) => server.entry) };
}

function problemsOf(section: ServicesSection): readonly Problem[] {
  try {
    toConfiguration(readDocument<ServicesSection>(fileText(section), '', servicesSchema));
    return [];
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems;
    throw error;
  }
}

/** A problem of a server costs the server, one of the sorry server that, and any other one the service. */
function without(
  services: readonly PlacedService[],
  problems: readonly Problem[],
  warn: Warn,
): readonly PlacedService[] {
  const dropped = new Set<unknown>();
  for (const { field, reason } of problems) {
    const [, serviceIndex, serverIndex, rest = ''] =
      /^services\[(\d+)\](?:\.servers\[(\d+)\])?\.?(.*)$/.exec(field) ?? [];
    const service = services[Number(serviceIndex)];
    // Nothing else is made of the file's own words.
    if (service === undefined) throw new Error(`${field}: ${reason}`);
    const server = serverIndex === undefined ? undefined : service.servers[Number(serverIndex)];
    const sorryServer = rest.startsWith('health.sorry_server') ? service.entry.health?.sorry_server : undefined;
    dropped.add(server ?? sorryServer ?? service);
    const what = server ? `real server ${server.entry.address}` : sorryServer && `sorry server ${sorryServer.address}`;
    const where = rest === '' ? '' : `${rest}: `;
    warn((server ?? service).place, `${what ?? service.entry.address} is left out: ${where}${reason}`);
  }
  return services
    .filter((service) => !dropped.has(service))
    .map((service) => ({
      ...service,
      entry: dropped.has(service.entry.health?.sorry_server) ? withoutSorryServer(service.entry) : service.entry,
      servers: service.servers.filter((server) => !dropped.has(server)),
    }));
}

function withoutSorryServer({ health = {}, ...entry }: PlacedService['entry']): PlacedService['entry'] {
  const { sorry_server: _, sorry_server_inhibit: __, ...rest } = health;
  return { ...entry, ...(Object.keys(rest).length > 0 && { health: rest }) };
}
