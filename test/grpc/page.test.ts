// SPDX-License-Identifier: Apache-2.0
// The status page over HTTP: its files, its stream, who is let in, and who is put out.
import { writeFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { EventParser } from '../../src/web/event_parser.js';
import type { Update } from '../../src/web/view.js';
import { type Rig, type RigOptions, startRig, tcp, temporaryDirectory, webService } from './support/director.js';

const vip = '192.0.2.1';
const key = `tcp:${vip}:80`;

const rigWithPage = (t: ExecutionContext, options: RigOptions = {}): Promise<Rig> =>
  startRig(t, { http: { listen: '127.0.0.1:0', perServer: false }, ...options });

function ask(rig: Rig, path: string, headers: Readonly<Record<string, string>> = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port: rig.httpPort(), path, headers }, resolve).on('error', reject);
  });
}

async function textOf(answer: IncomingMessage): Promise<string> {
  let text = '';
  for await (const piece of answer.setEncoding('utf8')) text += piece;
  return text.trim();
}

/** A stream as the page reads it. */
class Viewer {
  readonly updates: Update[] = [];
  readonly answer: IncomingMessage;
  #news: () => void = () => {};
  ended = false;

  private constructor(answer: IncomingMessage) {
    this.answer = answer;
    const parser = new EventParser();
    answer.setEncoding('utf8').on('data', (text: string) => {
      for (const { data } of parser.push(text)) this.updates.push(JSON.parse(data));
      this.#news();
    });
    const end = (): void => {
      this.ended = true;
      this.#news();
    };
    answer.on('error', end).on('close', end);
  }

  static async open(t: ExecutionContext, rig: Rig, query = ''): Promise<Viewer> {
    const answer = await ask(rig, `/page/stream${query}`);
    t.is(answer.statusCode, 200);
    const viewer = new Viewer(answer);
    t.teardown(() => answer.destroy());
    return viewer;
  }

  /** Resolves with the first update, of those there were or will be, that is taken. */
  async until(take: (update: Update) => boolean): Promise<Update> {
    for (;;) {
      const found = this.updates.find(take);
      if (found !== undefined) return found;
      if (this.ended) throw new Error('the stream ended');
      await this.news();
    }
  }

  news(): Promise<void> {
    return new Promise((resolve) => {
      this.#news = resolve;
    });
  }
}

const statistics = (connections: number) => ({
  key: tcp(vip),
  counters: { connections, inBytes: 1000 * connections, outBytes: 0, inPackets: 0, outPackets: 0 },
  activeConnections: 3,
  inactiveConnections: 4,
  servers: [
    {
      key: { address: '10.0.0.1', port: 8080 },
      counters: { connections },
      activeConnections: 3,
      inactiveConnections: 4,
    },
  ],
});

test('files: types, policy, compressed, and not sent twice', async (t) => {
  t.timeout(60_000);
  const rig = await rigWithPage(t, { withDataplane: false });
  const page = await ask(rig, '/');
  t.is(page.statusCode, 200);
  t.is(page.headers['content-type'], 'text/html; charset=utf-8');
  t.regex(String(page.headers['content-security-policy']), /default-src 'none'; script-src 'self'/);
  t.is(page.headers['x-content-type-options'], 'nosniff');
  const html = await textOf(page);
  t.false(/<script>|<style|\son\w+=|style=/.test(html));
  for (const [, path = ''] of html.matchAll(/(?:src|href)="([^"]+)"/g)) {
    const file = await ask(rig, path);
    t.is(file.statusCode, 200, path);
    t.true((await textOf(file)).length > 100);
  }
  const compressed = await ask(rig, '/page/uplot.js', { 'accept-encoding': 'gzip, br' });
  t.is(compressed.headers['content-encoding'], 'gzip');
  t.is(compressed.headers['content-type'], 'text/javascript; charset=utf-8');
  compressed.resume();
  const again = await ask(rig, '/page/uplot.js', { 'if-none-match': String(compressed.headers.etag) });
  t.is(again.statusCode, 304);
  t.is(await textOf(again), '');
  t.is((await ask(rig, '/page/..%2fview.ts')).statusCode, 404);
});

test('a stream: everything, then what has changed, at once when something happens', async (t) => {
  t.timeout(60_000);
  const rig = await rigWithPage(t);
  await rig.client.createVirtualService({ service: webService(vip, '10.0.0.1', '10.0.0.2') });
  rig.dataplane.statistics = { services: [statistics(100)], workers: [] };
  const viewer = await Viewer.open(t, rig);
  const first = await viewer.until(() => true);
  t.is(first.head?.services, 1);
  t.is(first.head?.dataplane.connected, true);
  t.is(first.plots?.connections.length, 600);
  t.like(first.services?.rows[0], { key, scheduler: 'rr', state: 'unchecked', up: 2, servers: 2, strip: 'qq' });
  t.regex(first.changes?.[0]?.changes.join() ?? '', /add_service TCP 192\.0\.2\.1:80/);

  await viewer.until(({ services }) => services?.rows[0]?.active === 3);
  rig.dataplane.statistics = { services: [statistics(150)], workers: [] };
  const counted = await viewer.until(({ services }) => (services?.rows[0]?.rates?.connections ?? 0) > 0);
  t.like(counted.services?.rows[0], { active: 3, inactive: 4 });
  t.is(counted.head, undefined);
  t.true((counted.point?.connections ?? 0) > 0);

  const begun = performance.now();
  rig.dataplane.emit({ event: { time: '2026-05-01T12:00:00Z', kind: 'port_down', message: 'wan' } });
  const told = await viewer.until(({ events }) => events?.[0]?.kind === 'port_down');
  t.true(performance.now() - begun < 500);
  t.is(told.events?.[0]?.tone, 'bad');

  await rig.client.deleteVirtualService({ key: tcp(vip) });
  const gone = await viewer.until(({ services }) => services?.total === 0);
  t.is(gone.ports, undefined);
});

