// SPDX-License-Identifier: Apache-2.0
// What doctor finds on machines of several kinds, and of directors in several states.
import test from 'ava';
import type { StartConfig } from '../../../src/generated/fulcrum/dataplane/v1/StartConfig.js';
import { checkCertificate } from '../../../src/host/checks/certificates.js';
import { checkCpus } from '../../../src/host/checks/cpus.js';
import { checkDevices, checkInterfaces } from '../../../src/host/checks/devices.js';
import { checkDirector } from '../../../src/host/checks/director.js';
import { checkDrivers, gatherDrivers } from '../../../src/host/checks/drivers.js';
import { checkHugepages, checkLimits } from '../../../src/host/checks/memory.js';
import { checkGateways, checkPorts } from '../../../src/host/checks/ports.js';
import { checkNode, checkProcessor } from '../../../src/host/checks/processor.js';
import { checkRights } from '../../../src/host/checks/rights.js';
import { checkServices, routeTo } from '../../../src/host/checks/servers.js';
import { checkState } from '../../../src/host/checks/state.js';
import type { DirectorFacts } from '../../../src/host/director_facts.js';
import { gatherFacts, type HostFacts } from '../../../src/host/facts.js';
import type { Finding } from '../../../src/host/finding.js';
import { type Needs, needsOf } from '../../../src/host/needs.js';
import { bareMetal, container, fixtureHost, type Tree, virtualMachine } from './support/machines.js';

const said = (findings: readonly Finding[]): readonly string[] =>
  findings.map(({ level, subject, found }) => `${level} ${subject}: ${found}`);

async function known(tree: Tree, config: StartConfig): Promise<{ facts: HostFacts; needs: Needs }> {
  const facts = await gatherFacts(fixtureHost(tree));
  return { facts, needs: needsOf(config, facts) };
}

const polling: StartConfig = { idle: 'IDLE_POLICY_POLL', housekeepingCpus: [0] };

test('CPUs: overlap, threads of one core, isolation, governor, distance to the port', async (t) => {
  const tree = bareMetal();
  tree.files['/sys/devices/system/cpu/cpu5/cpufreq/scaling_governor'] = 'powersave';
  const device = { name: 'far', device: '0000:81:00.0' };
  const { facts, needs } = await known(tree, { ...polling, workerCpus: [0, 1, 5], ports: [device] });
  t.deepEqual(said(checkCpus(facts, needs)), [
    'problem CPUs of workers: 0 for housekeeping, too',
    'warning CPUs of workers: a worker on CPU 0',
    'warning CPUs of workers: 1,5 are threads of one core',
    'warning CPUs of workers: 0-1,5 not isolated',
    'warning CPUs of workers: governor powersave on 5',
    'note port far: on node 1, its workers on 0',
  ]);
  tree.files['/sys/devices/system/cpu/isolated'] = '1-3';
  const well = await known(tree, { ...polling, workerCpus: [2, 3], ports: [device] });
  t.deepEqual(said(checkCpus(well.facts, well.needs)), ['ok CPUs of workers: 2-3']);
});

test('memory: pages that are wanted, free, reserved; limits', async (t) => {
  const { facts, needs } = await known(bareMetal(), {
    ...polling,
    workerCpus: [1],
    ports: [{ name: 'a', device: '03:00.0' }],
  });
  const [must] = checkHugepages(facts, needs, true, false);
  t.like(must, { level: 'problem', change: 'fulcrum setup --config FILE --apply' });
  t.is(checkHugepages(facts, needs, false, false)[0]?.level, 'warning');
  t.deepEqual(said(checkLimits(facts, needs, false)), [
    'problem limit of locked memory: 8192 kB',
    'warning limit of open files: 1024',
  ]);
  t.deepEqual(said(checkLimits(facts, needs, true)), ['warning limit of open files: 1024']);
  const tree = bareMetal();
  const pages = '/sys/devices/system/node/node0/hugepages/hugepages-2048kB';
  tree.files[`${pages}/nr_hugepages`] = '1000';
  tree.files[`${pages}/free_hugepages`] = '0';
  const taken = await known(tree, { workerCpus: [1], ports: [{ name: 'a', device: '03:00.0' }] });
  t.is(checkHugepages(taken.facts, taken.needs, true, true)[0]?.level, 'ok');
  t.is(checkHugepages(taken.facts, taken.needs, true, false)[0]?.level, 'problem');
});

