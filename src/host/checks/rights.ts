// SPDX-License-Identifier: Apache-2.0
// What the director's processes have to be allowed, and the tools that they call.
import type { HostFacts } from '../facts.js';
import { type Finding, ok, problem, warning } from '../finding.js';
import type { Needs } from '../needs.js';

/** Bits of linux/capability.h. */
const bits = { CAP_NET_ADMIN: 12, CAP_NET_RAW: 13, CAP_IPC_LOCK: 14 } as const;

export function checkRights(facts: HostFacts, { ports }: Needs): readonly Finding[] {
  const onKernel = ports.some((port) => port.interface !== undefined);
  const hasKernelPort = ports.some((port) => port.hasKernelPort);
  return [checkCapabilities(facts, onKernel || hasKernelPort), ...checkTools(facts, onKernel, hasKernelPort)];
}

function checkCapabilities({ capabilities, isContainer }: HostFacts, network: boolean): Finding {
  if (capabilities === undefined) return ok('capabilities', 'not told by this system');
  const wanted = Object.entries(bits).filter(([name]) => network || name === 'CAP_IPC_LOCK');
  const missing = wanted.filter(([, bit]) => ((capabilities >> BigInt(bit)) & 1n) === 0n).map(([name]) => name);
  if (missing.length === 0) return ok('capabilities', wanted.map(([name]) => name).join(', '));
  const change = isContainer
    ? `docker run ${missing.map((name) => `--cap-add ${name.replace('CAP_', '')}`).join(' ')}`
    : 'run this, and the director, as root';
  return problem(
    'capabilities',
    `without ${missing.join(', ')}`,
    'ports cannot be opened, memory cannot be kept',
    change,
  );
}

function checkTools({ hasNft, hasTun }: HostFacts, onKernel: boolean, hasKernelPort: boolean): readonly Finding[] {
  const findings: Finding[] = [];
  if (onKernel)
    findings.push(
      hasNft
        ? ok('nftables', 'there')
        : problem(
            'nftables',
            'no nft command',
            'it silences the kernel on the ports’ interfaces',
            'apt-get install nftables',
          ),
    );
  if (hasKernelPort)
    findings.push(
      hasTun
        ? ok('/dev/net/tun', 'there')
        : warning(
            '/dev/net/tun',
            'not there',
            'kernel ports are made by it',
            'modprobe tun; in a container, --device /dev/net/tun',
          ),
    );
  return findings;
}
