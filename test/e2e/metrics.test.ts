// SPDX-License-Identifier: Apache-2.0
// A real Prometheus scrapes the lab: what it has is what fulcrum stats says, its rules fire when they should, and the
// dashboard asks for nothing that is not there.

import { copyFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { httpPlace } from '../../src/lab/director.js';
import { vipOf } from '../../src/lab/plan.js';
import { definitions, fullName } from '../../src/manager/metrics/definitions.js';
import { Scene } from '../support/scene.js';

const vip = vipOf('nat');
const prometheus = join(projectRoot, 'docker/prometheus');
const web = 'http://127.0.0.1:9090';

interface Sample {
  readonly metric: Readonly<Record<string, string>>;
  readonly value: readonly [number, string];
}

class Prometheus {
  readonly #scene: Scene;

  private constructor(scene: Scene) {
    this.#scene = scene;
  }

  /** On the director's host; returns when it has scraped. */
  static async start(scene: Scene): Promise<Prometheus> {
    const file = join(scene.directory, 'prometheus.yml');
    const text = readFileSync(join(prometheus, 'prometheus.yml'), 'utf8');
    const quick = text.replaceAll(/_interval: 5s/g, '_interval: 200ms');
    await scene.sh('director', `cat > ${file} <<'END'\n${quick}\nEND`);
    // The time that a fault must last: of minutes only the order is tested here.
    const rules = readFileSync(join(prometheus, 'fulcrum.rules.yml'), 'utf8').replaceAll(/for: \d+[sm]/g, 'for: 1s');
    await scene.sh('director', `cat > ${join(scene.directory, 'fulcrum.rules.yml')} <<'END'\n${rules}\nEND`);
    const task = scene.start(
      'director',
      `prometheus --config.file=${file} --storage.tsdb.path=${join(scene.directory, 'tsdb')} --web.listen-address=127.0.0.1:9090 2>&1`,
    );
    await task.line((line) => line.includes('Server is ready'), 30_000);
    const made = new Prometheus(scene);
    await made.until('up{job="fulcrum"} == 1');
    return made;
  }

  async query(expression: string): Promise<readonly Sample[]> {
    const answer = await this.#scene.sh(
      'director',
      `curl -sS --get --data-urlencode 'query=${expression.replaceAll("'", "'\\''")}' ${web}/api/v1/query`,
    );
    const { status, error, data } = JSON.parse(answer);
    if (status !== 'success') throw new Error(`${expression}: ${error}`);
    return data.result;
  }

  /** Asks until there is a sample. */
  async until(expression: string): Promise<readonly Sample[]> {
    for (const end = performance.now() + 20_000; performance.now() < end; ) {
      const found = await this.query(expression);
      if (found.length > 0) return found;
    }
    throw new Error(`${expression} has no sample`);
  }
}

interface Counted {
  readonly services: readonly Readonly<Record<string, unknown>>[];
  readonly verdicts: readonly { readonly verdict: string; readonly packets: number }[];
}

/** As soon as nothing is counted any more, both have the same. */
async function equal(t: ExecutionContext, scene: Scene, database: Prometheus): Promise<void> {
  const { services, verdicts } = JSON.parse(await scene.fulcrum('stats show -o json')) as Counted;
  const of = services.find(({ service }) => service === `tcp:${vip}:80`) ?? {};
  const labels = `local_address="${vip}",local_port="80",proto="TCP",local_mark=""`;
  const pairs = [
    ['service_connections_total', 'connections'],
    ['service_incoming_packets_total', 'in_packets'],
    ['service_outgoing_packets_total', 'out_packets'],
    ['service_incoming_bytes_total', 'in_bytes'],
    ['service_outgoing_bytes_total', 'out_bytes'],
    ['service_open_connections', 'open_connections'],
  ] as const;
  t.true(Number(of.connections) >= 30);
  for (const [metric, field] of pairs)
    await t.notThrowsAsync(database.until(`fulcrum_${metric}{${labels}} == ${Number(of[field])}`), field);
  for (const server of of.servers as readonly Readonly<Record<string, unknown>>[]) {
    const [address, port] = String(server.server).split(':');
    const place = `${labels},remote_address="${address}",remote_port="${port}"`;
    for (const [metric, field] of [
      ['backend_connections_total', 'connections'],
      ['backend_incoming_bytes_total', 'in_bytes'],
      ['backend_connections_inactive', 'inactive_connections'],
    ] as const)
      await t.notThrowsAsync(database.until(`fulcrum_${metric}{${place}} == ${Number(server[field])}`), field);
  }
  const { packets } = verdicts.find(({ verdict }) => verdict === 'forwarded_nat') ?? { packets: -1 };
  await database.until(`fulcrum_verdict_packets_total{verdict="forwarded_nat"} == ${Number(packets)}`);
}

