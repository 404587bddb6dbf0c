// SPDX-License-Identifier: Apache-2.0
// The files in bin/: they find their program from anywhere, through symlinks, and say what to do when it is not built.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { projectRoot } from '../../../src/grpc/loader.js';

/** A checkout with only bin/ in it, in a directory with a blank in its name. */
function checkout(t: ExecutionContext): string {
  const root = join(mkdtempSync(join(tmpdir(), 'fulcrum-cli-')), 'a checkout');
  t.teardown(() => rmSync(join(root, '..'), { recursive: true }));
  cpSync(join(projectRoot, 'bin'), join(root, 'bin'), { recursive: true });
  return root;
}

/** A program that tells how it was started. */
function build(root: string, main: string): void {
  mkdirSync(join(root, 'dist/src/cli/ipvsadm'), { recursive: true });
  writeFileSync(join(root, 'package.json'), '{ "type": "module" }');
  const program = `
    let input = '';
    if (process.argv.includes('-R')) for await (const piece of process.stdin) input += piece;
    console.log(JSON.stringify({ words: process.argv.slice(2), input }));
    process.exitCode = 7;`;
  writeFileSync(join(root, main), program);
}

function start(path: string, words: readonly string[] = [], input = '') {
  const { status, stdout, stderr } = spawnSync(path, words, { cwd: '/', input, encoding: 'utf8' });
  return { status, stdout, stderr };
}

const programs = [
  ['fulcrum', 'dist/src/cli/main.js'],
  ['ipvsadm', 'dist/src/cli/ipvsadm/main.js'],
] as const;

for (const [name, main] of programs) {
  test(`${name}: not built yet`, (t) => {
    const root = checkout(t);
    const { status, stdout, stderr } = start(join(root, 'bin', name));
    t.is(status, 1);
    t.is(stdout, '');
    t.is(stderr, `${name}: not built yet: run ${root}/bin/bootstrap\n`);
  });

  test(`${name}: through symlinks, from another directory, words and exit status untouched`, (t) => {
    const root = checkout(t);
    build(root, main);
    symlinkSync(join(root, 'bin', name), join(root, 'first'));
    symlinkSync('first', join(root, 'second'));
    const { status, stdout } = start(join(root, 'second'), ['-Ln', 'two words', '']);
    t.is(status, 7);
    t.deepEqual(JSON.parse(stdout).words, ['-Ln', 'two words', '']);
  });
}

test('ipvsadm-save is ipvsadm -S', (t) => {
  const root = checkout(t);
  build(root, 'dist/src/cli/ipvsadm/main.js');
  const { status, stdout } = start(join(root, 'bin/ipvsadm-save'), ['-n']);
  t.is(status, 7);
  t.deepEqual(JSON.parse(stdout).words, ['-S', '-n']);
});

test('ipvsadm-restore drops comments, and clears the table before the rules', (t) => {
  const root = checkout(t);
  build(root, 'dist/src/cli/ipvsadm/main.js');
  const { status, stdout } = start(join(root, 'bin/ipvsadm-restore'), [], '# rules\n-A -t 192.0.2.1:80 -s rr\n#\n-Z\n');
  t.is(status, 7);
  t.deepEqual(JSON.parse(stdout), { words: ['-R'], input: '-C\n-A -t 192.0.2.1:80 -s rr\n-Z\n' });
});
