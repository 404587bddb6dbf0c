// SPDX-License-Identifier: Apache-2.0
// fulcrum import: where the file, the warnings and the errors go, and the exit codes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { run, runWords } from './support/run_fulcrum.js';

const keepalived = `global_defs {
    router_id lb
}
@here virtual_server 203.0.113.10 80 {
@here     protocol TCP
@here     lvs_sched rr
@here     lvs_method DR
@here     real_server 10.0.0.1 80 {
@here     }
@here }
`;
const printed = `services:
  - address: tcp:203.0.113.10:80
    scheduler: rr
    servers:
      - { address: 10.0.0.1:80, method: dr, weight: 1 }
`;
const warning = { line: 2, message: "router_id: names keepalived's mail; not needed" };

function fileWith(t: ExecutionContext, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-import-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'file.conf'), text);
  return join(directory, 'file.conf');
}

test('the file goes to standard output, what has no equivalent to standard error', async (t) => {
  const file = fileWith(t, keepalived);
  const { exitCode, output, complaints } = await run(`import keepalived ${file} --id here`);
  t.is(exitCode, 0);
  t.is(output, printed);
  t.is(complaints, `${file}:${warning.line}: ${warning.message}\n`);
});

test('JSON has both', async (t) => {
  const file = fileWith(t, keepalived);
  const { exitCode, output, complaints } = await run(`-o json import keepalived ${file} --id here`);
  t.is(exitCode, 0);
  t.is(complaints, '');
  const { configuration, warnings } = JSON.parse(output) as {
    configuration: { services: { address: string }[] };
    warnings: object[];
  };
  t.is(configuration.services[0]?.address, 'tcp:203.0.113.10:80');
  t.deepEqual(warnings, [{ file, ...warning }]);
});

test('lines of another machine are not read', async (t) => {
  t.is((await run(`import keepalived ${fileWith(t, keepalived)} --id there`)).output, 'services: []\n');
});

test('a file that cannot be parsed ends with 2 and its place, and prints nothing', async (t) => {
  const file = fileWith(t, 'virtual_server 203.0.113.10 80 {\n  lvs_sched "rr\n}\n');
  const { exitCode, output, complaints } = await run(`import keepalived ${file}`);
  t.is(exitCode, 2);
  t.is(output, '');
  t.is(complaints, `${file}:2:13: a quote is not closed\n`);
  const other = fileWith(t, 'virtual 203.0.113.10:80\n');
  t.deepEqual(await run(`import ldirectord ${other}`), {
    exitCode: 2,
    output: '',
    complaints: `${other}:1:1: this is not "key = value"\n`,
    largestWrite: 0,
  });
});

test('a file that cannot be read ends with 2', async (t) => {
  for (const kind of ['keepalived', 'ldirectord']) {
    const { exitCode, complaints } = await run(`import ${kind} /nonexistent/file`);
    t.is(exitCode, 2);
    t.is(complaints, 'fulcrum: /nonexistent/file: no such file\n');
  }
});

test('ldirectord.cf', async (t) => {
  const file = fileWith(
    t,
    'virtual = 203.0.113.10:80\n  real = 10.0.0.1:80 gate\n  checktype = on\n  scheduler = rr\n',
  );
  t.deepEqual(await run(`import ldirectord ${file}`), {
    exitCode: 0,
    output: printed,
    complaints: '',
    largestWrite: printed.length,
  });
});

test('help tells what is read, how words are translated, and the exit codes', async (t) => {
  t.regex((await run('import --help')).output, /Exit status 0, also with warnings; 2 if the file cannot be read/);
  t.regex((await run('import keepalived --help')).output, /retry N +fall N\+1/);
  t.regex((await run('import ldirectord --help')).output, /quiescent +inhibit_on_failure/);
  t.is((await runWords(['import', 'haproxy', 'x'])).exitCode, 2);
});
