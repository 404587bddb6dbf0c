// SPDX-License-Identifier: Apache-2.0
// Numbers from real HTTP and HTTPS servers, and the weights that follow them.
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import test, { type ExecutionContext } from 'ava';
import { makeCertificates } from '../health/support/certificates.js';
import { tlsOptions } from '../health/support/checks.js';
import { closedPort, listen } from '../health/support/servers.js';
import { askOnce, jsonSource, metricSource, refusal, Watcher } from './support/sources.js';

const web = (t: ExecutionContext, serve: (request: IncomingMessage, response: ServerResponse) => void) =>
  listen(t, createServer(serve));

const saying = (t: ExecutionContext, text: string) => web(t, (_, response) => void response.end(text));

test('a number of a JSON document, and a sample of a metric', async (t) => {
  t.is(await askOnce(jsonSource('/load/0'), await saying(t, '{"load":[0.25]}')), '/load/0 0.25');
  t.is(await askOnce(jsonSource(''), await saying(t, '7')), 'document 7');
  const metrics = await saying(t, '# TYPE busy gauge\nbusy{pool="web"} 12\nbusy{pool="mail"} 3\n');
  t.is(await askOnce(metricSource('busy{pool="web"}'), metrics), 'busy{pool="web"} 12');
});

test('answers that have no number', async (t) => {
  t.is(await askOnce(jsonSource('/a'), await saying(t, '<html>')), 'answer is not JSON');
  t.is(await askOnce(metricSource('busy'), await saying(t, 'idle 1\n')), 'answer has no sample busy');
  const missing = await web(t, (_, response) => {
    response.statusCode = 404;
    response.end('7');
  });
  t.is(await askOnce(jsonSource(''), missing), 'status 404, not 200');
  t.is(await askOnce(jsonSource(''), await closedPort()), 'connection refused');
  const silent = await web(t, () => {});
  t.is(await askOnce(jsonSource(''), silent, 100), 'connected, but no answer in 100 ms');
  const long = await saying(t, `busy 1\n${'#'.repeat(4 * 1024 * 1024)}`);
  t.is(await askOnce(metricSource('busy'), long), 'answer of 4194304 bytes or more');
});

test('path, Host header and further headers; HTTPS', async (t) => {
  const echo = await web(t, ({ url, headers }, response) => {
    const right = url === '/load?all=1' && headers.host === 'www.example.org' && headers['x-token'] === 'secret';
    response.end(right ? '1' : '0');
  });
  const question = { path: '/load?all=1', host: 'www.example.org', headers: ['X-Token: secret'] };
  t.is(await askOnce(jsonSource('', {}, question), echo), 'document 1');
  const certificates = await makeCertificates();
  t.teardown(certificates.remove);
  const files = {
    cert: readFileSync(certificates.path('server.crt')),
    key: readFileSync(certificates.path('server.key')),
  };
  const encrypted = await listen(
    t,
    createTlsServer(files, (_, response) => void response.end('2')),
  );
  t.is(await askOnce(jsonSource('', {}, { tls: tlsOptions() }), encrypted), 'document 2');
  const verified = { tls: tlsOptions({ verify: true }) };
  t.regex(await askOnce(jsonSource('', {}, verified), encrypted), /certificate/);
});

test('the weight follows the number, and is the wanted one again when there is none for long', async (t) => {
  let load: string | undefined = '8';
  const target = await web(t, (_, response) => {
    if (load === undefined) response.destroy();
    else response.end(`node_load1 ${load}\n`);
  });
  const watcher = new Watcher(t);
  const scale = { idle: 0, busy: 16, smoothingMs: 0, deadBandPercent: 10, expiryMs: 500, intervalMs: 100 };
  watcher.set(target, metricSource('node_load1', scale));
  t.is(await watcher.next(), '55%');
  load = '9';
  while (watcher.monitor.status('a')?.lastReading !== 'node_load1 9') await new Promise(setImmediate);
  load = '12';
  // 50 was within the dead band.
  t.is(await watcher.next(), '33%');
  load = 'NaN';
  t.is(await watcher.problem(/NaN/), 'node_load1 is NaN, not a number');
  load = undefined;
  t.is(await watcher.next(), '100%');
  t.is(await watcher.problem(/closed/), 'connection closed without an answer');
  load = '99';
  t.is(await watcher.next(), '10%');
});

test('what cannot be asked is refused, and the field named', (t) => {
  t.is(refusal(jsonSource('load')), 'health.load.number.json_pointer: "load" is not a JSON pointer such as "/load/0"');
  t.is(
    refusal(metricSource('node load')),
    `health.load.number.prometheus_metric: "node load" is not a metric such as 'node_load1' or 'busy_workers{pool="web"}'`,
  );
  t.is(
    refusal(jsonSource('/a', {}, { path: 'load' })),
    'health.load.number.path: "load" does not begin with "/", or has a blank in it',
  );
  t.is(refusal(jsonSource('/a', {}, { headers: ['X'] })), 'health.load.number.headers[0]: "X" is not "Name: value"');
  t.is(refusal(jsonSource('/a', { idle: 3, busy: 3 })), 'health.load.busy: 3 is idle, too');
  t.is(refusal(jsonSource('/a', { busy: Number.NaN })), 'health.load.busy: NaN is not a number');
  t.is(
    refusal({ ...jsonSource('/a'), number: { path: '', host: '', headers: [], tls: null } }),
    'health.load.number: must have a format: json_pointer or prometheus_metric',
  );
});
