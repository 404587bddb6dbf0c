// SPDX-License-Identifier: Apache-2.0
// The status page in a real browser, before a director that balances real requests: what it shows is what fulcrum stats
// says, a real server's death is on it within a second, and everybody can read it.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { httpPlace } from '../../src/lab/director.js';
import { vipOf } from '../../src/lab/plan.js';
import { startRig, temporaryDirectory } from '../grpc/support/director.js';
import { looks, TestBrowser, type TestPage } from '../support/browser.js';
import { Scene } from '../support/scene.js';

const vip = vipOf('nat');
const service = `tcp:${vip}:80`;
const url = `http://${httpPlace}/`;
const dead = '10.0.0.11:80';
const check = 'health: { checks: [{ type: http, path: /, interval: 0.2, timeout: 1 }] }';
/** From a real server's death until the page says so. */
const mostMs = 1_000;

const heading = 'document.querySelector("h1")?.textContent ?? ""';
const trouble = `document.querySelector('[data-server="${dead}"][data-service="${service}"]')?.textContent ?? ""`;
const alarms = 'document.querySelector(".alarms").textContent';
const stream = 'document.documentElement.dataset.stream';

/** Every service is checked. */
async function watchServers(scene: Scene): Promise<void> {
  const file = join(scene.directory, 'services.yaml');
  const text = await scene.fulcrum('config show');
  writeFileSync(
    file,
    text.replace(/^( +)scheduler: .*\n/gm, (line, indent) => `${line}${indent}${check}\n`),
  );
  await scene.fulcrum(`config apply --file ${file}`);
}

const pidOf = (scene: Scene, server: string): number =>
  Number(readFileSync(join(scene.directory, server, 'nginx.pid'), 'utf8'));

/** In its column, as it is shown: narrow blanks between thousands. */
async function cell(page: TestPage, key: string, column: string): Promise<string> {
  const text = await page.page.textContent(`tr[data-key="${key}"] [data-column="${column}"] .cell`);
  return (text ?? '').replaceAll('\u202f', '');
}

interface Counted {
  readonly service: string;
  readonly servers: readonly Readonly<Record<string, string | number>>[];
}

/** The page of the service says of every real server what the command says. */
async function sameNumbers(t: ExecutionContext, scene: Scene, page: TestPage): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const { services } = JSON.parse(await scene.fulcrum('stats show -o json')) as { services: readonly Counted[] };
    const servers = services.find((one) => one.service === service)?.servers ?? [];
    const said = servers.map((of) => [of.connections, of.active_connections, of.inactive_connections].map(Number));
    const shown = await Promise.all(
      servers.map((of) =>
        Promise.all(
          ['connections', 'active', 'inactive'].map(async (column) =>
            Number(await cell(page, String(of.server), column)),
          ),
        ),
      ),
    );
    t.true(said.every(([connections = 0]) => connections >= 10));
    if (JSON.stringify(said) === JSON.stringify(shown)) return;
    // The page is renewed every second.
    if (attempt >= 10) t.deepEqual(shown, said);
    await page.becomes(
      `document.querySelector('tr[data-key="${dead}"] [data-column="inactive"] .cell').textContent !== ''`,
    );
  }
}

/** In every size and scheme: nothing to complain of. */
async function looksWell(t: ExecutionContext, browser: TestBrowser, hash: string, name: string): Promise<void> {
  for (const look of looks) {
    const page = await browser.open(url + hash, look);
    await page.becomes(
      'document.querySelector("tbody tr .spark-line")?.getAttribute("d") && document.querySelector("canvas")',
    );
    const title = `${name}-${look.size}-${look.scheme}`;
    t.deepEqual(await page.inaccessible(), [], title);
    t.is(await page.overflow(), 0, title);
    await page.screenshot(title);
    await page.screenshot(`${title}-whole`, true);
    t.deepEqual(page.complaints, [], title);
    await page.close();
  }
}

async function filterAndSort(t: ExecutionContext, testPage: TestPage): Promise<void> {
  const { page } = testPage;
  const keys = (): Promise<readonly string[]> =>
    page.evaluate('[...document.querySelectorAll(".list tbody tr")].map((row) => row.dataset.key)');
  const first = await keys();
  t.is(first.length, 6);
  await page.fill('input[type=search]', 'WRR');
  await testPage.becomes('document.querySelectorAll(".list tbody tr").length === 2');
  await page.fill('input[type=search]', 'nobody');
  await page.waitForSelector('text=None of 6 services matches “nobody”.');
  await page.fill('input[type=search]', '');
  await testPage.becomes('document.querySelectorAll(".list tbody tr").length === 6');
  await page.click('button.sort:has-text("Service")');
  await page.waitForSelector('th[aria-sort=ascending]');
  await page.click('button.sort:has-text("Service")');
  await testPage.becomes(
    `document.querySelector(".list tbody tr").dataset.key === ${JSON.stringify(first.toSorted().at(-1))}`,
  );
  await page.click('button.sort:has-text("Service")');
  await testPage.becomes(`document.querySelector(".list tbody tr").dataset.key === ${JSON.stringify(first[0])}`);
}

