// SPDX-License-Identifier: Apache-2.0
// The Debian package: built twice with the same bytes, looked at by lintian, installed by apt into a clean Debian, where it
// balances real requests: by `fulcrum up`, and by the commands of its systemd units with their users and capabilities (no
// systemd runs here; systemd-analyze checks the units themselves). Purged, it leaves nothing.

import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { type Command, CommandError, run, type Task } from '../../src/lab/command.js';
import { isReady } from '../../src/lab/director.js';
import { World } from '../../src/lab/world.js';
import { buildScene, configuration, plug, requests, startTimes } from '../support/balanced.js';
import { addNode, impediment, unpackDebian } from '../support/debian.js';
import type { Scene } from '../support/scene.js';

const version = (JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { version: string }).version;
const packageFile = join(projectRoot, `dist/fulcrum_${version}_amd64.deb`);
const storyMs = 20 * 60_000;

/** Keeps the installed system between the tests, and takes it away. */
let world: World | undefined;
let reason: string | undefined;
let debian = '';

test.before(async () => {
  reason = await impediment('debootstrap', 'dpkg-deb', 'dpkg-shlibdeps', 'objcopy', 'setpriv', 'unshare');
  if (reason !== undefined) return;
  world = await World.create(`fd${process.pid}`);
  const directory = mkdtempSync('/var/tmp/fulcrum-debian-');
  world.addDirectory(directory);
  debian = join(directory, 'root');
});

test.after.always(async () => world?.destroy());

function isPossible(t: ExecutionContext): boolean {
  if (reason === undefined) return true;
  t.log(`skipped: ${reason}`);
  t.pass();
  return false;
}

/** Words that run a command in the installed system, with mounts of its own that go when it ends. */
const inside = (...command: readonly string[]): Command => [
  'unshare',
  '--mount',
  'sh',
  '-euc',
  'mount -t proc proc "$0/proc"; mount --rbind /sys "$0/sys"; exec chroot "$0" env DEBIAN_FRONTEND=noninteractive "$@"',
  debian,
  ...command,
];

const apt = (...words: readonly string[]): Promise<string> =>
  run(inside('apt-get', '-q', '-y', '-o', 'Dpkg::Use-Pty=0', ...words));

async function build(): Promise<string> {
  await run([process.execPath, '--import=tsx', join(projectRoot, 'src/build/package.ts')]);
  return createHash('sha256').update(readFileSync(packageFile)).digest('hex');
}

/** What a program says that ends with an error, too. */
const output = (command: Command): Promise<string> =>
  run(command).catch((error: unknown) => {
    if (error instanceof CommandError) return error.output;
    throw error;
  });

test.serial('it is built, the same once more, and lintian has nothing against it', async (t) => {
  t.timeout(storyMs);
  if (!isPossible(t)) return;
  const first = await build();
  t.is(await build(), first);
  const [size = ''] = (await run(['stat', '-c', '%s', packageFile])).split('\n');
  const installed = await run(['dpkg-deb', '-f', packageFile, 'Installed-Size']);
  t.log(`${(Number(size) / 1e6).toFixed(2)} MB, installed ${(Number(installed) / 1000).toFixed(1)} MB`);
  t.true(Number(size) < 10e6, 'it has become large: what came along?');
  const contents = await run(['dpkg-deb', '-c', packageFile]);
  t.notRegex(contents, /fulcrum\/dist\/test\/|node_modules\/(node-gyp|typescript)\/|\.map$/m);
  if ((await output(['sh', '-c', 'command -v lintian'])) === '') return t.log('lintian is not installed');
  const said = (await output(['lintian', '--allow-root', packageFile])).split('\n');
  t.deepEqual(
    said.filter((line) => /^[EW]: /.test(line)),
    [],
  );
});

/** Debian 12 has Node.js 18; whoever installs this has a newer one from elsewhere. Here that is the running one. */
async function nodePackage(): Promise<void> {
  const at = join(debian, 'tmp/nodejs');
  mkdirSync(join(at, 'usr/bin'), { recursive: true });
  mkdirSync(join(at, 'DEBIAN'));
  addNode(at);
  const fields = {
    Package: 'nodejs',
    Version: process.versions.node,
    Architecture: 'amd64',
    Maintainer: 'test <test@localhost>',
    Description: 'the node that runs this test',
  };
  writeFileSync(
    join(at, 'DEBIAN/control'),
    Object.entries(fields)
      .map(([name, value]) => `${name}: ${value}\n`)
      .join(''),
  );
  await run(['dpkg-deb', '--root-owner-group', '-Znone', '--build', at, join(debian, 'tmp/nodejs.deb')]);
  rmSync(at, { recursive: true });
}