test('the page of a service has its servers; a dataplane that is lost is told', async (t) => {
  t.timeout(60_000);
  const rig = await rigWithPage(t);
  await rig.client.createVirtualService({ service: webService(vip, '10.0.0.1', '10.0.0.2') });
  rig.dataplane.statistics = { services: [statistics(100)], workers: [] };
  const viewer = await Viewer.open(t, rig, `?service=${encodeURIComponent(key)}`);
  const { servers } = await viewer.until((update) => update.servers?.rows[1]?.active === 3);
  t.like(servers, { from: 0, found: 2, total: 2, everyS: 1 });
  t.like(servers?.rows[1], { id: '10.0.0.1:8080', method: 'nat', share: 50, connections: 100 });
  const other = await Viewer.open(t, rig, '?service=tcp:192.0.2.9:80');
  t.is((await other.until(() => true)).service, null);

  rig.dataplane.stop();
  const lost = await viewer.until(({ head }) => head?.dataplane.connected === false);
  t.not(lost.head?.dataplane.error, '');
  await viewer.until(({ service }) => service?.row.active === null);
  await rig.dataplane.restart();
  await viewer.until(({ head }) => head?.dataplane.connected === true && viewer.updates.includes(lost));
});

test('the dataplane is asked once, however many look', async (t) => {
  t.timeout(60_000);
  const rig = await rigWithPage(t);
  const asked = (): number => rig.dataplane.calls.get('GetStatistics') ?? 0;
  const viewers = await Promise.all(Array.from({ length: 8 }, () => Viewer.open(t, rig)));
  await Promise.all(viewers.map((viewer) => viewer.until(({ point }) => point !== undefined)));
  const [before, begun] = [asked(), performance.now()];
  const { length } = viewers[0]?.updates ?? [];
  while ((viewers[0]?.updates.length ?? 0) < length + 2) await viewers[0]?.news();
  t.true(asked() - before <= Math.ceil((performance.now() - begun) / 1000) + 1);
});

test('of a thousand real servers sums are asked for, and more where one looks at them', async (t) => {
  t.timeout(60_000);
  const rig = await rigWithPage(t);
  const names = Array.from({ length: 1_001 }, (_, at) => `10.0.${Math.floor(at / 200)}.${1 + (at % 200)}`);
  await rig.client.createVirtualService({ service: webService(vip, ...names) });
  const viewer = await Viewer.open(t, rig);
  t.is((await viewer.until(({ services }) => services !== undefined)).services?.rows[0]?.strip, '');
  await rig.dataplane.until(() => rig.dataplane.statisticsAsked?.withoutServers === true);
  const detail = await Viewer.open(t, rig, `?service=${key}&from=1000`);
  t.is((await detail.until(() => true)).servers?.rows.length, 1);
  await rig.dataplane.until(() => rig.dataplane.statisticsAsked?.service?.address === vip);
  t.is((await detail.until(({ servers }) => servers !== undefined)).servers?.found, 1_001);
});

test('streams are few, and wrong ones are refused', async (t) => {
  t.timeout(60_000);
  const rig = await rigWithPage(t);
  const viewers = await Promise.all(Array.from({ length: 16 }, () => Viewer.open(t, rig)));
  const refused = await ask(rig, '/page/stream');
  t.is(refused.statusCode, 503);
  t.regex(await textOf(refused), /16 pages are open already/);
  t.true(viewers.every(({ ended }) => !ended));
  const wrong = await ask(rig, '/page/stream?sort=up');
  t.is(wrong.statusCode, 400);
  t.regex(await textOf(wrong), /^sort: one of /);

  const metrics = await textOf(await ask(rig, '/metrics'));
  t.regex(metrics, /^fulcrum_page_streams_refused_total 1$/m);
});

test('with a token: the files for everybody, the stream for who shows it', async (t) => {
  t.timeout(60_000);
  const tokenFile = join(temporaryDirectory(t), 'token');
  writeFileSync(tokenFile, 'a-token-of-some-length\n');
  const rig = await rigWithPage(t, { http: { listen: '127.0.0.1:0', tokenFile, perServer: false } });
  for (const path of ['/', '/page/main.js', '/page/style.css']) t.is((await ask(rig, path)).statusCode, 200, path);
  for (const path of ['/page/stream', '/metrics', '/healthz', '/page/nothing.js'])
    t.is((await ask(rig, path)).statusCode, 401, path);
  const shown = await ask(rig, '/page/stream', { authorization: 'Bearer a-token-of-some-length' });
  t.is(shown.statusCode, 200);
  shown.destroy();
});
