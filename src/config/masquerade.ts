// SPDX-License-Identifier: Apache-2.0
// Masquerading as operators write it, "{ source: 10.0.0.0/24, interface: wan }": JSON Schema, what a schema cannot see,
// and the way to what the dataplane starts with.
import type { MasqueradeConfig } from '../generated/fulcrum/dataplane/v1/MasqueradeConfig.js';
import { type Path, suggestion } from './document.js';
import { KeyError } from './keys.js';
import type { Machine, PortNumbers } from './machine.js';
import { parsePorts, readPrefixText } from './mark_rules.js';
import { type Family, type Prefix, parseAddress, parsePrefix } from './prefix.js';

export interface MasqueradeEntry {
  readonly source: string;
  readonly interface: string;
  readonly address?: string;
  /** "1024-32767". */
  readonly ports?: number | string;
}

/** The dataplane's: below what Linux gives its own sockets. */
export const defaultPorts: PortNumbers = { first: 1024, last: 32767 };

export const masqueradeSchema = {
  type: 'object',
  additionalProperties: false,
  required: ['source', 'interface'],
  description: 'routed packets that leave with an address of the director as their source; the first rule counts',
  properties: {
    source: { type: 'string', description: 'whose packets: a prefix or an address, "10.0.0.0/24"' },
    interface: { type: 'string', description: 'by which interface they leave' },
    address: { type: 'string', description: 'an address of the director; left out: that of the interface' },
    ports: {
      type: ['integer', 'string'],
      description: 'ports to choose from; default "1024-32767"; no port of a service is ever chosen',
    },
  },
};

/** An interface as far as masquerading is concerned. */
export interface MasqueradeInterface {
  readonly name: string;
  readonly addresses: readonly string[];
  /** The kernel's interface for it, if there is one. */
  readonly kernel: string | undefined;
}

type Complain = (path: Path, reason: string) => void;

export function checkMasquerade(
  entries: readonly MasqueradeEntry[],
  interfaces: readonly MasqueradeInterface[],
  { localPorts }: Machine,
  complain: Complain,
): void {
  entries.forEach((entry, index) => {
    const attempt = <T>(field: keyof MasqueradeEntry, read: () => T): T | undefined => {
      try {
        return read();
      } catch (error) {
        if (!(error instanceof KeyError)) throw error;
        complain(['masquerade', index, field], error.message);
        return undefined;
      }
    };
    const source = attempt('source', () => readPrefixText(entry.source));
    const leavesBy = attempt('interface', () => findInterface(entry.interface, interfaces));
    const owner = attempt('address', () => ownerOf(entry, source, leavesBy, interfaces));
    const ports = attempt('ports', () => portsOf(entry));
    if (ports !== undefined && owner?.kernel !== undefined && localPorts !== undefined)
      attempt('ports', () => checkAgainstKernel(ports, localPorts, owner.kernel));
  });
}

function findInterface(name: string, interfaces: readonly MasqueradeInterface[]): MasqueradeInterface {
  const found = interfaces.find((at) => at.name === name);
  if (found !== undefined) return found;
  const names = interfaces.map((at) => at.name);
  throw new KeyError(`there is no interface "${name}"${suggestion(name, names) || `; there are ${names.join(', ')}`}`);
}

/** The interface that has the address. */
function ownerOf(
  { address: text }: MasqueradeEntry,
  source: Prefix | undefined,
  leavesBy: MasqueradeInterface | undefined,
  interfaces: readonly MasqueradeInterface[],
): MasqueradeInterface | undefined {
  if (text === undefined) {
    if (source !== undefined && leavesBy !== undefined && !hasAddress(leavesBy, source.family))
      throw new KeyError(`interface ${leavesBy.name} has no IPv${source.family} address`);
    return leavesBy;
  }
  const address = parseAddress(text);
  if (address === undefined) throw new KeyError(`"${text}" is not an IPv4 or IPv6 address`);
  if (source !== undefined && address.family !== source.family)
    throw new KeyError(`${text} is not of the source's address family`);
  const owner = interfaces.find((at) => hasAddress(at, address.family, address.value));
  if (owner === undefined) throw new KeyError(`${text} is no interface's address`);
  return owner;
}

const hasAddress = ({ addresses }: MasqueradeInterface, family: Family, value?: bigint): boolean =>
  addresses.some((text) => {
    const own = parsePrefix(text);
    return own?.family === family && (value === undefined || own.value === value);
  });

function portsOf({ ports }: MasqueradeEntry): PortNumbers {
  if (ports === undefined) return defaultPorts;
  const range = parsePorts(String(ports));
  if (range.first === 0) throw new KeyError('0 is no port');
  return range;
}

/** The same port may serve a socket of the kernel and a masqueraded flow; whoever asked would get the other's answers. */
function checkAgainstKernel(ports: PortNumbers, kernel: PortNumbers, name = ''): void {
  if (ports.last < kernel.first || ports.first > kernel.last) return;
  throw new KeyError(
    `${ports.first}-${ports.last} are the kernel's, too, which has that address on ${name} ` +
      `(net.ipv4.ip_local_port_range is ${kernel.first} ${kernel.last})`,
  );
}

export function toMasquerade(entry: MasqueradeEntry): MasqueradeConfig {
  const { first, last } = portsOf(entry);
  return {
    source: entry.source.includes('/') ? entry.source : `${entry.source}/${entry.source.includes(':') ? 128 : 32}`,
    interface: entry.interface,
    address: entry.address ?? '',
    firstPort: first,
    lastPort: last,
  };
}
