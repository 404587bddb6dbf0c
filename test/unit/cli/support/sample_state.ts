// SPDX-License-Identifier: Apache-2.0
// A table of services, servers and connections in which every column and flag of the listings occurs. The fixtures
// are what a real ipvsadm printed for it.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseServicesFile } from '../../../../src/cli/ipvsadm/names.js';
import { parseEndpoint, parseServiceKey } from '../../../../src/config/keys.js';
import type { Connection__Output } from '../../../../src/generated/fulcrum/v1/Connection.js';
import type { ServerSpec__Output } from '../../../../src/generated/fulcrum/v1/ServerSpec.js';
import type { ServerStatistics__Output } from '../../../../src/generated/fulcrum/v1/ServerStatistics.js';
import type { ServiceSpec__Output } from '../../../../src/generated/fulcrum/v1/ServiceSpec.js';
import type { ServiceStatistics__Output } from '../../../../src/generated/fulcrum/v1/ServiceStatistics.js';
import type { VirtualService__Output } from '../../../../src/generated/fulcrum/v1/VirtualService.js';
import { projectRoot } from '../../../../src/grpc/loader.js';

export const tableSize = '4096';

export function fixture(name: string): string {
  return readFileSync(join(projectRoot, 'test/unit/cli/fixtures', name), 'utf8');
}

export const portNames = parseServicesFile(fixture('services.txt'));

interface SampleServer {
  readonly address: string;
  readonly method?: 'NAT' | 'DR' | 'TUN';
  readonly spec?: Partial<ServerSpec__Output>;
  /** active, inactive, persistent */
  readonly connections?: readonly [number, number, number?];
  /** connections, packets in and out, bytes in and out */
  readonly counters?: readonly [number, number, number, number, number];
  /** likewise per second */
  readonly rates?: readonly [number, number, number, number, number];
}

interface SampleService {
  readonly address: string;
  /** Not the sum of the servers': each is smoothed by itself. */
  readonly rates?: readonly [number, number, number, number, number];
  readonly spec: Partial<ServiceSpec__Output>;
  readonly servers: readonly SampleServer[];
}

const gue = { tunnelType: 'TUNNEL_TYPE_GUE', tunnelPort: 6080, tunnelChecksum: 'TUNNEL_CHECKSUM_CSUM' } as const;
const gre = { tunnelType: 'TUNNEL_TYPE_GRE', tunnelChecksum: 'TUNNEL_CHECKSUM_CSUM' } as const;
const ipip = { tunnelType: 'TUNNEL_TYPE_IPIP' } as const;

