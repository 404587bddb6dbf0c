// SPDX-License-Identifier: Apache-2.0
// The devices of the ports: there, at the driver that DPDK takes them from, and nothing else's.
import type { HostFacts } from '../facts.js';
import { type Finding, note, ok, problem, warning } from '../finding.js';
import { harmfulOn, type InterfaceFacts } from '../interface_facts.js';
import type { Needs, PortNeed } from '../needs.js';
import { sharedDrivers, userDrivers } from '../steps/devices.js';

const setupCommand = 'fulcrum setup --config FILE --apply';

export function checkDevices(facts: HostFacts, { ports }: Needs): readonly Finding[] {
  const devices = ports.flatMap((port) => (port.pci === undefined ? [] : [checkPci(facts, port, port.pci)]));
  return [...(devices.length > 0 ? [checkIommu(facts)] : []), ...devices];
}

function checkIommu({ iommuGroups, noIommuMode }: HostFacts): Finding {
  if (iommuGroups > 0) return ok('IOMMU', `on, ${iommuGroups} groups`);
  const why = 'a device, or a bug in the director, can write anywhere in memory';
  const change = 'VT-d or AMD-Vi in the firmware, and intel_iommu=on iommu=pt on the command line of the kernel';
  if (noIommuMode === true) return note('IOMMU', 'off; vfio works without it', why, change);
  return problem(
    'IOMMU',
    'off, and vfio may not work without it',
    'no device can be bound to vfio-pci',
    `${change}; or ${setupCommand}`,
  );
}

function checkPci({ pci }: HostFacts, { name }: PortNeed, address: string): Finding {
  const device = pci.find((one) => one.address === address);
  const subject = `port ${name}`;
  if (device === undefined)
    return problem(subject, `no PCI device ${address}`, 'the port cannot start', 'dpdk-devbind.py --status-dev net');
  const { driver = 'none', interfaces } = device;
  if (userDrivers.includes(driver) || sharedDrivers.includes(driver))
    return ok(subject, `${address}, driver ${driver}`);
  const use = interfaces.length === 0 ? '' : `, interface ${interfaces.join(', ')} of the kernel`;
  return problem(subject, `${address}, driver ${driver}${use}`, 'DPDK cannot take it from this driver', setupCommand);
}

/** Ports on interfaces of the kernel. */
export function checkInterfaces(facts: HostFacts, { ports }: Needs, isRunning: boolean): readonly Finding[] {
  return ports.flatMap((port) => {
    if (port.interface === undefined) return [];
    const known = facts.interfaces.find(({ name }) => name === port.interface);
    return known === undefined ? [absent(port)] : interfaceFindings(port, known, isRunning);
  });
}

const absent = ({ name, interface: device }: PortNeed): Finding =>
  problem(`port ${name}`, `no interface ${device} in this network namespace`, 'the port cannot start', 'ip -br link');

function interfaceFindings(port: PortNeed, known: InterfaceFacts, isRunning: boolean): readonly Finding[] {
  const { name, isUp, mtu, kind, addresses, isDefaultRoute } = known;
  const subject = `port ${port.name} on ${name}`;
  const findings: Finding[] = [];
  // The director brings it up itself.
  if (!isUp && isRunning)
    findings.push(problem(subject, 'down', 'nothing comes and nothing goes', `ip link set ${name} up`));
  if (mtu < port.mtu)
    findings.push(
      problem(
        subject,
        `MTU ${mtu}, the port's is ${port.mtu}`,
        'longer packets are not sent, and connections hang once they carry data',
        `ip link set ${name} mtu ${port.mtu}, or ports.${port.name}.mtu: ${mtu}`,
      ),
    );
  const harmful = harmfulOn(known);
  if (harmful.length > 0)
    findings.push(
      warning(
        subject,
        `${harmful.join(', ')} on`,
        'frames arrive merged or without their tag, and those longer than the MTU are lost',
        `ethtool -K ${name} ${harmful.map((one) => `${one} off`).join(' ')}`,
      ),
    );
  if (kind === 'veth')
    findings.push(
      note(
        subject,
        'one end of a veth pair',
        'its peer leaves checksums and segmentation to hardware that is not there',
        `at the other end: ethtool -K PEER tx off tso off gso off`,
      ),
    );
  if (addresses.length > 0 || isDefaultRoute)
    findings.push(
      (isDefaultRoute ? problem : warning)(
        subject,
        `the kernel has ${isDefaultRoute ? 'its default route' : addresses.join(', ')} there`,
        'the kernel hears nothing by it while the director runs',
        'another interface for the host, or a kernel port (ports.….kernel)',
      ),
    );
  return findings.length > 0 ? findings : [ok(subject, `MTU ${mtu}, offloads off`)];
}