test('devices: IOMMU, drivers, interfaces of the kernel', async (t) => {
  const ports = ['0000:03:00.0', '0000:03:00.1', '0000:81:00.0', '0000:99:00.0'].map((device, index) => ({
    name: `p${index}`,
    device,
  }));
  const metal = await known(bareMetal(), { workerCpus: [1], ports });
  t.deepEqual(said(checkDevices(metal.facts, metal.needs)), [
    'ok IOMMU: on, 4 groups',
    'problem port p0: 0000:03:00.0, driver ixgbe, interface ens1f0 of the kernel',
    'ok port p1: 0000:03:00.1, driver vfio-pci',
    'ok port p2: 0000:81:00.0, driver mlx5_core',
    'problem port p3: no PCI device 0000:99:00.0',
  ]);
  const packet = (device: string) => ({ name: device, device: `net_af_packet0,iface=${device}` });
  const virtual = await known(virtualMachine(), { workerCpus: [1], ports: ['eth0', 'eth1', 'eth7'].map(packet) });
  t.deepEqual(said(checkInterfaces(virtual.facts, virtual.needs, true)), [
    'warning port eth0 on eth0: gro on',
    'problem port eth0 on eth0: the kernel has its default route there',
    "problem port eth1 on eth1: MTU 1400, the port's is 1500",
    'warning port eth1 on eth1: gro, tso on',
    'problem port eth7: no interface eth7 in this network namespace',
  ]);
  const direct = await known(virtualMachine(), { workerCpus: [1], ports: [{ name: 'a', device: '0000:00:04.0' }] });
  t.is(checkDevices(direct.facts, direct.needs)[0]?.level, 'problem');
});

test('rights and tools: a container without what it needs', async (t) => {
  const port = { name: 'wan', device: 'net_af_packet0,iface=wan0', kernel: { name: 'fk0' } };
  const { facts, needs } = await known(container(), { workerCpus: [1], ports: [port] });
  t.deepEqual(said(checkRights(facts, needs)), [
    'problem capabilities: without CAP_NET_ADMIN, CAP_IPC_LOCK',
    'problem nftables: no nft command',
    'warning /dev/net/tun: not there',
  ]);
  t.is(checkRights(facts, needs)[0]?.change, 'docker run --cap-add NET_ADMIN --cap-add IPC_LOCK');
  const metal = await known(bareMetal(), { workerCpus: [1], ports: [port] });
  t.true(checkRights(metal.facts, metal.needs).every(({ level }) => level === 'ok'));
});

test('processor, Node.js, DPDK, state directory, certificates', async (t) => {
  const facts = await gatherFacts(fixtureHost(bareMetal()));
  t.deepEqual(said(checkProcessor(facts)), ['ok CPU: has SSE4.2', 'ok clock: tsc']);
  const old = { ...facts, cpuFlags: new Set(['fpu']), clockSource: 'hpet' };
  t.deepEqual(said(checkProcessor(old)), ['problem CPU: without SSE4.2', 'warning clock: hpet']);
  t.is(checkNode('v20.19.0').level, 'ok');
  t.is(checkNode('v18.20.4').level, 'problem');
  const files = { '/usr/lib/x86_64-linux-gnu/dpdk/pmds-23.0/librte_net_ixgbe.so': '' };
  const drivers = gatherDrivers(fixtureHost({ files, links: {}, answers: {} }));
  t.deepEqual(said(checkDrivers(drivers, undefined)), ['ok DPDK: ABI 23.0, 1 drivers of network devices']);
  const packet = { ports: [{ name: 'a', device: 'net_af_packet0,iface=x' }] };
  t.deepEqual(said(checkDrivers(drivers, packet)), ['problem DPDK: without the driver net_af_packet']);
  t.is(checkDrivers([], packet)[0]?.level, 'warning');
  t.is(checkState({ directory: '/x', isWritable: false, freeMb: 9_000 }).level, 'problem');
  t.is(checkState({ directory: '/x', isWritable: true, freeMb: 20 }).level, 'warning');
  t.is(checkCertificate('a.crt', 'nonsense', 0).found, 'cannot be read as PEM');
});

