// SPDX-License-Identifier: Apache-2.0
// HTTP and HTTPS checks: what is asked, what is expected of the answer, and what is said if it is not so.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { Socket } from 'node:net';
import test, { type ExecutionContext } from 'ava';
import { type Certificates, makeCertificates } from './support/certificates.js';
import { httpCheck, outcome, refusal, tlsOptions, tryOnce } from './support/checks.js';
import { answering, closedPort, listen, tcpServer } from './support/servers.js';

let certificates: Certificates;
test.before(async () => {
  certificates = await makeCertificates();
});
test.after.always(() => certificates.remove());

const serving = (t: ExecutionContext, listener: RequestListener, address?: string) =>
  listen(t, createServer(listener), address);

const saying = (t: ExecutionContext, body: string | Buffer, status = 200) =>
  serving(t, (_, response) => void response.writeHead(status).end(body));

for (const address of ['127.0.0.1', '::1']) {
  test(`GET / of ${address} is answered with 200`, async (t) => {
    const server = createServer((_, response) => void response.end('well'));
    const asked = once(server, 'request') as Promise<[IncomingMessage]>;
    const target = await listen(t, server, address);
    t.true((await tryOnce(httpCheck(), target)).ok);
    const [request] = await asked;
    t.is(`${request.method} ${request.url} HTTP/${request.httpVersion}`, 'GET / HTTP/1.1');
    t.is(request.headers.host, address === '::1' ? `[::1]:${target.port}` : `127.0.0.1:${target.port}`);
    t.is(request.headers.connection, 'close');
  });
}

test('method, path, host and further headers are sent as they are given', async (t) => {
  const server = createServer((_, response) => void response.end());
  const asked = once(server, 'request') as Promise<[IncomingMessage]>;
  const target = await listen(t, server);
  const headers = ['X-Probe: a', 'x-probe:b', 'User-Agent: somebody'];
  t.is(
    await outcome(httpCheck({ method: 'POST', path: '/up?deep=1', host: 'www.example.com', headers }), target),
    'passed',
  );
  const [request] = await asked;
  t.is(`${request.method} ${request.url}`, 'POST /up?deep=1');
  t.is(request.headers.host, 'www.example.com');
  t.is(request.headers['x-probe'], 'a, b');
  t.is(request.headers['user-agent'], 'somebody');
  t.is(request.headers['content-length'], '0');
  t.is(request.headers['transfer-encoding'], undefined);
});

test('HTTP/1.0 is spoken where it is asked for', async (t) => {
  let asked = '';
  const target = await tcpServer(t, (socket) =>
    socket.once('data', (data: Buffer) => {
      asked = data.toString();
      socket.end('HTTP/1.0 200 OK\r\n\r\nwell');
    }),
  );
  t.is(await outcome(httpCheck({ http_1_0: true, bodyContains: 'well' }), target), 'passed');
  t.regex(asked, /^GET \/ HTTP\/1\.0\r\nHost: /);
});

test('HEAD is answered without a body', async (t) => {
  const target = await serving(t, (_, response) => void response.setHeader('Content-Length', 10).end());
  t.is(await outcome(httpCheck({ method: 'HEAD' }), target), 'passed');
});

test('the status is in one of the expected ranges', async (t) => {
  const target = await saying(t, '', 500);
  t.is(await outcome(httpCheck(), target), 'status 500, not 200-299');
  const expectedStatus = [
    { first: 200, last: 204 },
    { first: 301, last: 0 },
  ];
  t.is(await outcome(httpCheck({ expectedStatus }), target), 'status 500, not 200-204, 301');
  t.is(await outcome(httpCheck({ expectedStatus: [{ first: 500, last: 0 }] }), target), 'passed');
  const upgrade = await answering(t, 'HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n');
  t.is(await outcome(httpCheck(), upgrade), 'status 101, not 200-299');
});

test('the body contains a text, matches a regular expression or has a digest', async (t) => {
  const target = await saying(t, 'state: grün\n');
  t.is(await outcome(httpCheck({ bodyContains: 'grün' }), target), 'passed');
  t.is(await outcome(httpCheck({ bodyContains: 'green' }), target), 'body does not contain "green"');
  t.is(await outcome(httpCheck({ bodyRegex: 'state: gr.n$|^x' }), target), 'body does not match /state: gr.n$|^x/');
  t.is(await outcome(httpCheck({ bodyRegex: 'state: gr.n\\s' }), target), 'passed');
  t.is(await outcome(httpCheck({ bodyRegex: 'grün', bodyRegexNegated: true }), target), 'body matches /grün/');
  t.is(await outcome(httpCheck({ bodyRegex: 'rot', bodyRegexNegated: true }), target), 'passed');
  const digest = createHash('md5').update('state: grün\n').digest('hex');
  t.is(await outcome(httpCheck({ bodyMd5: digest.toUpperCase() }), target), 'passed');
  const other = '0'.repeat(32);
  t.is(await outcome(httpCheck({ bodyMd5: other }), target), `MD5 of the body is ${digest}, not ${other}`);
});

