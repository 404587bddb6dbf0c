// SPDX-License-Identifier: Apache-2.0
// fulcrum setup and fulcrum doctor as commands: what they print, and with what they end.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { director, run } from './support/run_fulcrum.js';

function fileOf(t: ExecutionContext, text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-host-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'director.yaml');
  writeFileSync(path, text);
  return path;
}

test('setup: a file that is not there, a file that is wrong', async (t) => {
  const absent = await run('setup --config /nonexistent/director.yaml');
  t.is(absent.exitCode, 1);
  t.regex(absent.complaints, /^fulcrum: ENOENT: no such file or directory, open '\/nonexistent\/director\.yaml'\n$/);
  const wrong = await run(`setup --config ${fileOf(t, 'ports: { wan: { device: "0000:ff:1f.7" } }\n')}`);
  t.is(wrong.exitCode, 1);
  t.regex(wrong.complaints, /director\.yaml:1:25: ports\.wan\.device: there is no PCI device 0000:ff:1f\.7/);
  t.is((await run('setup')).exitCode, 2);
});

test('doctor: problems first, and one of them decides the exit status', async (t) => {
  const dataplane = { connected: false, lastError: 'connect ENOENT' };
  const fake = await director(t, {
    getStatus: async () => ({ version: '0.0.1', pid: 7, dataplane }),
    listVirtualServices: async () => ({ services: [] }),
  });
  const { exitCode, output } = await run('doctor -o json', fake);
  t.is(exitCode, 1);
  const { findings, problem } = JSON.parse(output) as {
    findings: { level: string; subject: string }[];
    problem: number;
  };
  t.is(findings.filter(({ level }) => level === 'problem').length, problem);
  t.deepEqual(
    findings.slice(0, problem).map(({ level }) => level),
    Array.from({ length: problem }, () => 'problem'),
  );
  t.like(
    findings.find(({ subject }) => subject === 'dataplane'),
    { level: 'problem', found: 'not connected: connect ENOENT' },
  );
  const table = await run(`doctor --config ${fileOf(t, 'ports: { wan: { devise: x } }\n')}`, fake);
  t.regex(table.output, /^problem +configuration: .*director\.yaml:1:17: ports\.wan\.devise: unknown key "devise"/m);
  t.regex(table.output, /\n\d+ problems?, \d+ warnings?, \d+ notes?, \d+ in order\n$/);
});
