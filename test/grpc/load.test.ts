// SPDX-License-Identifier: Apache-2.0
// Weights that follow the servers' load, through a manager that runs: from a real agent, ORCA server and exporter to the
// dataplane, and what an operator sees of it.
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { ServerCondition__Output } from '../../src/generated/fulcrum/v1/ServerCondition.js';
import type { VirtualService } from '../../src/generated/fulcrum/v1/VirtualService.js';
import { OrcaServer } from '../unit/manager/load/support/sources.js';
import { runFulcrum } from './support/command.js';
import { failure, type Rig, startRig, tcp } from './support/director.js';

/** An agent that gives the test's answers, one to each question. */
class Agent {
  readonly #waiting: Socket[] = [];
  #asked: () => void = () => {};
  port = 0;

  static async start(t: ExecutionContext): Promise<Agent> {
    const agent = new Agent();
    const server = createServer((socket) => {
      socket.on('error', () => undefined).resume();
      agent.#waiting.push(socket);
      agent.#asked();
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    agent.port = (server.address() as AddressInfo).port;
    t.teardown(() => {
      for (const socket of agent.#waiting) socket.destroy();
      server.close();
    });
    return agent;
  }

  async says(text: string): Promise<void> {
    while (this.#waiting.length === 0)
      await new Promise<void>((resolve) => {
        this.#asked = resolve;
      });
    const socket = this.#waiting.shift() as Socket;
    if (socket.closed) return this.says(text);
    const closed = once(socket, 'close');
    socket.end(text);
    await closed;
  }
}

const key = tcp('192.0.2.1');

/** Two servers by NAT with that weight, whose address is this host's. */
function pool(health: VirtualService['health'], weight = 100): VirtualService {
  const spec = { method: 'FORWARDING_METHOD_NAT', weight } as const;
  return {
    key,
    spec: { scheduler: 'wrr' },
    servers: ['127.0.0.1', '127.0.0.2'].map((address) => ({ key: { address, port: 8080 }, spec })),
    health: health ?? null,
  };
}

const first = { address: '127.0.0.1', port: 8080 };

async function conditionOf({ client }: Rig): Promise<ServerCondition__Output> {
  const { server } = await client.getRealServer({ service: key, key: first });
  return server?.condition as ServerCondition__Output;
}

/** Of the first server, as the dataplane has it. */
const weight = ({ dataplane }: Rig): number | undefined =>
  dataplane.services.get('192.0.2.1:80')?.get('127.0.0.1:8080');

const weighs = (rig: Rig, wanted: number | undefined) => rig.dataplane.until(() => weight(rig) === wanted);

async function apply(rig: Rig, service: VirtualService): Promise<void> {
  await rig.client.apply({ configuration: { services: [service] } });
}

/** Asked for again until it is so: questions are asked by the clock. */
async function until<T>(read: () => Promise<T>, holds: (value: T) => boolean): Promise<T> {
  for (;;) {
    const value = await read();
    if (holds(value)) return value;
  }
}

test('an agent says 30%, drain, up 100%, garbage, nothing, half a line', async (t) => {
  const rig = await startRig(t);
  const agent = await Agent.start(t);
  const load = { agent: {}, port: agent.port, address: '127.0.0.1', intervalMs: 100, timeoutMs: 20_000 };
  const service = pool({});
  Object.assign(service.servers?.[0] ?? {}, { health: { load } });
  await apply(rig, service);
  await weighs(rig, 100);
  const problem = async (wanted: RegExp) =>
    (
      await until(
        () => conditionOf(rig),
        ({ load: found }) => wanted.test(found?.problem ?? ''),
      )
    ).load;

  await agent.says('30%\n');
  await weighs(rig, 30);
  t.like((await conditionOf(rig)).load, { percent: 30, reading: '30%', problem: '', admin: 'AGENT_ADMIN_READY' });
  await agent.says('drain\n');
  await weighs(rig, 0);
  t.like(await conditionOf(rig), { state: 'SERVER_STATE_DRAINING', reason: 'agent: drain', inPool: true });
  // It drained itself, so only it can end that.
  await agent.says('up 100%\n');
  await agent.says('ready\n');
  await weighs(rig, 100);
  await agent.says('30%\n');
  await weighs(rig, 30);
  const generation = rig.dataplane.generation;
  await agent.says('hello #world\n');
  t.like(await problem(/^does not know "hello"$/), { percent: 30, reading: '30%', lastReading: 'hello #world' });
  await agent.says('');
  t.like(await problem(/^connection closed without an answer$/), { percent: 30, reading: '30%' });
  await agent.says('90% dr');
  t.like(await problem(/^connection closed in the middle of a line$/), { percent: 30, reading: '30%' });
  await agent.says('75%x\n');
  t.like(await problem(/^"75%x" is not a percentage$/), { percent: 30 });
  t.is(rig.dataplane.generation, generation);
  t.is(weight(rig), 30);
  // The other server has no agent.
  t.is(rig.dataplane.services.get('192.0.2.1:80')?.get('127.0.0.2:8080'), 100);
});

test('a weight that follows the load is told of', async (t) => {
  const rig = await startRig(t);
  const agent = await Agent.start(t);
  const load = { agent: {}, port: agent.port, address: '127.0.0.1', intervalMs: 100, timeoutMs: 20_000 };
  const service = pool({});
  Object.assign(service.servers?.[0] ?? {}, { health: { load } });
  await apply(rig, service);
  const watching = rig.client.watch({})[Symbol.asyncIterator]();
  await watching.next();
  await agent.says('30%\n');
  for (;;) {
    const { value } = await watching.next();
    if (value?.happened?.kind !== 'weight_changed') continue;
    t.is(value.happened.message, 'TCP 192.0.2.1:80 127.0.0.1:8080: weight 100 → 30');
    break;
  }
  await watching.return?.();
});

test('down with a reason, maintenance, and slow start when it is over', async (t) => {
  const rig = await startRig(t);
  const agent = await Agent.start(t);
  const load = { agent: {}, port: agent.port, address: '127.0.0.1', intervalMs: 100, timeoutMs: 20_000 };
  const service = pool({ slowStartMs: 600 });
  Object.assign(service.servers?.[0] ?? {}, { health: { load } });
  await apply(rig, service);
  const events: string[] = [];
  const told = (async () => {
    for await (const { happened } of rig.client.watch({})) {
      if (happened && happened.kind !== 'weight_changed') events.push(`${happened.kind} ${happened.message}`);
      if (happened?.kind === 'agent_ready') return;
    }
  })();
  await agent.says('fail #disk full\n');
  await weighs(rig, undefined);
  t.like(await conditionOf(rig), { state: 'SERVER_STATE_DOWN', reason: 'agent: fail: disk full', inPool: false });
  const seen = new Set<number | undefined>();
  await agent.says('up\n');
  await rig.dataplane.until(() => {
    seen.add(weight(rig));
    return weight(rig) === 100;
  });
  t.true(seen.has(10));
  await agent.says('maint\n');
  await weighs(rig, undefined);
  t.like(await conditionOf(rig), { state: 'SERVER_STATE_DOWN', reason: 'agent: maint' });
  await agent.says('ready\n');
  await weighs(rig, 100);
  await told;
  const name = 'TCP 192.0.2.1:80 127.0.0.1:8080';
  t.deepEqual(events, [
    `server_down ${name}: agent: fail: disk full`,
    `server_up ${name}`,
    `server_down ${name}: agent: maint`,
    `agent_maint ${name}`,
    `server_up ${name}`,
    `agent_ready ${name}`,
  ]);
});

test('a slow start goes on while readings come', async (t) => {
  const rig = await startRig(t);
  const agent = await Agent.start(t);
  const load = { agent: {}, port: agent.port, address: '127.0.0.1', intervalMs: 100, timeoutMs: 20_000 };
  // A step is longer than the time between readings.
  const service = pool({ slowStartMs: 3000 });
  Object.assign(service.servers?.[0] ?? {}, { health: { load } });
  await apply(rig, service);
  await agent.says('down\n');
  await weighs(rig, undefined);
  await agent.says('up\n');
  let hasEnded = false;
  const chatter = async (): Promise<void> => {
    for (let reading = 0; !hasEnded; reading++) await agent.says(reading % 2 === 0 ? '90%\n' : '100%\n');
  };
  const chatting = chatter();
  await weighs(rig, 100);
  hasEnded = true;
  await chatting;
  await agent.says('100%\n');
  await weighs(rig, 100);
  t.is(weight(rig), 100);
});

test('checks pause in maintenance, and go on afterwards', async (t) => {
  const rig = await startRig(t);
  const agent = await Agent.start(t);
  let connections = 0;
  const server = createServer((socket) => {
    connections++;
    socket.on('error', () => undefined).resume();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const load = { agent: {}, port: agent.port, address: '127.0.0.1', intervalMs: 100, timeoutMs: 20_000 };
  const service = pool({ checks: [{ tcp: {}, intervalMs: 100, port, address: '127.0.0.1' }] });
  Object.assign(service.servers?.[0] ?? {}, { health: { load } });
  Object.assign(service.servers?.[1] ?? {}, { health: { checks: [{ tcp: {}, intervalMs: 86_400_000 }] } });
  await apply(rig, service);
  await agent.says('maint\n');
  await weighs(rig, undefined);
  // As many questions to the agent as intervals of the check go by.
  await agent.says('\n');
  const before = connections;
  for (let interval = 0; interval < 4; interval++) await agent.says('\n');
  t.is(connections, before);
  await agent.says('ready\n');
  await once(server, 'connection');
  await weighs(rig, 100);
});

test('what was said holds over a restart of the manager, and of the dataplane', async (t) => {
  const rig = await startRig(t);
  const agent = await Agent.start(t);
  const load = { agent: {}, port: agent.port, address: '127.0.0.1', intervalMs: 100, timeoutMs: 20_000 };
  const service = pool({});
  Object.assign(service.servers?.[0] ?? {}, { health: { load } });
  await apply(rig, service);
  await agent.says('30% maxconn:50\n');
  await weighs(rig, 30);
  await rig.restartManager();
  t.like((await conditionOf(rig)).load, { percent: 30, reading: '30% maxconn:50', maxConnections: 50 });
  await rig.dataplane.restart();
  await weighs(rig, 30);
  await agent.says('60%\n');
  await weighs(rig, 60);
  t.is((await conditionOf(rig)).load?.maxConnections, 50);
});

test('ORCA, and a metric that another server has of its own', async (t) => {
  const rig = await startRig(t);
  const orca = await OrcaServer.start(t);
  let busy = 5;
  const exporter = createHttpServer((_, response) => void response.end(`busy_workers ${busy}\n`)).listen(
    0,
    '127.0.0.1',
  );
  await once(exporter, 'listening');
  t.teardown(() => exporter.close());
  const place = { address: '127.0.0.1', smoothingMs: 0, deadBandPercent: 0 };
  const number = { prometheusMetric: 'busy_workers', path: '/metrics' };
  const { port } = exporter.address() as AddressInfo;
  const service = pool({ load: { ...place, orca: {}, port: orca.target.port } });
  Object.assign(service.servers?.[1] ?? {}, {
    health: { load: { ...place, number, port, busy: 10, intervalMs: 100 } },
  });
  await apply(rig, service);
  const stream = await orca.stream();
  stream.write({ applicationUtilization: 0.5 });
  const outline = (one: number, two: number) => `192.0.2.1:80: 127.0.0.1:8080=${one} 127.0.0.2:8080=${two}`;
  const has = (one: number, two: number) => rig.dataplane.until(() => rig.dataplane.outline()[0] === outline(one, two));
  await has(55, 55);
  busy = 10;
  await has(55, 10);
  stream.write({ applicationUtilization: 0, cpuUtilization: 0 });
  await has(100, 10);
  t.like((await conditionOf(rig)).load, { percent: 100, reading: 'cpu_utilization 0' });
});

test('a source that cannot be asked is refused, by the name of its field', async (t) => {
  const { client } = await startRig(t);
  const refused = (health: VirtualService['health']) =>
    failure(client.apply({ configuration: { services: [pool(health)] } }));
  t.is(
    await refused({ load: { agent: {} } }),
    'INVALID_ARGUMENT REASON_INVALID configuration.services[0].health.load.port',
  );
  t.is(
    await refused({ load: { orca: { metric: 'x' } } }),
    'INVALID_ARGUMENT REASON_INVALID configuration.services[0].health.load.orca.metric',
  );
  t.is(
    await refused({ load: { number: { jsonPointer: '/a' }, leastPercent: 30_000 } }),
    'OUT_OF_RANGE REASON_OUT_OF_RANGE configuration.services[0].health.load.least_percent',
  );
});

/** Runs a command line; returns what it prints. */
async function run(t: ExecutionContext, rig: Rig, line: string): Promise<string> {
  const { status, output } = await runFulcrum(rig, line);
  t.is(status, 0, `${line}: ${output}`);
  return output;
}

test('a weight that a check says is shown, too', async (t) => {
  const rig = await startRig(t);
  const command = { command: ['/bin/sh', '-c', 'exit 14'], dynamicWeight: true };
  await apply(rig, pool({ checks: [{ command, warmupMs: 0 }] }));
  await weighs(rig, 12);
  t.is((await conditionOf(rig)).checkWeight, 12);
  t.regex(
    await run(t, rig, 'server list tcp:192.0.2.1:80'),
    /^127\.0\.0\.1:8080 +nat +100 .* 12 +up .* checks: weight 12$/m,
  );
  const { servers } = JSON.parse(await run(t, rig, 'server list tcp:192.0.2.1:80 -o json'));
  t.is(servers[1].check_weight, 12);
});

test('from a file, and as an operator sees it', async (t) => {
  const rig = await startRig(t);
  const agent = await Agent.start(t);
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-load-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const file = join(directory, 'services.yaml');
  writeFileSync(
    file,
    `services:
  - address: tcp:192.0.2.1:80
    scheduler: wrr
    servers:
      - address: 127.0.0.1:8080
        method: nat
        weight: 100
        health:
          load: { type: agent, interval: 0.1, timeout: 20, address: 127.0.0.1, port: ${agent.port} }
      - { address: "127.0.0.2:8080", method: nat, weight: 100 }
    health: {}
`,
  );
  await run(t, rig, `config apply --file ${file}`);
  await agent.says('drain 30%\n');
  await weighs(rig, 0);
  await agent.says('ready\n');
  await weighs(rig, 30);
  await agent.says('what\n');
  await until(
    () => conditionOf(rig),
    ({ load }) => load?.problem !== '',
  );
  const list = await run(t, rig, 'server list tcp:192.0.2.1:80');
  t.regex(list, /^SERVER .* SHARE +READING *$/m);
  t.regex(list, /^127\.0\.0\.1:8080 +nat +100 .* 30 +unknown .* 30% +drain 30% \(does not know "what"\)$/m);
  t.regex(list, /^127\.0\.0\.2:8080 +nat +100 .* 100 +unknown /m);
  const { servers } = JSON.parse(await run(t, rig, 'server list tcp:192.0.2.1:80 -o json'));
  t.like(servers[1].load, {
    percent: 30,
    reading: 'drain 30%',
    last_reading: 'what',
    problem: 'does not know "what"',
    admin: 'ready',
    agent_down: false,
  });
  t.is(servers[1].effective_weight, 30);
  t.false('load' in servers[0]);
  t.regex(
    await run(t, rig, 'config show'),
    /load: \{ type: agent, interval: 0\.1, timeout: 20, address: 127\.0\.0\.1, port: \d+ \}/,
  );
});