test('of a long body the beginning is searched, and all of it is digested', async (t) => {
  const body = Buffer.alloc(1_000_000, 'a');
  body.write('late', 262_144 - 2);
  body.write('early', 262_144 - 7);
  const target = await saying(t, body);
  t.is(await outcome(httpCheck({ bodyContains: 'early' }), target), 'passed');
  t.is(await outcome(httpCheck({ bodyContains: 'late' }), target), 'body does not contain "late"');
  t.is(await outcome(httpCheck({ bodyRegex: 'early' }), target), 'passed');
  t.is(
    await outcome(httpCheck({ bodyRegex: '[a-z]{999}y' }), target),
    'body does not match /[a-z]{999}y/ in its first 8371 bytes',
  );
  t.is(await outcome(httpCheck({ bodyMd5: createHash('md5').update(body).digest('hex') }), target), 'passed');
});

test('answers that do not come, or not whole', async (t) => {
  const silent = await tcpServer(t, (socket) => void socket.resume());
  t.is(await outcome(httpCheck(), silent, 150), 'connected, but no answer in 150 ms');
  const endless = await serving(t, (_, response) => void response.write('a'));
  t.is(await outcome(httpCheck(), endless, 150), 'status 200, but the answer did not end in 150 ms');
  t.is(await outcome(httpCheck(), await closedPort()), 'connection refused');
  const closing = await answering(t, '');
  t.is(await outcome(httpCheck(), closing), 'connection closed without an answer');
  const resetting = await tcpServer(t, (socket) => socket.once('data', () => socket.resetAndDestroy()));
  t.is(await outcome(httpCheck(), resetting), 'connection reset');
  const cut = await answering(t, 'HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf');
  t.is(await outcome(httpCheck(), cut), 'connection closed in the middle of the answer');
  const ssh = await answering(t, 'SSH-2.0-OpenSSH_9.2\r\n');
  t.regex(await outcome(httpCheck(), ssh), /^answer is not HTTP: /);
});

test('HTTPS: certificates are looked at only if that is wanted', async (t) => {
  const target = await tls(t, 'server');
  t.is(await outcome(httpCheck({ tls: tlsOptions() }), target), 'passed');
  const caFile = certificates.path('ca.crt');
  t.is(await outcome(httpCheck({ tls: tlsOptions({ verify: true, caFile }) }), target), 'passed');
  t.is(
    await outcome(httpCheck({ tls: tlsOptions({ verify: true, caFile, serverName: 'localhost' }) }), target),
    'passed',
  );
  t.is(
    await outcome(httpCheck({ tls: tlsOptions({ verify: true, caFile, serverName: 'other.example' }) }), target),
    'certificate is not valid for other.example, only for DNS:localhost, IP Address:127.0.0.1',
  );
  t.is(
    await outcome(httpCheck({ tls: tlsOptions({ verify: true }) }), target),
    'unable to verify the first certificate',
  );
});

test('HTTPS: a certificate that has expired', async (t) => {
  const target = await tls(t, 'expired');
  const caFile = certificates.path('ca.crt');
  t.is(await outcome(httpCheck({ tls: tlsOptions({ verify: true, caFile }) }), target), 'certificate has expired');
  t.is(await outcome(httpCheck({ tls: tlsOptions() }), target), 'passed');
});

test('HTTPS: the name of the server is told, or none', async (t) => {
  const names: (string | false | undefined)[] = [];
  const target = await tls(t, 'server', {
    SNICallback: (name, done) => {
      names.push(name);
      done(null);
    },
  });
  t.is(await outcome(httpCheck({ tls: tlsOptions() }), target), 'passed');
  t.is(await outcome(httpCheck({ tls: tlsOptions({ serverName: 'www.example.com' }) }), target), 'passed');
  t.deepEqual(names, ['www.example.com']);
});

test('HTTPS: our own certificate is shown', async (t) => {
  const target = await tls(t, 'server', { requestCert: true, ca: readFileSync(certificates.path('ca.crt')) });
  const own = tlsOptions({
    certificateFile: certificates.path('client.crt'),
    keyFile: certificates.path('client.key'),
  });
  t.is(await outcome(httpCheck({ tls: own }), target), 'passed');
  t.regex(await outcome(httpCheck({ tls: tlsOptions() }), target), /^TLS: .*(certificate required|handshake failure)/);
});