const service = {
  protocol: 'PROTOCOL_TCP',
  address: '203.0.113.10',
  port: 80,
  fwmark: 0,
  family: 'ADDRESS_FAMILY_IPV4',
};

interface ServerSample {
  readonly address: string;
  readonly method?: string;
  readonly condition?: object | null;
  readonly weight?: number;
}

const serverOf = ({ address, method = 'NAT', condition = null, weight = 1 }: ServerSample): object => ({
  key: { address, port: 80 },
  spec: { method: `FORWARDING_METHOD_${method}`, weight, tunnelType: 'TUNNEL_TYPE_IPIP' },
  condition,
});

/** A director with one service; what is left out is well. */
function directorWith(
  servers: readonly ServerSample[],
  rest: Partial<Record<keyof DirectorFacts, unknown>> = {},
): DirectorFacts {
  const dataplane = {
    connected: true,
    generationWanted: '4',
    generationApplied: '4',
    overloads: [],
    disagreements: [],
    connections: '10',
    connectionCapacity: '1000',
    lastError: '',
  };
  return {
    status: { version: '1.0.0', pid: 7, dataplane },
    services: [{ key: service, servers: servers.map(serverOf), traffic: null }],
    statistics: [],
    verdicts: [],
    recent: new Map(),
    sampleMs: 1000,
    workers: [],
    neighbors: [],
    ports: [],
    routes: [
      { destination: '10.0.0.0/24', via: '', interface: 'lan', metric: 0 },
      { destination: '0.0.0.0/0', via: '203.0.113.254', interface: 'wan', metric: 0 },
    ],
    events: [],
    ...rest,
  } as unknown as DirectorFacts;
}

test('servers: DR behind a gateway, no route, nobody at the address, a narrow tunnel', (t) => {
  const ports = [{ interfaces: [{ name: 'lan', mtu: 1500 }] }];
  const neighbors = [{ address: '10.0.0.12', interface: 'lan', state: 'NEIGHBOR_STATE_FAILED' }];
  const facts = directorWith(
    [
      { address: '192.0.2.7', method: 'DR' },
      { address: '10.0.0.11', method: 'DR' },
      { address: '10.0.0.12', method: 'DR' },
      { address: '10.0.0.13', method: 'TUN' },
      { address: '2001:db8::1', method: 'NAT' },
    ],
    { ports, neighbors },
  );
  t.deepEqual(said(checkServices(facts)), [
    'note service tcp:203.0.113.10:80: DR or TUN, and no check goes the way of its clients',
    'problem server 192.0.2.7:80 of tcp:203.0.113.10:80: DR, and behind the gateway 203.0.113.254',
    'problem server 10.0.0.12:80 of tcp:203.0.113.10:80: 10.0.0.12 does not answer for its MAC on lan',
    'note server 10.0.0.13:80 of tcp:203.0.113.10:80: a tunnel over lan leaves 1480 of 1500 bytes',
    'problem server [2001:db8::1]:80 of tcp:203.0.113.10:80: no route leads to 2001:db8::1',
  ]);
  t.regex(checkServices(facts)[3]?.change ?? '', /--mss auto \(1440\), or an MTU of 1520 on lan/);
  t.is(routeTo(facts.routes, '10.0.0.1')?.interface, 'lan');
  t.deepEqual(said(checkServices(directorWith([{ address: '10.0.0.11' }]))), [
    'ok service tcp:203.0.113.10:80: 1 real servers, all well',
  ]);
});