async function byKeyboard(t: ExecutionContext, { page }: TestPage): Promise<void> {
  await page.evaluate('document.activeElement?.blur()');
  await page.focus(`a[href="#/service/${service}"]`);
  await page.keyboard.press('Enter');
  await page.waitForSelector(`h1:has-text("${service}")`);
  t.is(await page.evaluate('document.activeElement.tagName'), 'H1');
  await page.goBack();
  await page.waitForSelector('h1:has-text("services")');
}

test('the page: numbers, a death within a second, losses and returns, in every size and scheme', async (t) => {
  t.timeout(360_000);
  const scene = await Scene.lab(t, 2, true);
  await watchServers(scene);
  const browser = await TestBrowser.start(t, scene.directory, scene.world.name('director'));
  const page = await browser.open(url, { size: 'desktop', scheme: 'light' });
  await page.becomes(`${heading} === 'All 6 services are up'`);
  t.is(await page.page.title(), `${await page.page.textContent('.host')} – Fulcrum`);

  await scene.sh('client', `for i in $(seq 60); do curl -sS -m 5 -o /dev/null http://${vip}/; done`);
  const detail = await browser.open(`${url}#/service/${service}`, { size: 'desktop', scheme: 'dark' });
  await detail.becomes(`document.querySelectorAll('tbody tr').length === 3`);
  await sameNumbers(t, scene, detail);
  await filterAndSort(t, page);
  await byKeyboard(t, page);
  await page.becomes(`${heading} === 'All 6 services are up'`);

  // Traffic for the pictures, and a server that dies.
  const traffic = scene.start(
    'client',
    `sh -c 'while :; do for v in 10 20 30; do curl -s -m 2 -o /dev/null http://203.0.113.$v/; done; done'`,
  );
  const told = page.becomes(`${trouble}.includes('connection refused')`);
  const toldInDetail = detail.becomes(`document.querySelector('tr[data-key="${dead}"] .state').textContent === 'down'`);
  const died = Date.now();
  process.kill(pidOf(scene, 'rs1'), 'SIGTERM');
  const seen = Math.max(await told, await toldInDetail);
  const event = page.page.locator('.feed li', { hasText: `server down TCP ${vip}:80 ${dead}` }).first();
  const happened = await event.locator('time').getAttribute('datetime');
  const after = seen - Date.parse(happened ?? '');
  t.log(`a death is on the page after ${seen - died} ms, ${after} ms after the manager knew`);
  t.true(after < mostMs, `${after} ms after the event`);
  t.true(seen - died < mostMs, `${seen - died} ms after the death`);
  t.regex(await page.page.evaluate(heading), /^(All 6|\d of 6) services needs? attention$/);

  await looksWell(t, browser, '', 'overview');
  await looksWell(t, browser, `#/service/${service}`, 'service');

  scene.start('rs1', `nginx -p ${scene.directory}/rs1 -c ${scene.directory}/rs1/nginx.conf -e stderr`);
  await page.becomes(`${heading} === 'All 6 services are up'`);
  t.deepEqual(page.complaints, []);
  await traffic.stop();

  // The dataplane is killed, and comes back; then the manager.
  const lost = page.becomes(`${alarms}.includes('The dataplane is not connected')`);
  await scene.kill('dataplane');
  await lost;
  await page.becomes(`${alarms} === ''`);
  const unanswered = page.becomes(`${alarms}.includes('The manager does not answer')`);
  await scene.kill('manager');
  await unanswered;
  await page.becomes(`${alarms} === '' && ${stream} === 'live'`);
  await page.becomes(`${heading} === 'All 6 services are up'`);

  const file = join(scene.directory, 'nothing.yaml');
  writeFileSync(file, 'services: []\n');
  await scene.fulcrum(`config apply --prune --file ${file}`);
  await page.becomes(`${heading} === 'No virtual services yet'`);
  t.true(await page.page.isVisible('text=fulcrum service add'));
  t.deepEqual(await page.inaccessible(), []);
  await detail.becomes(`!document.querySelector('.missing').hidden`);
});

test('off loopback it asks for the token, and keeps it for the tab', async (t) => {
  t.timeout(120_000);
  const tokenFile = join(temporaryDirectory(t), 'token');
  writeFileSync(tokenFile, 'a-token-of-some-length');
  const rig = await startRig(t, { http: { listen: '127.0.0.1:0', tokenFile, perServer: false } });
  const browser = await TestBrowser.start(t, rig.directory);
  const signIn = await browser.open(`http://127.0.0.1:${rig.httpPort()}/`, { size: 'phone', scheme: 'light' });
  await signIn.page.fill('#token', 'another-token-than-that');
  await signIn.page.keyboard.press('Enter');
  await signIn.page.waitForSelector('[role=alert]');
  t.deepEqual(await signIn.inaccessible(), []);
  await signIn.page.fill('#token', 'a-token-of-some-length');
  await signIn.page.keyboard.press('Enter');
  await signIn.becomes(`${heading} === 'No virtual services yet'`);
  await signIn.page.reload();
  await signIn.becomes(`${heading} === 'No virtual services yet'`);
});