test('HTTPS: servers that do not speak TLS', async (t) => {
  const check = httpCheck({ tls: tlsOptions() });
  const plain = await saying(t, 'well');
  t.is(await outcome(check, plain), 'TLS: it does not speak TLS on this port');
  const silent = await tcpServer(t, (socket) => void socket.resume());
  t.is(await outcome(check, silent, 150), 'connected, but no TLS handshake in 150 ms');
  const closing = await tcpServer(t, (socket) => void socket.end());
  t.regex(await outcome(check, closing), /^(connection closed during the TLS handshake|connection reset)$/);
  t.is(await outcome(check, await closedPort()), 'connection refused');
  const quiet = await tls(t, 'server', {}, () => undefined);
  t.is(await outcome(check, quiet, 500), 'TLS is up, but no answer in 500 ms');
});

test('what cannot be asked is refused, and the field named', (t) => {
  const field = 'health.checks[0].http';
  t.is(refusal(httpCheck({ method: 'FETCH' })), `${field}.method: "FETCH" is not a method for a check`);
  t.regex(refusal(httpCheck({ path: 'up' })), /^health\.checks\[0\]\.http\.path: "up" does not begin/);
  t.regex(refusal(httpCheck({ path: '/a b' })), /^health\.checks\[0\]\.http\.path: /);
  t.is(refusal(httpCheck({ host: 'a\r\nb' })), `${field}.host: "a\\r\\nb" is not a Host header`);
  t.is(refusal(httpCheck({ headers: ['A: b', 'nothing'] })), `${field}.headers[1]: "nothing" is not "Name: value"`);
  t.is(refusal(httpCheck({ headers: ['Host: b'] })), `${field}.headers[0]: the Host header is given with host`);
  t.is(
    refusal(httpCheck({ expectedStatus: [{ first: 99, last: 0 }] })),
    `${field}.expected_status[0].first: 99 is not in 100 … 599`,
  );
  t.is(
    refusal(httpCheck({ expectedStatus: [{ first: 300, last: 200 }] })),
    `${field}.expected_status[0].last: 200 is not in 300 … 599`,
  );
  t.is(
    refusal(httpCheck({ bodyRegex: 'a(' })),
    `${field}.body_regex: "a(" is not a regular expression of RE2: missing closing )`,
  );
  t.is(refusal(httpCheck({ bodyRegexNegated: true })), `${field}.body_regex: must be given with body_regex_negated`);
  t.regex(refusal(httpCheck({ bodyMd5: 'xyz' })), /^health\.checks\[0\]\.http\.body_md5: /);
  t.regex(refusal(httpCheck({ bodyMd5: 'ab' })), /^health\.checks\[0\]\.http\.body_md5: /);
});

test('names and files of TLS that are not there, or not what they should be', (t) => {
  const refused = (fields: Parameters<typeof tlsOptions>[0]) => refusal(httpCheck({ tls: tlsOptions(fields) }));
  const field = 'health.checks[0].http.tls';
  t.is(
    refused({ caFile: '/nonexistent/ca.crt' }),
    `${field}.ca_file: "/nonexistent/ca.crt" cannot be read: no such file or directory`,
  );
  t.is(refused({ caFile: '/' }), `${field}.ca_file: "/" cannot be read: illegal operation on a directory`);
  t.is(refused({ caFile: '/dev/null' }), `${field}.ca_file: "/dev/null" has no certificate in it`);
  t.is(refused({ serverName: 'a b' }), `${field}.server_name: "a b" is not a host's name`);
  t.regex(refused({ serverName: '127.0.0.1' }), /server_name: "127\.0\.0\.1" is an address: /);
  const certificateFile = certificates.path('client.crt');
  t.is(refused({ certificateFile }), `${field}.key_file: must be given with certificate_file`);
  t.is(refused({ keyFile: certificates.path('client.key') }), `${field}.certificate_file: must be given with key_file`);
  t.regex(
    refused({ certificateFile: '/dev/null', keyFile: certificates.path('client.key') }),
    /^health\.checks\[0\]\.http\.tls\.certificate_file: "\/dev\/null" is no certificate in PEM: no start line$/,
  );
  t.regex(
    refused({ certificateFile, keyFile: certificates.path('server.key') }),
    /^health\.checks\[0\]\.http\.tls\.key_file: ".*server\.key" is not the key of the certificate: key values mismatch$/,
  );
});

function tls(
  t: ExecutionContext,
  name: string,
  options: ServerOptions = {},
  listener: RequestListener = (_, response) => void response.end('well'),
) {
  const files = {
    cert: readFileSync(certificates.path(`${name}.crt`)),
    key: readFileSync(certificates.path(`${name}.key`)),
  };
  const server = createTlsServer({ ...files, ...options }, listener);
  server.on('tlsClientError', (_: Error, socket: Socket) => socket.destroy());
  return listen(t, server);
}
