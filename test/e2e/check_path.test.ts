// SPDX-License-Identifier: Apache-2.0
// Servers that are well on their own address and do not serve on the VIP: checks that go the client's way find each,
// name what is wrong, and see it come right.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { formatEndpoint } from '../../src/config/keys.js';
import { thisMachine } from '../../src/config/machine.js';
import type { DirectorClient } from '../../src/grpc/client.js';
import {
  cpusText,
  director,
  families,
  type LabService,
  legs,
  packetDevice,
  serverAddress,
  servers,
  services,
} from '../../src/lab/plan.js';
import { parseEntry } from '../../src/supervisor/child.js';
import { Scene } from '../support/scene.js';

const intervalMs = 250;
const timeoutMs = 1_000;
const fall = 2;
/** A try that is not answered ends with its time. The rest is for a machine that is busy. */
const detectionMs = fall * (intervalMs + timeoutMs) + 1_500;

const port = (number: number, name: string, addresses: readonly string[], kernel: string): string =>
  `  ${name}: { device: "${packetDevice(number, `${name}0`)}", ${kernel}interfaces: [{ addresses: [${addresses.map((text) => `"${text}"`).join(', ')}] }] }\n`;

const check = `{ type: http, via: vip, interval: ${intervalMs / 1000}, timeout: ${timeoutMs / 1000}, fall: ${fall}, warmup: 0 }`;

function servicesText(): string {
  const text = (service: LabService): string => {
    const lines = servers.map(
      (server) =>
        `      - { address: "${formatEndpoint(serverAddress(server, service), 80)}", method: ${service.method} }\n`,
    );
    return `  - address: "tcp:${formatEndpoint(service.vip, 80)}"
    scheduler: rr
    health: { checks: [${check}] }
    servers:\n${lines.join('')}`;
  };
  return `services:\n${services.map(text).join('')}`;
}

/** With an interface of the kernel on both sides. */
const configuration = (
  workers: number,
): string => `${cpusText(workers, thisMachine().cpus)}memory: { hugepages: off, connections: 65536 }
idle: sleep
ports:
${port(0, 'wan', legs(director.wan, director.wan6), 'kernel: { name: fk0 }, ')}${port(1, 'lan', legs(director.lan, director.lan6), 'kernel: { name: fk1 }, ')}`;

/** What happens from the first line on, which says no more than that. */
async function* happenings(api: DirectorClient): AsyncGenerator<string> {
  for await (const { happened: event, endOfSnapshot } of api.watch({})) {
    if (endOfSnapshot) yield 'watching';
    if (event) yield `${event.kind}: ${event.message}`;
  }
}

async function watching(api: DirectorClient): Promise<AsyncGenerator<string>> {
  const events = happenings(api);
  await events.next();
  return events;
}

/** Reads on to the event; what comes of any other server before it, but for those that may, is wrong. */
async function happened(events: AsyncGenerator<string>, wanted: string, may = ''): Promise<void> {
  const seen: string[] = [];
  for (;;) {
    const { value, done } = await events.next();
    if (done) throw new Error(`the stream ended without ${wanted}: ${seen.join('; ')}`);
    if (value === wanted) return;
    seen.push(value);
    const isAllowed = may !== '' && value.includes(may);
    if (/^server_/.test(value) && !isAllowed) throw new Error(`${value}, not ${wanted}`);
  }
}

interface Fault {
  readonly service: string;
  readonly server: string;
  readonly host: string;
  readonly breakIt: string;
  readonly mendIt: string;
  readonly question: string;
  /** A service that it is the matter of, too. */
  readonly other?: string;
}

/** Stops what takes tunnel packets apart: the kernel's device, or the process that stands for it. */
const decapsulation = (signal: string, state: string): string =>
  `pids=$(for pid in $(ip netns pids "$(ip netns identify)"); do
     tr '\\0' ' ' < /proc/$pid/cmdline | grep -q '[d]ecapsulate.py ipip0' && echo $pid || true; done)
   if [ -n "$pids" ]; then kill -${signal} $pids; else ip link set ipip0 ${state}; fi`;

const faults: readonly Fault[] = [
  {
    service: '203.0.113.20',
    server: '10.0.0.11',
    host: 'rs1',
    breakIt: 'ip address del 203.0.113.20/32 dev lo',
    mendIt: 'ip address add 203.0.113.20/32 dev lo',
    question: 'is the VIP on lo, arp_ignore set?',
  },
  {
    service: '203.0.113.30',
    server: '10.0.0.12',
    host: 'rs2',
    breakIt: decapsulation('STOP', 'down'),
    mendIt: decapsulation('CONT', 'up'),
    question: 'does it decapsulate?',
    // The same process.
    other: '[2001:db8:1::30]:80',
  },
  {
    service: '203.0.113.10',
    server: '10.0.0.13',
    host: 'rs3',
    breakIt: 'ip route replace default via 10.0.0.12 dev lan table 100',
    mendIt: `ip route replace default via ${director.lan} dev lan table 100`,
    question: 'is its gateway the director?',
  },
];

