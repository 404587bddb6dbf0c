// SPDX-License-Identifier: Apache-2.0
// Every manual page as man renders it, without a warning, and nothing of the tree of commands left out.
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import test from 'ava';
import { manualFiles } from '../../src/build/manual.js';
import { projectRoot } from '../../src/grpc/loader.js';

test('pages render without a warning; verbs and options are all there; the date is the one that was given', async (t) => {
  t.timeout(120_000);
  const files = await manualFiles('2026-05-01');
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-man-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const environment = { ...process.env, MANWIDTH: '100', LC_ALL: 'C.UTF-8', MANROFFOPT: '', MANPAGER: 'cat' };
  const rendered = new Map<string, string>();
  for (const [name, text] of files) {
    if (!name.startsWith('man/')) continue;
    const path = join(directory, basename(name));
    writeFileSync(path, text);
    const { status, stdout, stderr, error } = spawnSync('man', ['--warnings', '-l', path], {
      encoding: 'utf8',
      env: environment,
    });
    if (error) {
      t.log('skipped: there is no man here');
      t.pass();
      return;
    }
    t.is(status, 0, name);
    t.is(stderr, '', name);
    t.true(stdout.includes('2026-05-01'), name);
    rendered.set(basename(name), stdout.replaceAll(/.\x08/g, '').replaceAll('‐\n', '').replaceAll(/\s+/g, ' '));
  }
  t.true(rendered.size > 20);
  t.regex(rendered.get('fulcrum-server.1') ?? '', /fulcrum server drain \[option\]\.\.\. service server/);
  t.regex(
    rendered.get('fulcrum-server.1') ?? '',
    /--upper-threshold connections at so many connections it is overloaded/,
  );
  t.regex(rendered.get('fulcrum-setup.1') ?? '', /EXAMPLES fulcrum setup --config \/etc\/fulcrum\/director\.yaml/);
  t.regex(rendered.get('ipvsadm.8') ?? '', /-A, --add-service SERVICE/);
  // Each verb's own --help and its page say the same.
  const help = execFileSync(join(projectRoot, 'bin/fulcrum'), ['service', 'add', '--help'], { encoding: 'utf8' });
  for (const [option] of help.matchAll(/--[a-z][a-z-]+/g))
    t.true(
      [...rendered.values()].some((page) => page.includes(option)),
      option,
    );
  for (const shell of ['fulcrum', '_fulcrum', 'fulcrum.fish']) t.true(files.has(`completion/${shell}`));
});
