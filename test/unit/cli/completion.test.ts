// SPDX-License-Identifier: Apache-2.0
// Completion by the shells themselves: what a TAB offers at the end of a line.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { run } from './support/run_fulcrum.js';

/** The script in a file, and a "fulcrum" that knows two services. */
async function prepared(t: ExecutionContext, shell: string): Promise<{ script: string; directory: string }> {
  const { exitCode, output } = await run(`completion ${shell}`);
  t.is(exitCode, 0);
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-completion-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const script = join(directory, `fulcrum.${shell}`);
  writeFileSync(script, output);
  const names = `case "$2" in
services) printf '%s\\n' tcp:203.0.113.10:80 tcp:203.0.113.20:80 udp:203.0.113.10:53 ;;
servers) [ "$3" = tcp:203.0.113.10:80 ] && printf '%s\\n' 10.0.0.11:80 10.0.0.12:80 ;;
esac`;
  writeFileSync(join(directory, 'fulcrum'), `#!/bin/sh\n${names}\n`);
  chmodSync(join(directory, 'fulcrum'), 0o755);
  return { script, directory };
}

test('bash: commands, options, their values, files, services and servers', async (t) => {
  const { script, directory } = await prepared(t, 'bash');
  const lines = [
    'fulcrum ser',
    'fulcrum service ',
    'fulcrum -o json service a',
    'fulcrum service add --sched',
    'fulcrum -o ',
    'fulcrum server drain --then r',
    'fulcrum server list tcp:203.0.113.2',
    'fulcrum server edit tcp:203.0.113.10:80 10.0.0.1',
    `fulcrum up --config ${directory}/fulcrum.b`,
    'fulcrum nonsense ',
  ];
  const ask = lines.map(
    (line) => `COMP_LINE=${JSON.stringify(line)}; COMP_POINT=\${#COMP_LINE}; _fulcrum; echo "\${COMPREPLY[*]}"`,
  );
  const program = ["COMP_WORDBREAKS=$' \\t\\n:='", `source ${script}`, ...ask].join('\n');
  const path = `${directory}:${process.env.PATH}`;
  const output = execFileSync('bash', ['-uc', program], { encoding: 'utf8', env: { ...process.env, PATH: path } });
  const offered = output.slice(0, -1).split('\n');
  t.deepEqual(offered.slice(0, 1), ['service server']);
  t.true(
    ['add', 'delete', 'edit', 'list'].every((verb) => offered[1]?.split(' ').includes(verb)),
    offered[1],
  );
  t.deepEqual(offered.slice(2), [
    'add',
    '--scheduler',
    'table json yaml',
    'reset remove',
    // bash has "tcp:" already.
    '203.0.113.20:80',
    '10.0.0.11:80 10.0.0.12:80',
    script,
    '',
  ]);
});

for (const shell of ['zsh', 'fish']) {
  test(`${shell}: the script can be read by it`, async (t) => {
    const { script } = await prepared(t, shell);
    const checked = spawnSync(shell, ['-n', script], { encoding: 'utf8' });
    if (checked.error) {
      t.log(`not read: there is no ${shell} here`);
      t.pass();
      return;
    }
    t.is(checked.stderr, '');
    t.is(checked.status, 0);
  });
}

test('completion asks the director for names', async (t) => {
  const refused = await run('completion tcsh');
  t.is(refused.exitCode, 2);
  t.regex(refused.complaints, /bash, zsh, fish/);
});
