// SPDX-License-Identifier: Apache-2.0
// The lab forwards on, and its API answers others, while clients of the API over TCP do their worst.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { builtProgram, httpPlace } from '../../src/lab/director.js';
import { vipOf } from '../../src/lab/plan.js';
import { Authority } from '../grpc/support/tls.js';
import { Scene } from '../support/scene.js';

const port = 9443;
const script = join(projectRoot, 'test', 'support', 'api_abuse.py');
const abuses = ['reset_flood', 'call_flood', 'ping_flood', 'oversized', 'large_header', 'garbage'];

test('no request is lost, and nobody waits for long', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-abuse-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const authority = await Authority.make(directory);
  await authority.sign('server', '/CN=localhost', ['DNS:localhost', 'IP:127.0.0.1']);
  await authority.sign('bad');
  const tls = ['--tls-cert', authority.path('server.crt'), '--tls-key', authority.path('server.key')];
  const listen = ['--listen', `127.0.0.1:${port}`, ...tls, '--tls-client-ca', authority.path('ca.crt')];
  const scene = await Scene.lab(t, 1, false, listen);
  const api = scene.api();
  const vips = (['nat', 'dr', 'tun'] as const).map((name) => `${name}=${vipOf(name)}`).join(' ');
  const results: { readonly error?: string }[] = [];
  const client = scene.start('client', `'${process.execPath}' ${builtProgram('lab/client')} 0 15 ${vips}`);
  client.onLine((line) => {
    if (line.startsWith('{')) results.push(JSON.parse(line));
  });
  let slowest = 0;
  for (const what of abuses) {
    let isOver = false;
    const abuse = scene.sh('director', `/usr/bin/python3 ${script} ${port} ${directory} bad ${what}`).finally(() => {
      isOver = true;
    });
    while (!isOver) {
      const begun = performance.now();
      await api.getStatus({});
      slowest = Math.max(slowest, performance.now() - begun);
    }
    await abuse;
  }
  await client.stop(5_000);
  t.log(`${results.length} requests through the director; slowest GetStatus meanwhile: ${Math.round(slowest)} ms`);
  t.true(results.length > 100, String(results.length));
  t.deepEqual(
    results.filter(({ error }) => error !== undefined),
    [],
  );
  t.true(slowest < 3_000, `${slowest} ms`);
  const metrics = await scene.sh('director', `curl -sS http://${httpPlace}/metrics`);
  t.regex(metrics, /^fulcrum_api_refusals_total\{reason="flood"\} 1$/m);
});
