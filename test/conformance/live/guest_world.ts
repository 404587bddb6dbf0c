// SPDX-License-Identifier: Apache-2.0
// The network of a scenario around the kernel in the guest: what World is for Fulcrum. Here time is real, and what
// changes the surroundings is done with the usual tools.

import type { Device, Frame } from '../frames.js';
import { type Json, type ScenarioEvent, splitWords } from '../scenario.js';
import type { CommandResult } from '../world.js';
import { etherHeader } from '../world.js';
import { gatewayMac, macOfServer, portMacs, routerMac, virtualAddresses } from '../world_plan.js';
import type { AgentLine } from './line.js';

const ipv4Servers = Array.from({ length: 20 }, (_, index) => 11 + index);
const ipv6Servers = [0xb, 0xc, 0xd, 0xe, 0xf];

/** Written before the interfaces get their addresses. */
const settings: Readonly<Record<string, string>> = {
  'ipv4/ip_forward': '1',
  'ipv4/icmp_ratelimit': '0',
  'ipv4/conf/all/rp_filter': '0',
  'ipv4/conf/default/rp_filter': '0',
  'ipv4/conf/all/send_redirects': '0',
  'ipv4/conf/default/send_redirects': '0',
  // Answers of DR and TUN servers come from a virtual address. It is also the director's own here: as a forwarder it
  // would take them for forged before LVS sees them.
  'ipv4/conf/all/accept_local': '1',
};

const ipv6Settings: Readonly<Record<string, string>> = {
  'ipv6/conf/all/forwarding': '1',
  'ipv6/icmp/ratelimit': '0',
  'ipv6/conf/default/accept_dad': '0',
  'ipv6/conf/default/dad_transmits': '0',
  'ipv6/conf/default/router_solicitations': '0',
  'ipv6/conf/default/accept_ra': '0',
};

function networkCommands(isIpv6: boolean): readonly string[] {
  const interfaces = (['cl', 'rs'] as const).map((dev) => `link set ${dev} address ${portMacs[dev]} addrgenmode none`);
  return [
    'link set lo up',
    ...interfaces,
    'link set cl up',
    'link set rs up',
    'addr add 10.0.1.1/24 dev cl',
    'addr add 10.0.2.1/24 dev rs',
    ...virtualAddresses(false).map((address) => `addr add ${address}/32 dev lo`),
    neighbor('10.0.1.254', gatewayMac, 'cl'),
    neighbor('10.0.2.254', routerMac, 'rs'),
    ...ipv4Servers.map((last) => neighbor(`10.0.2.${last}`, macOfServer(last), 'rs')),
    'route add default via 10.0.1.254',
    'route add 10.0.3.0/24 via 10.0.2.254',
    ...(isIpv6 ? ipv6Commands() : []),
  ];
}

function ipv6Commands(): readonly string[] {
  return [
    'addr add 2001:db8:1::1/64 dev cl nodad',
    'addr add 2001:db8:2::1/64 dev rs nodad',
    ...virtualAddresses(true)
      .filter((address) => address.includes(':'))
      .map((address) => `addr add ${address}/128 dev lo nodad`),
    neighbor('2001:db8:1::fe', gatewayMac, 'cl'),
    ...ipv6Servers.map((last) => neighbor(`2001:db8:2::${last.toString(16)}`, macOfServer(last), 'rs')),
    'route add ::/0 via 2001:db8:1::fe',
  ];
}

function neighbor(address: string, mac: string, dev: Device): string {
  return `neigh add ${address} lladdr ${mac} dev ${dev} nud permanent`;
}

export class GuestWorld {
  readonly #line: AgentLine;
  readonly #came: Frame[] = [];

  private constructor(line: AgentLine) {
    this.#line = line;
  }

  /** A network of its own for one scenario; the one before is forgotten. */
  static async start(line: AgentLine, isIpv6: boolean): Promise<GuestWorld> {
    const world = new GuestWorld(line);
    await line.newWorld();
    const all = { ...settings, ...(isIpv6 ? ipv6Settings : { 'ipv6/conf/all/disable_ipv6': '1' }) };
    for (const [name, value] of Object.entries(all)) await line.writeFile(`/proc/sys/net/${name}`, value);
    const { rc, stderr } = await line.run(['ip', '-batch', '-'], networkCommands(isIpv6).join('\n'));
    if (rc !== 0) throw new Error(`the guest's network: ip: ${stderr.trim()}`);
    await world.drain();
    return world;
  }

  /** The guest's clock, in milliseconds. */
  get now(): number {
    return this.#line.now;
  }

  /** All lines at once, as from a file. */
  async configure(lines: readonly string[]): Promise<void> {
    const { rc, stderr } = await this.ipvsadm(['-R'], `${lines.join('\n')}\n`);
    if (rc !== 0 || stderr !== '') throw new Error(`ipvsadm -R: status ${rc}: ${stderr.trim()}`);
  }

  async ipvsadm(words: readonly string[], stdin = ''): Promise<CommandResult> {
    return await this.#line.run(['ipvsadm', ...words], stdin);
  }

  async inject(dev: Device, packets: readonly Buffer[], isMulticast = false): Promise<void> {
    const frames = packets.map((packet) => Buffer.concat([etherHeader(dev, packet, isMulticast), packet]));
    this.#came.push(...(await this.#line.inject(dev, frames)));
  }

  async drain(): Promise<readonly Frame[]> {
    this.#came.push(...(await this.#line.wait(0)));
    return this.#came.splice(0).filter((frame) => !isHousekeeping(frame));
  }

  async advance(milliseconds: number): Promise<void> {
    this.#came.push(...(await this.#line.wait(milliseconds)));
  }

  /** The outcome of an event that changes the surroundings; undefined if it is not one. */
  async change(event: ScenarioEvent): Promise<Json | undefined> {
    switch (event.op) {
      case 'sysctl':
        await this.#line.writeFile(settingPath(String(event.key)), String(event.value));
        return {};
      case 'fwmark': {
        const isIpv6 = /[0-9a-f]*:[0-9a-f]*:/.test(String(event.match)); // and not a range of ports
        const tool = isIpv6 ? 'ip6tables-legacy' : 'iptables-legacy';
        const rule = `-t mangle -A PREROUTING ${event.match} -j MARK --set-mark ${event.mark}`;
        return { rc: (await this.#line.run([tool, '-w', ...splitWords(rule)])).rc };
      }
      case 'ip':
        return { rc: (await this.#line.run(['ip', ...splitWords(String(event.args))])).rc };
      case 'mtu':
        await this.#line.run(['ip', 'link', 'set', String(event.dev), 'mtu', String(event.mtu)]);
        return {};
      default:
        return undefined;
    }
  }
}

function settingPath(key: string): string {
  return key.includes('/') ? `/proc/sys/${key}` : `/proc/sys/net/ipv4/vs/${key}`;
}

/** Multicast listener reports: the kernel's own, about the addresses that it was just given. */
function isHousekeeping({ etherType, packet }: Frame): boolean {
  if (etherType !== 0x86dd || packet.length < 48) return false;
  const isHopByHop = packet[6] === 0;
  const type = packet[isHopByHop ? 48 : 40] ?? 0;
  return isHopByHop ? type === 131 || type === 132 || type === 143 : packet[6] === 58 && type === 133;
}