const packagesSizeKb = async (): Promise<number> =>
  (await run(inside('dpkg-query', '-W', '-f', `\${Installed-Size}\n`)))
    .split('\n')
    .reduce((sum, line) => sum + Number(line), 0);

test.serial('apt installs it into a clean Debian; nothing is enabled', async (t) => {
  t.timeout(storyMs);
  if (!isPossible(t)) return;
  await unpackDebian(debian);
  t.log("nodejs is a package of this machine's own node, for Debian 12 has none that is new enough");
  await nodePackage();
  cpSync(packageFile, join(debian, 'tmp/fulcrum.deb'));
  await apt('install', '--no-install-recommends', '/tmp/nodejs.deb');
  const before = await packagesSizeKb();
  await apt('install', '--no-install-recommends', '/tmp/fulcrum.deb');
  t.log(`with what it depends on, but node: ${(((await packagesSizeKb()) - before) / 1000).toFixed(0)} MB`);
  t.is(await run(inside('fulcrum', '--version')), `${version}\n`);
  t.regex(await run(inside('fulcrum-ipvsadm', '--version')), /Fulcrum/);
  t.regex(readFileSync(join(debian, 'etc/passwd'), 'utf8'), /^fulcrum:x:\d+:\d+:Fulcrum manager:\/var\/lib\/fulcrum:/m);
  t.false(existsSync(join(debian, 'etc/systemd/system/multi-user.target.wants/fulcrum.target')));
  t.is(await run(inside('dpkg', '--verify', 'fulcrum')), '');
  // Debian's own ipvsadm has its names to itself.
  await apt('install', '--no-install-recommends', 'ipvsadm');
  // The file as it comes starts nothing, and says why.
  const refused = await output(inside('/usr/lib/fulcrum/appliance/prepare-dataplane'));
  t.regex(refused, /^\/etc\/fulcrum\/director\.yaml:\d+:\d+: /m);
});

const units = ['fulcrum-dataplane.service', 'fulcrum-manager.service', 'fulcrum.target'] as const;

test.serial('systemd has nothing against its units', async (t) => {
  t.timeout(storyMs);
  if (!isPossible(t)) return;
  t.is((await output(inside('systemd-analyze', 'verify', '--man=no', ...units))).trim(), '');
  for (const unit of units.slice(0, 2)) {
    const place = `/lib/systemd/system/${unit}`;
    const said = await output(inside('systemd-analyze', 'security', '--offline=true', '--no-pager', place));
    const exposure = /Overall exposure level for \S+ (\d+\.\d)/.exec(said)?.[1];
    t.log(`systemd-analyze security: ${unit} ${exposure}`);
    t.true(Number(exposure) < 5, said);
  }
});

/** A program of the installed system, running in the director's namespace. */
const startInside = (scene: Scene, ...command: readonly string[]): Task =>
  scene.world.spawn('director', inside(...command));

const runInside = (scene: Scene, ...command: readonly string[]): Promise<string> =>
  scene.world.run('director', inside(...command));

/** The scene with its links, and the director's file in its place. */
async function ready(t: ExecutionContext): Promise<Scene> {
  const scene = await buildScene(t);
  await plug(scene, 'eth1', 'wan');
  await plug(scene, 'eth2', 'lan');
  writeFileSync(join(debian, 'etc/fulcrum/director.yaml'), configuration);
  return scene;
}

function checkUnprivileged(t: ExecutionContext, manager: number): void {
  const state = readFileSync(`/proc/${manager}/status`, 'utf8');
  t.notRegex(state, /^Uid:\s+0/m);
  t.regex(state, /^CapEff:\s+0+$/m);
  t.regex(state, /^CapBnd:\s+0+$/m);
  t.regex(state, /^NoNewPrivs:\s+1$/m);
}

test.serial('requests go through what is installed: fulcrum up', async (t) => {
  t.timeout(storyMs);
  if (!isPossible(t)) return;
  const scene = await ready(t);
  const words = ['fulcrum', 'up', '--user', 'fulcrum', '--config', '/etc/fulcrum/director.yaml', '--log', 'json'];
  const { task, text } = await startTimes(scene, () => startInside(scene, ...words));
  t.teardown(() => task.stop());
  t.log(`fulcrum up: ${text}`);
  await requests(t, scene);
  t.regex(await runInside(scene, 'fulcrum', 'status'), /in force: +yes/);
  const status = JSON.parse(await runInside(scene, 'fulcrum', 'status', '-o', 'json'));
  checkUnprivileged(t, Number(status.pid));
  // CAP_NET_ADMIN, CAP_NET_RAW, CAP_IPC_LOCK.
  t.regex(readFileSync(`/proc/${status.dataplane.pid}/status`, 'utf8'), /^CapBnd:\s+0+7000$/m);
  // An edit is written where root's manager would have written it.
  await runInside(scene, 'fulcrum', 'service', 'add', 'tcp:203.0.113.20:8080');
  await runInside(scene, 'fulcrum', 'service', 'delete', 'tcp:203.0.113.20:8080');
  t.is(await task.stop(20_000), 'exit code 0');
});

