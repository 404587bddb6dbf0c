// SPDX-License-Identifier: Apache-2.0

import test from 'ava';
import { parseConfig } from '../../../src/config/parse.js';
import { configuration, serverAddress, servers, services } from '../../../src/lab/plan.js';
import { Tally } from '../../../src/lab/tally.js';

const machine = (cpus: readonly number[]) => ({ cpus, kernelInterfaces: ['wan0', 'lan0'], pciDevices: [] });

test("the lab's configuration is one that fulcrum up takes", (t) => {
  const cpus = [0, 1, 2];
  const { start, services: configured } = parseConfig(configuration(3, cpus), 'lab.yaml', machine(cpus));
  t.deepEqual(start.housekeepingCpus, [0]);
  t.deepEqual(start.workerCpus, [1, 2, 1]);
  t.deepEqual(
    configured?.services?.map((service) => [service.key?.address, service.spec?.scheduler, service.servers?.length]),
    services.map(({ vip, scheduler }) => [vip, scheduler, servers.length]),
  );
  for (const [at, service] of services.entries())
    t.deepEqual(
      configured?.services?.[at]?.servers?.map((server) => [server.key?.address, server.spec?.weight]),
      servers.map((server, index) => [serverAddress(server, service), service.weights[index]]),
    );
});

test('with one CPU workers share it with housekeeping', (t) => {
  t.deepEqual(parseConfig(configuration(2, [5]), 'lab.yaml', machine([5])).start.workerCpus, [5, 5]);
});

test('a tally counts by service and server, and failures apart', (t) => {
  const tally = new Tally();
  tally.add({ service: 'nat', server: 'rs1' });
  tally.add({ service: 'nat', server: 'rs1' });
  tally.add({ service: 'nat', server: 'rs3' });
  tally.add({ service: 'nat6', server: 'rs2' });
  tally.add({ service: 'tun', error: 'connect ECONNREFUSED' });
  tally.add({ service: 'tun', server: 'somebody else' });
  t.deepEqual(tally.json(), {
    nat: { requests: 3, failed: 0, servers: { rs1: 2, rs2: 0, rs3: 1 } },
    dr: { requests: 0, failed: 0, servers: { rs1: 0, rs2: 0, rs3: 0 } },
    tun: { requests: 2, failed: 2, servers: { rs1: 0, rs2: 0, rs3: 0 } },
    nat6: { requests: 1, failed: 0, servers: { rs1: 0, rs2: 1, rs3: 0 } },
    dr6: { requests: 0, failed: 0, servers: { rs1: 0, rs2: 0, rs3: 0 } },
    tun6: { requests: 0, failed: 0, servers: { rs1: 0, rs2: 0, rs3: 0 } },
  });
  t.deepEqual(tally.failures(), ['tun: 2 failed, the last one: answered by "somebody else"']);
  t.is(tally.failed, 2);
  t.deepEqual(tally.table(), [
    'SERVICE  VIP             SCHEDULER  REQUESTS  FAILED  rs1  rs2  rs3',
    'nat      203.0.113.10    rr                3       0    2    0    1',
    'dr       203.0.113.20    wrr 3,2,1         0       0    0    0    0',
    'tun      203.0.113.30    wlc               2       2    0    0    0',
    'nat6     2001:db8:1::10  rr                1       0    0    1    0',
    'dr6      2001:db8:1::20  wrr 3,2,1         0       0    0    0    0',
    'tun6     2001:db8:1::30  wlc               0       0    0    0    0',
  ]);
});