/** In the order in which an unsorted listing shows them. */
const sample: readonly SampleService[] = [
  {
    address: 'sctp:192.0.2.2:36412',
    spec: { scheduler: 'lc' },
    servers: [{ address: '10.0.2.11:36412', method: 'NAT' }],
  },
  {
    address: 'udp:192.0.2.1:53',
    rates: [1, 1, 0, 18, 0],
    spec: { scheduler: 'rr', onePacket: true },
    servers: [
      { address: '10.0.2.12:53', method: 'NAT', counters: [3, 3, 0, 87, 0], rates: [0, 0, 0, 11, 0] },
      { address: '10.0.2.11:53', method: 'NAT', counters: [2, 2, 0, 58, 0], rates: [0, 0, 0, 7, 0] },
    ],
  },
  {
    address: 'tcp:192.0.2.1:21',
    rates: [0, 0, 0, 10, 0],
    spec: { scheduler: 'rr', persistenceTimeoutS: 360, persistencePrefix: 24 },
    servers: [
      {
        address: '10.0.2.11:21',
        method: 'NAT',
        connections: [2, 0, 1],
        counters: [2, 2, 0, 80, 0],
        rates: [0, 0, 0, 10, 0],
      },
    ],
  },
  {
    address: 'tcp:192.0.2.4:0',
    rates: [0, 0, 0, 10, 0],
    spec: { scheduler: 'wlc', persistenceTimeoutS: 300 },
    servers: [
      {
        address: '10.0.2.11:0',
        method: 'NAT',
        connections: [2, 0, 1],
        counters: [2, 2, 0, 80, 0],
        rates: [0, 0, 0, 10, 0],
      },
    ],
  },
  {
    address: 'tcp:192.0.2.3:80',
    rates: [0, 0, 0, 10, 0],
    spec: { scheduler: 'mh', schedulerFlags: 3 },
    servers: [
      { address: '10.0.3.12:80', method: 'TUN', spec: ipip },
      {
        address: '10.0.3.11:80',
        method: 'TUN',
        spec: gre,
        connections: [1, 0],
        counters: [1, 1, 0, 40, 0],
        rates: [0, 0, 0, 5, 0],
      },
      {
        address: '10.0.3.10:80',
        method: 'TUN',
        spec: gue,
        connections: [1, 0],
        counters: [1, 1, 0, 40, 0],
        rates: [0, 0, 0, 5, 0],
      },
    ],
  },
  {
    address: 'tcp:192.0.2.1:80',
    rates: [1, 3, 0, 130, 0],
    spec: { scheduler: 'wrr' },
    servers: [
      {
        address: '10.0.3.10:80',
        method: 'TUN',
        spec: { ...ipip, weight: 2 },
        connections: [3, 1],
        counters: [4, 9, 0, 360, 0],
        rates: [0, 1, 0, 45, 0],
      },
      {
        address: '10.0.2.12:80',
        method: 'DR',
        spec: { upperThreshold: 1000, lowerThreshold: 800 },
        connections: [1, 1],
        counters: [2, 5, 0, 200, 0],
        rates: [0, 1, 0, 25, 0],
      },
      {
        address: '10.0.2.11:80',
        method: 'DR',
        spec: { weight: 3 },
        connections: [3, 2],
        counters: [5, 12, 0, 480, 0],
        rates: [1, 1, 0, 60, 0],
      },
    ],
  },
  {
    address: 'tcp:192.0.2.1:443',
    rates: [0, 1, 1, 60, 30],
    spec: { scheduler: 'sh', schedulerFlags: 3, persistenceTimeoutS: 600 },
    servers: [
      { address: '10.0.2.12:8443', method: 'NAT', spec: { weight: 0 } },
      {
        address: '10.0.2.11:8443',
        method: 'NAT',
        connections: [2, 2, 1],
        counters: [4, 12, 6, 480, 240],
        rates: [0, 1, 1, 60, 30],
      },
    ],
  },
  {
    address: 'tcp:[2001:db8:ff::1]:80',
    rates: [0, 0, 0, 30, 15],
    spec: { scheduler: 'rr', persistenceTimeoutS: 300, persistencePrefix: 64 },
    servers: [
      {
        address: '[2001:db8:2::c]:8080',
        method: 'NAT',
        connections: [2, 0, 1],
        counters: [2, 4, 2, 240, 120],
        rates: [0, 0, 0, 30, 15],
      },
      { address: '[2001:db8:2::b]:80', method: 'DR' },
    ],
  },
  {
    address: 'udp:192.0.2.1:5060',
    rates: [0, 0, 0, 21, 0],
    spec: { scheduler: 'rr', persistenceTimeoutS: 60, persistenceEngine: 'sip' },
    servers: [
      {
        address: '10.0.2.13:5060',
        method: 'NAT',
        connections: [0, 1, 1],
        counters: [1, 1, 0, 168, 0],
        rates: [0, 0, 0, 21, 0],
      },
    ],
  },
  { address: 'fwmark:7', spec: { scheduler: 'lblc' }, servers: [{ address: '10.0.2.11:0', method: 'DR' }] },
  { address: 'fwmark:8:ipv6', spec: { scheduler: 'rr' }, servers: [] },
];

const noSpec: ServiceSpec__Output = {
  scheduler: '',
  schedulerFlags: 0,
  persistenceTimeoutS: 0,
  persistencePrefix: 0,
  persistenceEngine: '',
  onePacket: false,
};

function serverKey(text: string): { address: string; port: number } {
  const { address, port = 0 } = parseEndpoint(text);
  return { address, port };
}

function serverSpec(server: SampleServer): ServerSpec__Output {
  return {
    method: `FORWARDING_METHOD_${server.method ?? 'DR'}`,
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    tunnelType: 'TUNNEL_TYPE_UNSPECIFIED',
    tunnelPort: 0,
    tunnelChecksum: 'TUNNEL_CHECKSUM_UNSPECIFIED',
    ...server.spec,
  };
}

export const services: readonly VirtualService__Output[] = sample.map(({ address, spec, servers }) => ({
  key: parseServiceKey(address),
  spec: { ...noSpec, ...spec },
  etag: '',
  health: null,
  pool: [],
  traffic: null,
  servers: servers.map((server) => ({
    key: serverKey(server.address),
    spec: serverSpec(server),
    etag: '',
    health: null,
    condition: null,
    drain: null,
  })),
}));

type Numbers = readonly [number, number, number, number, number];

function countersOf([connections, inPackets, outPackets, inBytes, outBytes]: Numbers) {
  return {
    connections: String(connections),
    inPackets: String(inPackets),
    outPackets: String(outPackets),
    inBytes: String(inBytes),
    outBytes: String(outBytes),
  };
}

function serverStatistics(server: SampleServer): ServerStatistics__Output {
  const [active, inactive, persistent = 0] = server.connections ?? [0, 0];
  return {
    key: serverKey(server.address),
    counters: countersOf(server.counters ?? [0, 0, 0, 0, 0]),
    activeConnections: String(active),
    inactiveConnections: String(inactive),
    persistentConnections: String(persistent),
    answers: null,
    rates: countersOf(server.rates ?? [0, 0, 0, 0, 0]),
  };
}

function sum(servers: readonly SampleServer[]): Numbers {
  const column = (at: number): number => servers.reduce((total, server) => total + (server.counters?.[at] ?? 0), 0);
  return [column(0), column(1), column(2), column(3), column(4)];
}