test('Prometheus has what fulcrum stats says, and its rules say what is wrong', async (t) => {
  t.timeout(180_000);
  const scene = await Scene.lab(t);
  t.regex(
    await scene.sh('director', `promtool check rules ${prometheus}/fulcrum.rules.yml`),
    /SUCCESS: \d+ rules found/,
  );
  for (const file of ['prometheus.yml', 'fulcrum.rules.yml'])
    copyFileSync(join(prometheus, file), join(scene.directory, file));
  t.regex(await scene.sh('director', `promtool check config ${scene.directory}/prometheus.yml`), /SUCCESS/);
  t.is(await scene.sh('director', `curl -sS http://${httpPlace}/metrics | promtool check metrics 2>&1`), '');
  const database = await Prometheus.start(scene);

  await scene.sh('client', `for i in $(seq 30); do curl -sS -m 5 -o /dev/null http://${vip}/; done`);
  await equal(t, scene, database);
  t.deepEqual(await database.query('ALERTS{alertstate="firing"}'), []);

  const dashboard = JSON.parse(readFileSync(join(projectRoot, 'docker/grafana/fulcrum.json'), 'utf8'));
  const known = new Set(Object.entries(definitions).flatMap(([name, { type }]) => samplesOf(fullName(name), type)));
  for (const { title, targets } of dashboard.panels) {
    for (const { expr } of targets as readonly { readonly expr: string }[]) {
      for (const [name] of expr.matchAll(/\bfulcrum_\w+/g)) t.true(known.has(name), `${title}: ${name}`);
      await t.notThrowsAsync(database.query(expr.replaceAll('$instance', '.*')), `${title}: ${expr}`);
    }
  }

  // No server of it has weight any more.
  for (const last of [11, 12, 13]) await scene.fulcrum(`server edit tcp:${vip}:80 10.0.0.${last}:80 --weight 0`);
  const [firing] = await database.until('ALERTS{alertname="FulcrumServiceDown",alertstate="firing"}');
  t.is(firing?.metric.local_address, vip);
  await database.until(`fulcrum_backend_weight{local_address="${vip}",remote_address="10.0.0.11"} == 0`);
  await database.until('sum(fulcrum_edits_total{method="UpdateRealServer"}) == 3');

  // Without its dataplane the manager says so, and what it knows itself.
  const [instance] = await database.query('fulcrum_start_time_seconds{process="dataplane"}');
  t.true(Math.abs(Number(instance?.value[1]) - Date.now() / 1000) < 170);
  await scene.kill('dataplane');
  await database.until('fulcrum_events_total{kind="dataplane_lost"} == 1');
  await database.until('fulcrum_dataplane_connected == 1');
  t.is(await scene.sh('director', `curl -sS -o /dev/null -w '%{http_code}' http://${httpPlace}/healthz`), '200');
});

/** The names of a metric's samples. */
function samplesOf(name: string, type: string): readonly string[] {
  return type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name];
}

test('every metric is in docs/metrics.md, and nothing else is', (t) => {
  const text = readFileSync(join(projectRoot, 'docs/metrics.md'), 'utf8');
  const documented = [...text.matchAll(/^\| `(fulcrum_\w+)` \| (\w+) \| ([^|]*) \|/gm)].map(
    ([, name, type, labels]) => [name, type, labels?.replaceAll('`', '').trim()],
  );
  const defined = Object.entries(definitions).map(([name, { type, labels }]) => [
    fullName(name),
    type,
    labels.join(', '),
  ]);
  t.deepEqual(documented, defined);
});