async function detects(t: ExecutionContext, scene: Scene, fault: Fault): Promise<void> {
  const api = scene.api();
  const events = await watching(api);
  const name = `TCP ${fault.service}:80 ${fault.server}:80`;
  const reason = `http: answers on its own address but not on the VIP: ${fault.question}`;
  const begun = performance.now();
  await scene.sh(fault.host, fault.breakIt);
  await happened(events, `server_down: ${name}: ${reason}`, fault.other);
  const tookMs = Math.round(performance.now() - begun);
  t.log(`${name}: found after ${tookMs} ms`);
  t.true(tookMs < detectionMs, `${tookMs} ms`);
  const listed = await scene.fulcrum(`server list tcp:${fault.service}:80`);
  const line = listed.split('\n').find((text) => text.includes(`${fault.server}:80`)) ?? '';
  t.regex(line, / out +down /);
  t.true(line.includes(reason), line);
  await scene.sh(fault.host, fault.mendIt);
  await happened(events, `server_up: ${name}`, fault.other);
  await allUp(api);
}

test.serial('what is wrong between the VIP and its servers is found and named', async (t) => {
  t.timeout(300_000);
  const scene = await Scene.lab(t);
  const file = join(scene.directory, 'services.yaml');
  writeFileSync(file, servicesText());
  // The lab's own director has no kernel port.
  const refused = await t.throwsAsync(scene.fulcrum(`config apply --file ${file} --dry-run`));
  t.regex(
    String(refused),
    /health\.checks\[0\]\.via: TCP 203\.0\.113\.10:80: no kernel port has an IPv4 address: the port of an interface that has one needs "kernel"/,
  );
  await scene.director.stop();
  await scene.startDirector('director', `${configuration(2)}${servicesText()}`);
  const api = scene.api();
  await allUp(api);
  for (const fault of faults) await detects(t, scene, fault);
  if (families.includes(6)) {
    const vip6 = services.find(({ name }) => name === 'dr6')?.vip ?? '';
    const events = await watching(api);
    await scene.sh('rs1', `ip -6 address del ${vip6}/128 dev lo`);
    const own = formatEndpoint(servers[0]?.lan6 ?? '', 80);
    await happened(
      events,
      `server_down: TCP ${formatEndpoint(vip6, 80)} ${own}: http: answers on its own address but not on the VIP: is the VIP on lo, arp_ignore set?`,
    );
    await scene.sh('rs1', `ip -6 address add ${vip6}/128 dev lo`);
    await happened(events, `server_up: TCP ${formatEndpoint(vip6, 80)} ${own}`);
  }
  // Hundreds of checks, and no client yet: nothing was counted.
  const { services: counted } = await api.getStatistics({});
  t.true(counted.length > 0);
  for (const { counters } of counted)
    t.deepEqual([counters?.connections, counters?.inPackets, counters?.outPackets], ['0', '0', '0']);
  t.is((await scene.ipvsadm('-Lnc')).split('\n').length, 2);
  t.is(await scene.sh('director', 'ss -Htn state time-wait "( sport >= :61000 )"'), '');
  await ledAgain(t, scene);
  // A host that has the VIP for itself cannot ask: that is nobody's failure.
  const events = await watching(api);
  await scene.sh('director', 'ip address add 203.0.113.20/32 dev lo');
  await scene.kill('dataplane');
  await happened(
    events,
    'checks_not_made: TCP 203.0.113.20:80: checks cannot be sent to the VIP: 203.0.113.20 is an address of this host: what it sends there does not leave it',
  );
  await allUp(api);
});

/** With an interface that goes down the kernel forgets which way the checks go. The director goes by none of these routes. */
async function ledAgain(t: ExecutionContext, scene: Scene): Promise<void> {
  const led = async (): Promise<string> => await scene.sh('director', 'ip -4 route show proto 241');
  const before = await led();
  t.regex(before, /^203\.0\.113\.20 /m);
  t.notRegex(await scene.fulcrum('route list'), /203\.0\.113\.\d+\/32/);
  const isUp = (line: string): boolean => parseEntry(line)?.kind === 'kernel_interface_up';
  const up = scene.director.task.line(isUp, 10_000);
  await scene.sh('director', 'ip link set fk0 down; ip link set fk0 up');
  await up;
  t.is(await led(), before);
  await allUp(scene.api());
}

/** Returns when every server has been found to be up. */
async function allUp(api: DirectorClient): Promise<void> {
  for (;;) {
    const { services: listed } = await api.listVirtualServices({});
    const states = listed.flatMap((service) => service.servers.map(({ condition }) => condition?.state));
    if (states.length > 0 && states.every((state) => state === 'SERVER_STATE_UP')) return;
  }
}