export const statistics: readonly ServiceStatistics__Output[] = sample.map(({ address, rates, servers }) => ({
  key: parseServiceKey(address),
  counters: countersOf(sum(servers)),
  servers: servers.map(serverStatistics),
  rates: countersOf(rates ?? [0, 0, 0, 0, 0]),
  openConnections: '0',
  refusals: null,
}));

/** "TCP 57 SYN_RECV client virtual server", seconds left; then engine and data, if any. */
const connectionRows = `
TCP 57 SYN_RECV 198.51.100.1:20000 192.0.2.4:8080 10.0.2.11:8080
TCP 57 SYN_RECV 198.51.100.1:20000 192.0.2.3:80 10.0.3.11:80
TCP 897 ESTABLISHED 198.51.100.1:20000 192.0.2.1:80 10.0.3.10:80
TCP 897 ESTABLISHED 198.51.100.2:5000 192.0.2.1:443 10.0.2.11:8443
TCP 597 ASSURED 198.51.100.2:0 192.0.2.1:443 10.0.2.11:8443
TCP 297 NONE 198.51.100.1:0 192.0.2.4:0 10.0.2.11:0
TCP 117 TIME_WAIT 198.51.100.2:6000 192.0.2.1:443 10.0.2.11:8443
TCP 897 ESTABLISHED [2001:db8:aa::1]:1001 [2001:db8:ff::1]:80 [2001:db8:2::c]:8080
TCP 57 SYN_RECV 198.51.100.3:7001 192.0.2.1:21 10.0.2.11:21
TCP 897 ESTABLISHED 198.51.100.1:20003 192.0.2.1:80 10.0.2.11:80
UDP 57 NONE 198.51.100.1:0 192.0.2.1:5060 10.0.2.13:5060 sip abc@host
TCP 897 ESTABLISHED 198.51.100.1:20006 192.0.2.1:80 10.0.3.10:80
UDP 297 UDP 198.51.100.1:5060 192.0.2.1:5060 10.0.2.13:5060
TCP 117 FIN_WAIT 198.51.100.9:4000 192.0.2.1:80 10.0.2.12:80
TCP 357 NONE 198.51.100.0:0 192.0.2.1:0 10.0.2.11:0
TCP 57 SYN_RECV 198.51.100.3:7000 192.0.2.1:21 10.0.2.11:21
TCP 117 FIN_WAIT 198.51.100.9:4002 192.0.2.1:80 10.0.2.11:80
TCP 297 ASSURED [2001:db8:aa::]:0 [2001:db8:ff::1]:80 [2001:db8:2::c]:8080
TCP 7 CLOSE 198.51.100.77:1 192.0.2.1:80 10.0.3.10:80
TCP 897 ESTABLISHED 198.51.100.1:20005 192.0.2.1:80 10.0.2.11:80
TCP 117 TIME_WAIT 198.51.100.2:6001 192.0.2.1:443 10.0.2.11:8443
TCP 57 SYN_RECV 198.51.100.1:20001 192.0.2.4:8080 10.0.2.11:8080
TCP 57 SYN_RECV 198.51.100.1:20001 192.0.2.3:80 10.0.3.10:80
TCP 897 ESTABLISHED 198.51.100.1:20001 192.0.2.1:80 10.0.2.12:80
TCP 897 ESTABLISHED 198.51.100.1:20002 192.0.2.1:80 10.0.2.11:80
TCP 897 ESTABLISHED 198.51.100.1:20004 192.0.2.1:80 10.0.3.10:80
TCP 897 ESTABLISHED [2001:db8:aa::1]:1000 [2001:db8:ff::1]:80 [2001:db8:2::c]:8080
TCP 117 FIN_WAIT 198.51.100.9:4001 192.0.2.1:80 10.0.2.11:80
TCP 897 ESTABLISHED 198.51.100.2:5001 192.0.2.1:443 10.0.2.11:8443
`;

function connectionOf(row: string): Connection__Output {
  const [protocol = '', seconds = '', state = '', client = '', virtual = '', server = '', engine = '', data = ''] =
    row.split(' ');
  const [from, to, served] = [client, virtual, server].map(serverKey);
  return {
    protocol: protocol === 'UDP' ? 'PROTOCOL_UDP' : 'PROTOCOL_TCP',
    clientAddress: from?.address ?? '',
    clientPort: from?.port ?? 0,
    virtualAddress: to?.address ?? '',
    virtualPort: to?.port ?? 0,
    serverAddress: served?.address ?? '',
    serverPort: served?.port ?? 0,
    state,
    // Not a whole second: the listing shows the seconds that are left in full.
    expiresMs: Number(seconds) * 1000 + 900,
    method: 'FORWARDING_METHOD_NAT',
    active: state === 'ESTABLISHED',
    worker: 0,
    fwmark: 0,
    masqueraded: false,
    persistenceEngine: engine,
    persistenceData: data,
    inPackets: '1',
  };
}

export const connections: readonly Connection__Output[] = connectionRows.trim().split('\n').map(connectionOf);
