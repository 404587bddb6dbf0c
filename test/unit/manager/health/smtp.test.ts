// SPDX-License-Identifier: Apache-2.0
// SMTP checks: 220, HELO, 250, QUIT, and everything that may come instead.
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { hostname } from 'node:os';
import test, { type ExecutionContext } from 'ava';
import { outcome, refusal, smtpCheck, tryOnce } from './support/checks.js';
import { closedPort, listen, tcpServer } from './support/servers.js';

/** Says the first, and each further one after a line. */
function talker(t: ExecutionContext, ...replies: readonly string[]) {
  return tcpServer(t, (socket) => {
    let said = 0;
    const say = (): void => void (replies[said] !== undefined && socket.write(replies[said++] ?? ''));
    socket.on('data', say);
    say();
  });
}

test('a mail server is greeted by name, and left with QUIT', async (t) => {
  const lines: string[] = [];
  const server = createServer((socket) => {
    socket.write('220-mail.example\r\n220 ready\r\n');
    socket.on('data', (data: Buffer) => {
      lines.push(data.toString());
      if (lines.length === 1) socket.write('250 hello\r\n');
      else socket.end('221 bye\r\n');
    });
  });
  const connection = once(server, 'connection') as Promise<[Socket]>;
  const target = await listen(t, server);
  t.is(await outcome(smtpCheck('director.example'), target), 'passed');
  t.deepEqual(lines, ['HELO director.example\r\n', 'QUIT\r\n']);
  const [socket] = await connection;
  if (!socket.closed) await once(socket, 'close');
});

test('the host calls itself by its own name', async (t) => {
  let helo = '';
  const target = await tcpServer(t, (socket) => {
    socket.write('220 ready\r\n');
    socket.once('data', (data: Buffer) => {
      helo = data.toString();
      socket.end('250 hello\r\n');
    });
  });
  t.is(await outcome(smtpCheck(), target), 'passed');
  t.is(helo, `HELO ${hostname()}\r\n`);
});

test('a server that says nothing to QUIT is well, and soon left', async (t) => {
  const begun = performance.now();
  const result = await tryOnce(smtpCheck('x'), await talker(t, '220 ready\r\n', '250 hello\r\n'), 60_000);
  t.true(result.ok);
  t.true(performance.now() - begun < 10_000);
  t.true(result.latencyUs < 400_000, 'the time of the answer to HELO');
});

test('a reply that arrives in pieces', async (t) => {
  const target = await tcpServer(t, (socket) => {
    socket.setNoDelay();
    socket.write('220-mail\r\n2', () => setImmediate(() => socket.write('20 ready\r\n')));
    socket.once('data', () => socket.write('25', () => setImmediate(() => socket.write('0 hello\r\n'))));
  });
  t.is(await outcome(smtpCheck('x'), target), 'passed');
});

test('what may come instead', async (t) => {
  const said = async (...replies: string[]) => outcome(smtpCheck('x'), await talker(t, ...replies), 200);
  t.is(await said('554 no service\r\n'), '"554 no service" is not 220');
  t.is(await said('220 ready\r\n', '501-syntax\r\n501 error\r\n'), '"501-syntax\\r\\n501 error" is not 250');
  t.is(await said('SSH-2.0-OpenSSH\r\n'), '"SSH-2.0-OpenSSH" is not 220');
  t.is(await said('220 ready'), 'connected, but no greeting in 200 ms');
  t.is(await said('220 ready\r\n'), 'connected, but no answer to HELO in 200 ms');
  t.is(await said('x'.repeat(70_000)), 'answer is not SMTP: its lines do not end');
  t.is(
    await outcome(smtpCheck('x'), await tcpServer(t, (socket) => void socket.end())),
    'connection closed before the greeting',
  );
  const hasty = await tcpServer(
    t,
    (socket) => void socket.write('220 x\r\n', () => socket.once('data', () => socket.end())),
  );
  t.is(await outcome(smtpCheck('x'), hasty), 'connection closed before the answer to HELO');
  t.is(await outcome(smtpCheck('x'), await closedPort()), 'connection refused');
});

test('a name that would break the line', (t) => {
  t.is(refusal(smtpCheck('a\r\nQUIT')), 'health.checks[0].smtp.helo_name: "a\\r\\nQUIT" is not a host\'s name');
});
