// SPDX-License-Identifier: Apache-2.0
// Commands and ping: exit codes, weights, time limits, and that nothing of what they started is left.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { FulcrumError } from '../../../../src/grpc/errors.js';
import { livingGroups } from '../../../../src/manager/health/checks/processes.js';
import { prepareCheck } from '../../../../src/manager/health/prepare.js';
import { commandCheck, outcome, path, pingCheck, refusal, rejection, tryOnce } from './support/checks.js';

const target = { address: '192.0.2.10', port: 80 };
const shell = (script: string, dynamicWeight = false) => commandCheck(['/bin/sh', '-c', script], dynamicWeight);

function directory(t: ExecutionContext): string {
  const made = mkdtempSync(join(tmpdir(), 'fulcrum-test-'));
  t.teardown(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

test('status 0 is success, another one is failure', async (t) => {
  t.is(await outcome(shell('exit 0'), target), 'passed');
  t.is(await outcome(shell('exit 1'), target), 'exit status 1');
  t.is(await outcome(shell('exit 200'), target), 'exit status 200');
  t.is(await outcome(shell('kill -SEGV $$'), target), 'ended by SIGSEGV');
  t.is(await outcome(commandCheck(['true']), target), 'passed');
});

test('with dynamic weights, 2 and above are weights', async (t) => {
  const weightOf = async (status: number) => {
    const result = await tryOnce(shell(`exit ${status}`, true), target);
    return result.ok ? (result.weight ?? 'as configured') : result.reason;
  };
  t.is(await weightOf(0), 'as configured');
  t.is(await weightOf(1), 'exit status 1');
  t.is(await weightOf(2), 0);
  t.is(await weightOf(102), 100);
  t.is(await weightOf(255), 253);
});

test('arguments are not a shell line; the target is in the environment; nothing of ours is', async (t) => {
  const file = join(directory(t), 'seen');
  const script =
    'printf "%s\\n" "$1" "$FULCRUM_ADDRESS" "$FULCRUM_PORT" "$FULCRUM_SOURCE" "$NODE_ENV" "$(test -n "$PATH" && echo path)" > "$2"; readlink /proc/$$/fd/0 >> "$2"';
  const check = commandCheck(['/bin/sh', '-c', script, 'sh', '$(id) *', file]);
  t.truthy(process.env.NODE_ENV, 'which ava sets');
  t.is(await outcome(check, { ...target, source: '192.0.2.1' }), 'passed');
  t.deepEqual(readFileSync(file, 'utf8').split('\n'), [
    '$(id) *',
    '192.0.2.10',
    '80',
    '192.0.2.1',
    '',
    'path',
    '/dev/null',
    '',
  ]);
});

test('after the time limit: TERM', async (t) => {
  const begun = performance.now();
  t.is(await outcome(shell('sleep 60'), target, 200), 'ended by the time limit of 200 ms: TERM');
  t.true(performance.now() - begun < 1500);
});

test('who does not hear TERM gets KILL two seconds later', async (t) => {
  const begun = performance.now();
  const reason = await outcome(shell('trap "" TERM; while :; do sleep 1; done'), target, 200);
  t.is(reason, 'ended by the time limit of 200 ms: TERM, then KILL');
  t.true(performance.now() - begun >= 2190);
});

test('of a command that forks and hangs nothing is left', async (t) => {
  const mark = `left-by-${process.pid}`;
  const hang = `(trap "" TERM; exec -a x sleep 61 2>/dev/null || while :; do sleep 1; done) & (sleep 62 &) ; sleep 63`;
  const check = commandCheck(['/bin/sh', '-c', hang, mark]);
  const trying = tryOnce(check, target, 300);
  const leader = await leaderOf(mark);
  t.true(groupOf(leader).length >= 3, 'it has forked');
  const result = await trying;
  t.false(result.ok);
  t.deepEqual(groupOf(leader), []);
});

test('what a command leaves running when it ends is ended as well', async (t) => {
  const file = join(directory(t), 'group');
  const begun = performance.now();
  t.is(await outcome(shell(`echo $$ > ${file}; sleep 64 & exit 0`), target), 'passed');
  t.true(performance.now() - begun < 1500);
  t.deepEqual(groupOf(Number(readFileSync(file, 'utf8'))), []);
});

for (const [how, script] of [
  ['ends by TERM', 'sleep 600'],
  ['takes KILL', 'trap "" TERM; while :; do sleep 1; done'],
] as const) {
  test(`what a command leaves in a session of its own is ended as well: one that ${how}`, async (t) => {
    const file = join(directory(t), 'pid');
    const daemon = `setsid sh -c 'echo $$ > ${file}; exec 0<&- 1>&- 2>&-; ${script}' & until [ -s ${file} ]; do :; done`;
    const begun = performance.now();
    t.is(await outcome(shell(daemon), target), 'passed');
    const pid = Number(readFileSync(file, 'utf8'));
    while (groupOf(pid).length > 0 && performance.now() - begun < 10_000)
      await new Promise((resolve) => setTimeout(resolve, 50));
    t.deepEqual(groupOf(pid), []);
  });
}

test('who lives is read once for all who wait, and not all the time', async (t) => {
  const begun = performance.now();
  let groups = livingGroups(begun);
  while (groups === undefined) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    groups = livingGroups(begun);
  }
  const own = readFileSync('/proc/self/stat', 'latin1').split(') ')[1]?.split(' ')[2];
  t.true(groups.has(Number(own)));
  t.is(livingGroups(begun), groups);
  t.is(livingGroups(performance.now()), undefined);
});

test('an aborted command is killed with all that it started', async (t) => {
  const mark = `aborted-of-${process.pid}`;
  const abort = new AbortController();
  const trying = tryOnce(
    commandCheck(['/bin/sh', '-c', 'trap "" TERM; sleep 65 & wait; sleep 66', mark]),
    target,
    60_000,
    abort.signal,
  );
  const leader = await leaderOf(mark);
  abort.abort();
  t.is(await rejection(trying), 'AbortError');
  t.deepEqual(groupOf(leader), []);
});

test('commands that cannot be run', (t) => {
  const field = 'health.checks[0].command.command';
  t.is(refusal(commandCheck([])), `${field}: must be given`);
  t.is(refusal(commandCheck(['', 'a'])), `${field}: must be given`);
  t.is(
    refusal(commandCheck(['/nonexistent/check'])),
    `${field}[0]: "/nonexistent/check" cannot be run: no such file or directory`,
  );
  t.is(refusal(commandCheck(['/etc'])), `${field}[0]: "/etc" cannot be run: not a file`);
  t.is(refusal(commandCheck(['/etc/passwd'])), `${field}[0]: "/etc/passwd" cannot be run: permission denied`);
  t.regex(refusal(commandCheck(['no-such-program'])), /command\[0\]: "no-such-program" cannot be run: not found in \//);
  t.regex(refusal(commandCheck(['bin/check'])), /command\[0\]: "bin\/check" is a relative path/);
  t.is(refusal(commandCheck(['true', 'a\0b'])), `${field}[1]: "a\\u0000b" has a NUL character`);
});

test('a program that has gone meanwhile says nothing about the target', async (t) => {
  const program = join(directory(t), 'check');
  writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
  const { prober } = prepareCheck(commandCheck([program]), path);
  const probe = () => prober.probe(target, 5000, new AbortController().signal);
  t.true((await probe()).ok);
  rmSync(program);
  const error = await t.throwsAsync(probe(), { instanceOf: FulcrumError });
  t.is(error?.message, `cannot run ${program}: no such file or directory`);
});

for (const address of ['127.0.0.1', '::1']) {
  test(`ping ${address}`, async (t) => {
    const result = await tryOnce(pingCheck(), { address, port: 0 });
    t.true(result.ok, JSON.stringify(result));
    t.true(result.latencyUs > 0 && result.latencyUs < 1_000_000);
  });
}

test('ping: nobody answers', async (t) => {
  const reason = await outcome(pingCheck(), { address: '100::1', port: 0 }, 300);
  t.regex(reason, /^(no answer in 300 ms|network is unreachable|.* says: Destination .*)$/);
});

test('ping: a source that this host does not have', async (t) => {
  const from = { address: '127.0.0.1', port: 0, source: '192.0.2.1' };
  const error = await t.throwsAsync(tryOnce(pingCheck(), from), { instanceOf: FulcrumError });
  t.is(error?.message, 'the source is not an address of this host');
});

test.serial('ping: the program is missing, or may not', async (t) => {
  const bin = directory(t);
  const usual = process.env.PATH;
  t.teardown(() => {
    process.env.PATH = usual;
  });
  process.env.PATH = bin;
  const { prober } = prepareCheck(pingCheck(), path);
  const probe = () => prober.probe({ address: '127.0.0.1', port: 0 }, 5000, new AbortController().signal);
  const missing = await t.throwsAsync(probe(), { instanceOf: FulcrumError });
  t.is(missing?.message, 'the program ping is not installed (iputils-ping)');
  // What iputils says without the capability.
  const said = 'ping: socktype: SOCK_RAW\nping: socket: Operation not permitted';
  writeFileSync(join(bin, 'ping'), `#!/bin/sh\necho "${said}" >&2\nexit 2\n`, { mode: 0o755 });
  const forbidden = await t.throwsAsync(probe(), { instanceOf: FulcrumError });
  t.regex(
    forbidden?.message ?? '',
    /needs CAP_NET_RAW in its bounding set, or its group in net\.ipv4\.ping_group_range/,
  );
});

interface Process {
  readonly pid: number;
  readonly group: number;
  readonly state: string;
}

/** Of all processes that are not zombies (those wait for whoever adopted them). */
function processes(): readonly Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const stat = readOrEmpty(`/proc/${name}/stat`);
      const [state = 'Z', , group = '0'] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return state === 'Z' ? [] : [{ pid: Number(name), group: Number(group), state }];
    });
}

const groupOf = (leader: number): readonly number[] =>
  processes()
    .filter(({ group }) => group === leader)
    .map(({ pid }) => pid);

/** The process with this argument, as soon as it has started others. */
async function leaderOf(mark: string): Promise<number> {
  for (;;) {
    const leader = processes().find(
      ({ pid, group }) => pid === group && readOrEmpty(`/proc/${pid}/cmdline`).includes(mark),
    );
    if (leader !== undefined && groupOf(leader.pid).length >= 2) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      return leader.pid;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

function readOrEmpty(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