test('servers: pools without anybody, health in its own words, NAT answers that do not come back', (t) => {
  t.deepEqual(said(checkServices(directorWith([]))), ['problem service tcp:203.0.113.10:80: has no real server']);
  const reason = 'http: answers on its own address but not on the VIP: is the VIP on lo, arp_ignore set?';
  const down = { state: 'SERVER_STATE_DOWN', reason, inPool: false, effectiveWeight: 0 };
  const sample = directorWith([{ address: '10.0.0.11', method: 'DR', condition: down }]);
  const health = { checks: [{ via: 'CHECK_VIA_VIP' }] };
  const services = sample.services.map((one) => ({ ...one, health }));
  const out = checkServices({ ...sample, services } as unknown as DirectorFacts);
  t.deepEqual(said(out), [
    `problem service tcp:203.0.113.10:80: none of 1 real servers takes anything (${reason})`,
    `problem server 10.0.0.11:80 of tcp:203.0.113.10:80: down: ${reason}`,
  ]);
  t.regex(out[1]?.change ?? '', /^on that server: the VIP on lo/);
  const answered = (inPackets: string, outPackets: string): readonly string[] =>
    said(
      checkServices(
        directorWith([{ address: '10.0.0.11' }], {
          statistics: [
            {
              key: service,
              servers: [{ key: { address: '10.0.0.11', port: 80 }, counters: { inPackets, outPackets } }],
            },
          ],
        }),
      ),
    );
  t.deepEqual(answered('50', '0'), [
    'problem server 10.0.0.11:80 of tcp:203.0.113.10:80: NAT: 50 packets in, none back',
  ]);
  t.is(answered('50', '1')[0]?.slice(0, 2), 'ok');
  t.is(answered('2', '0')[0]?.slice(0, 2), 'ok');
});

test('the director: its version, what is in force, fill, losses and what they mean, conflicts, ports, gateways', (t) => {
  const verdicts = [
    { verdict: 'neighbor_failed', packets: '12', drop: true },
    { verdict: 'client_denied', packets: '3', drop: true },
    { verdict: 'forwarded_nat', packets: '900', drop: false },
  ];
  const recent = new Map([
    ['neighbor_failed', 2],
    ['client_denied', 1],
    ['forwarded_nat', 9],
  ]);
  const well = directorWith([]);
  const dataplane = {
    ...well.status.dataplane,
    generationApplied: '3',
    connections: '900',
    overloads: [{ worker: 1, reason: 'table_full' }],
    disagreements: [{ worker: 1, difference: 'TCP 192.0.2.1:80: weight is 2, declared 3' }],
  };
  const ill = directorWith([], {
    status: { ...well.status, version: '0.9.0', dataplane },
    verdicts,
    recent,
    workers: [{ worker: 0, busyNs: '95', totalNs: '100' }],
    events: ['address_conflict: 203.0.113.10 is also at 02:00:00:00:00:09', 'port_up: wan'],
  });
  t.deepEqual(said(checkDirector(ill, '1.0.0')), [
    'warning director: runs 0.9.0, 1.0.0 is installed',
    'problem configuration: generation 3 is in force, 4 is wanted',
    'problem worker 1: overloaded: table_full',
    'problem worker 1: does not use what is declared: TCP 192.0.2.1:80: weight is 2, declared 3',
    'warning connection table: 900 of 1000 connections (90 %)',
    'warning worker 0: 95 % busy',
    'warning packets: 2 lost by neighbor_failed within 1 s, 12 in all',
    'note packets: 1 lost by client_denied within 1 s, 3 in all',
    'problem addresses: 203.0.113.10 is also at 02:00:00:00:00:09',
  ]);
  t.true(checkDirector(well, '1.0.0').every(({ level }) => level === 'ok'));
  const away = directorWith([], { status: { ...well.status, dataplane: { connected: false, lastError: 'ENOENT' } } });
  t.true(said(checkDirector(away, '1.0.0')).includes('problem dataplane: not connected: ENOENT'));
  const port = { name: 'wan', driver: 'net_ixgbe', linkUp: true, mtu: 1500, rxMissed: '0', rxNoBuffer: '0' };
  const lossy = { ...port, name: 'lan', rxMissed: '7' };
  const ports = [port, { ...port, linkUp: false }, lossy];
  t.deepEqual(said(checkPorts(directorWith([], { ports }))), [
    'ok port wan: net_ixgbe, link up, MTU 1500',
    'problem port wan: no link',
    'warning port lan: 7 packets missed by the device',
  ]);
  const silent = { neighbors: [{ address: '203.0.113.254', interface: 'wan', state: 'NEIGHBOR_STATE_INCOMPLETE' }] };
  t.is(checkGateways(directorWith([], silent))[0]?.level, 'problem');
  t.is(checkGateways(well)[0]?.level, 'ok');
});
