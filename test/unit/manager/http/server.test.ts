// SPDX-License-Identifier: Apache-2.0
// Who is answered over HTTP, and who is not.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { createLogger } from '../../../../src/grpc/log.js';
import { HttpEndpoint } from '../../../../src/manager/http/endpoint.js';
import { HttpServer, type Route, readHttpOptions, text } from '../../../../src/manager/http/server.js';

const silent = createLogger('test', { write: () => {} });
const routes = new Map<string, Route>([
  ['/', () => text(200, 'hello')],
  ['/broken', () => Promise.reject(new Error('broken'))],
]);

function tokenFile(t: ExecutionContext, content: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-test-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  writeFileSync(join(directory, 'token'), content);
  return join(directory, 'token');
}

async function serve(t: ExecutionContext, token?: string): Promise<number> {
  const server = await HttpServer.listen(
    { listen: '127.0.0.1:0', tokenFile: token === undefined ? undefined : tokenFile(t, token) },
    routes,
    silent,
  );
  t.teardown(() => server.close());
  return server.port;
}

interface Asked {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

function ask(port: number, { path = '/', method = 'GET', headers = {} }: Asked = {}): Promise<string> {
  return new Promise((resolve, reject) => {
    const asking = request({ host: '127.0.0.1', port, path, method, headers }, (answer) => {
      let body = '';
      answer.setEncoding('utf8').on('data', (some: string) => {
        body += some;
      });
      answer.on('end', () => resolve(`${answer.statusCode} ${body.trimEnd()}`));
    });
    asking.on('error', reject).end();
  });
}

test('paths, methods', async (t) => {
  const port = await serve(t);
  t.is(await ask(port), '200 hello');
  t.is(await ask(port, { path: '/?x=1' }), '200 hello');
  t.is(await ask(port, { method: 'HEAD' }), '200 ');
  t.is(await ask(port, { path: '/etc/passwd' }), '404 there is no "/etc/passwd"');
  t.is(await ask(port, { method: 'POST' }), '405 only GET and HEAD');
  t.is(await ask(port, { path: '/broken' }), '500 ');
});

test('without a token: by address or as localhost, by no name that somebody may have made', async (t) => {
  const port = await serve(t);
  for (const host of ['localhost', `localhost:${port}`, '127.0.0.1', `[::1]:${port}`])
    t.is(await ask(port, { headers: { host } }), '200 hello', host);
  t.is(
    await ask(port, { headers: { host: 'rebound.example.com' } }),
    '403 "rebound.example.com" is not this host: ask by its address or as localhost',
  );
});

test('with a token: who shows it', async (t) => {
  const port = await serve(t, 'a-token-of-some-length\n');
  const shown = (authorization: string) => ask(port, { headers: { authorization, host: 'balancer.example.com' } });
  t.is(await shown('Bearer a-token-of-some-length'), '200 hello');
  t.is(await shown('bearer a-token-of-some-length'), '200 hello');
  for (const wrong of ['Bearer a-token-of-some-lengt', 'Basic a-token-of-some-length', 'Bearer', ''])
    t.is(await shown(wrong), '401 a token is needed', wrong);
});

test('who asks for too much, or says nothing, is cut off', async (t) => {
  const port = await serve(t);
  t.regex(await ask(port, { headers: { 'x-long': 'x'.repeat(9000) } }), /^431/);
  const closed = new Promise<number>((resolve) => {
    const begun = performance.now();
    const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n'));
    socket.resume().on('close', () => resolve(performance.now() - begun));
  });
  t.is(await ask(port), '200 hello');
  t.true((await closed) < 15_000);
});

test('places that are none, or need a token', (t) => {
  const refused = (listen: string, file?: string): string =>
    t.throws(() => readHttpOptions({ listen, tokenFile: file }))?.message ?? '';
  for (const listen of ['9680', 'balancer:9680', '127.0.0.1', '127.0.0.1:70000', '::1:9680'])
    t.regex(refused(listen), /is not ADDRESS:PORT/, listen);
  for (const listen of ['0.0.0.0:9680', '[::]:9680', '192.0.2.1:9680'])
    t.regex(refused(listen), /must show a token, give --http-token FILE/, listen);
  t.regex(refused('127.0.0.1:9680', '/nowhere/token'), /--http-token \/nowhere\/token cannot be read/);
  t.regex(refused('0.0.0.0:9680', tokenFile(t, 'short')), /one word of at least 16 characters/);
  t.like(readHttpOptions({ listen: '[::]:9680', tokenFile: tokenFile(t, '0123456789abcdef\n') }), {
    host: '::',
    port: 9680,
    token: '0123456789abcdef',
  });
});

test('a port that somebody has is tried again, and stops nobody', async (t) => {
  const first = await HttpServer.listen({ listen: '127.0.0.1:0' }, routes, silent);
  const endpoint = new HttpEndpoint({ listen: `127.0.0.1:${first.port}` }, routes, silent);
  await endpoint.start();
  t.is(endpoint.port, 0);
  const { port } = first;
  await first.close();
  while (endpoint.port === 0) await new Promise((resolve) => setTimeout(resolve, 50));
  t.is(endpoint.port, port);
  t.is(await ask(port), '200 hello');
  await endpoint.stop();
  await t.throwsAsync(ask(port));
});