/** Values of a setting of a unit, in order. */
function settings(unit: string, name: string): readonly string[] {
  const text = readFileSync(join(debian, 'lib/systemd/system', unit), 'utf8');
  return [...text.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value = '']) => value);
}

const setting = (unit: string, name: string): string => settings(unit, name)[0] ?? '';

/** A command of a unit as systemd runs it: user, group, capabilities, no new privileges, environment file. */
function asUnit(unit: string, name: 'ExecStart' | 'ExecStartPost' | 'ExecReload'): readonly string[] {
  const user = setting(unit, 'User') || 'root';
  const kept = setting(unit, 'CapabilityBoundingSet').toLowerCase().replaceAll('cap_', '').split(' ').filter(Boolean);
  const who = [
    '--reuid',
    user,
    '--regid',
    setting(unit, 'Group'),
    '--clear-groups',
    '--no-new-privs',
    '--inh-caps=-all',
  ];
  const bounding = `--bounding-set=${['-all', ...kept.map((capability) => `+${capability}`)].join(',')}`;
  const file = setting(unit, 'EnvironmentFile').replace(/^-/, '');
  // systemd's "$$" is a "$"; everything else that the units have, a shell reads in the same way.
  const command = setting(unit, name).replaceAll('$$', '$');
  const script = `${file === '' ? '' : `. ${file}; `}umask ${setting(unit, 'UMask')}; exec ${command}`;
  return ['setpriv', ...who, bounding, 'sh', '-euc', script];
}

const [dataplane, manager] = units;

test.serial('requests go through what is installed: the commands of its units', async (t) => {
  t.timeout(storyMs);
  if (!isPossible(t)) return;
  const scene = await ready(t);
  const isUp = (name: string) => (line: string) => isReady(line, name);
  const startUnit = async (unit: string, name: string): Promise<Task> => {
    for (const command of settings(unit, 'ExecStartPre')) await runInside(scene, command.replace(/^\+/, ''));
    const task = startInside(scene, ...asUnit(unit, 'ExecStart'));
    t.teardown(() => task.stop());
    await task.line(isUp(name), 60_000);
    return task;
  };
  const began = Date.now();
  const first = await startUnit(dataplane, 'dataplane');
  const managing = await startUnit(manager, 'manager');
  await runInside(scene, ...asUnit(manager, 'ExecStartPost'));
  t.log(`both units, one after the other, and the first configuration: ${Date.now() - began} ms`);
  await requests(t, scene);
  const status = JSON.parse(await runInside(scene, 'fulcrum', 'status', '-o', 'json'));
  checkUnprivileged(t, Number(status.pid));

  // The manager is restarted: connections and what was edited stay, though the file says otherwise.
  await runInside(scene, 'fulcrum', 'service', 'delete', 'tcp:203.0.113.20:80');
  t.is(await managing.stop(20_000), 'exit code 0');
  await scene.sh('client', 'curl -sgf -m 5 http://203.0.113.10/');
  await startUnit(manager, 'manager');
  await runInside(scene, ...asUnit(manager, 'ExecStartPost'));
  t.false((await runInside(scene, 'fulcrum', 'service', 'list')).includes('203.0.113.20'));
  // systemctl reload: as the file says.
  await runInside(scene, ...asUnit(manager, 'ExecReload'));
  await requests(t, scene);

  // The dataplane is killed and started again: the manager, which runs on, gives it its configuration back.
  first.signal('SIGKILL');
  await first.ended;
  await startUnit(dataplane, 'dataplane');
  await scene.sh('client', 'curl -sgf -m 2 --retry 20 --retry-delay 1 --retry-all-errors http://203.0.113.10/');
  await requests(t, scene);
});

/** Files whose names have the package's in them; what apt keeps of archives and of what it did does not count. */
async function left(): Promise<readonly string[]> {
  const found = await run(['find', debian, '-xdev', '-name', '*fulcrum*', '-not', '-path', `${debian}/tmp/*`]);
  return found.split('\n').filter((line) => line !== '' && !/\/var\/(log|cache\/apt)\//.test(line));
}

test.serial('purged, it leaves nothing', async (t) => {
  t.timeout(storyMs);
  if (!isPossible(t)) return;
  await apt('remove', 'fulcrum');
  t.true(existsSync(join(debian, 'etc/fulcrum/director.yaml')));
  t.false(existsSync(join(debian, 'usr/lib/fulcrum')));
  await apt('purge', 'fulcrum');
  t.deepEqual(await left(), []);
  t.false(readdirSync(join(debian, 'etc')).includes('fulcrum'));
});
