// SPDX-License-Identifier: Apache-2.0
// The image: built from the checkout by buildah on a Debian that debootstrap made, run by podman with the two capabilities
// of packet sockets, given veths when it runs already, as containerlab does; and real requests go through it.

import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { run } from '../../src/lab/command.js';
import { World } from '../../src/lab/world.js';
import { buildScene, configuration, isUp, plug, requests, startTimes } from '../support/balanced.js';
import { Containers, containerTools } from '../support/container.js';
import { addBuildTools, addNode, hasNpm, impediment, unpackDebian } from '../support/debian.js';

const image = 'localhost/fulcrum-test';
const { version } = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')) as { readonly version: string };
const buildMs = 45 * 60_000;
const storyMs = 10 * 60_000;

/** Where the layers are; it outlives single tests. */
let world: World | undefined;
let containers: Containers | undefined;
let reason: string | undefined;

test.before(async () => {
  reason = await impediment('debootstrap', ...containerTools);
  if (reason === undefined && !hasNpm) reason = 'this node came without npm beside it';
  if (reason !== undefined) return;
  world = await World.create(`fi${process.pid}`);
  containers = new Containers(world);
});

test.after.always(async () => world?.destroy());

/** The containers' tools; undefined where there can be none, which is then said. */
function tools(t: ExecutionContext): Containers | undefined {
  if (containers !== undefined) return containers;
  t.log(`skipped: ${reason}`);
  t.pass();
  return undefined;
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;

/** Two base images as the Dockerfile wants them: Debian with node, and the same with npm. */
async function importBases(at: Containers): Promise<readonly string[]> {
  const root = join(at.directory, 'debian');
  await unpackDebian(root);
  const take = async (name: string, ...changes: readonly string[]): Promise<void> => {
    const tarball = `${root}.tar`;
    await run(['tar', '-C', root, '-cf', tarball, '.']);
    await at.podman('import', '--quiet', ...changes, tarball, name);
    rmSync(tarball);
  };
  addNode(root);
  await take('localhost/base');
  const authorities = await addBuildTools(root);
  await take('localhost/build-base', ...(authorities ? ['--change', `ENV NODE_EXTRA_CA_CERTS=${authorities}`] : []));
  rmSync(root, { recursive: true });
  return ['--build-arg', 'BASE=localhost/base', '--build-arg', 'BUILD_BASE=localhost/build-base'];
}

test.serial('it is built from the checkout', async (t) => {
  t.timeout(buildMs);
  const at = tools(t);
  if (at === undefined) return;
  const bases = await importBases(at);
  const file = join(projectRoot, 'docker/Dockerfile');
  // Docker's format: OCI's has no health check.
  const format = ['--isolation', 'chroot', '--format', 'docker', '--layers=false'];
  const started = Date.now();
  await run(at.buildah('bud', ...format, ...bases, '--tag', image, '--file', file, projectRoot));
  const [whole, base] = [await at.size(image), await at.size('localhost/base')];
  t.log(`built in ${((Date.now() - started) / 1000).toFixed(0)} s`);
  t.log(`${megabytes(whole)}, of which ${megabytes(base)} are Debian and node, ${megabytes(whole - base)} ours`);
  t.true(whole - base < 60e6, 'it has become large: what came along?');
  const { Config: config } = JSON.parse(await at.podman('image', 'inspect', image))[0];
  t.is(config.User, 'fulcrum');
  t.is(config.Labels['org.opencontainers.image.version'], version);
  t.is(config.Labels['org.opencontainers.image.licenses'], 'Apache-2.0');
  t.deepEqual(config.Entrypoint, ['/usr/bin/tini', '--', '/usr/lib/fulcrum/entrypoint']);
});

test.serial(
  'it waits for its links, then requests go through it; killed, it starts again; stopped, it ends with 0',
  async (t) => {
    t.timeout(storyMs);
    const at = tools(t);
    if (at === undefined) return;
    const scene = await buildScene(t);
    const file = join(at.directory, 'director.yaml');
    writeFileSync(file, configuration, { mode: 0o644 });
    const options = ['--cap-add', 'NET_ADMIN', '--cap-add', 'NET_RAW', '-v', `${file}:/etc/fulcrum/director.yaml:ro`];
    const name = `director-${process.pid}`;
    await at.create(name, scene.world.name('director'), ...options, '--env', 'CLAB_INTFS=2', image);

    const first = at.start(name);
    t.teardown(() => first.stop());
    await first.line((line) => line.includes('waiting for 2 interfaces'), 60_000);
    const ready = first.line(isUp, 60_000);
    await plug(scene, 'eth1', 'wan');
    await plug(scene, 'eth2', 'lan');
    await ready;
    await requests(t, scene);

    const inside = (...words: readonly string[]): Promise<string> => at.podman('exec', name, ...words);
    t.regex(await inside('fulcrum', 'status'), /in force: +yes/);
    t.regex(await inside('ipvsadm', '-Ln'), /^TCP +203\.0\.113\.10:80 rr/m);
    t.regex(await inside('sh', '-c', 'cat /proc/1/comm'), /^tini$/);
    t.not(await inside('id', '-u'), '0');
    // Only the dataplane has CAP_NET_ADMIN and CAP_NET_RAW.
    const status = JSON.parse(await inside('fulcrum', 'status', '-o', 'json'));
    t.regex(await inside('cat', `/proc/${status.pid}/status`), /^CapEff:\s+0+$/m);
    t.regex(await inside('cat', `/proc/${status.dataplane.pid}/status`), /^CapEff:\s+0+3000$/m);
    // The health check that the image brings, as the engine would run it.
    await t.notThrowsAsync(at.podman('healthcheck', 'run', name));
    // An orphan is reaped by process 1.
    await inside('sh', '-c', '(sleep 0.1 &)');
    await scene.sh('client', 'sleep 0.3');
    t.false((await inside('sh', '-c', 'cat /proc/[0-9]*/stat')).includes(') Z '));

    await at.podman('kill', '--signal', 'KILL', name);
    t.is(await first.ended, 'exit code 137');
    const again = await startTimes(scene, () => at.start(name));
    t.teardown(() => again.task.stop());
    t.log(`podman start: ${again.text}`);
    await requests(t, scene);

    const began = Date.now();
    await at.podman('stop', '--time', '20', name);
    t.is(await again.task.ended, 'exit code 0');
    const took = Date.now() - began;
    t.log(`stopped in ${took} ms`);
    t.true(took < 10_000);
    await at.podman('rm', name);
  },
);

test.serial('as Docker runs it: a user gets no capability, and the entrypoint fetches them', async (t) => {
  t.timeout(storyMs);
  const at = tools(t);
  if (at === undefined) return;
  const scene = await buildScene(t);
  await plug(scene, 'eth1', 'wan');
  await plug(scene, 'eth2', 'lan');
  const directory = join(at.directory, 'docker');
  mkdirSync(directory);
  const file = join(directory, 'director.yaml');
  writeFileSync(file, configuration, { mode: 0o644 });
  const name = `docker-${process.pid}`;
  // podman makes a user's capabilities ambient, Docker leaves them in the bounding set: so does setpriv here.
  const asDocker = ['--user', '0', '--entrypoint', '/usr/bin/setpriv', '--env', 'FULCRUM_INTERFACES=eth1,eth2'];
  const words = [
    '--reuid',
    'fulcrum',
    '--regid',
    'fulcrum',
    '--clear-groups',
    '--inh-caps=-all',
    '/usr/lib/fulcrum/entrypoint',
  ];
  const options = ['--cap-add', 'NET_ADMIN', '--cap-add', 'NET_RAW', '-v', `${file}:/etc/fulcrum/director.yaml:ro`];
  await at.create(name, scene.world.name('director'), ...options, ...asDocker, image, ...words, '--no-server-metrics');
  const { task, text } = await startTimes(scene, () => at.start(name));
  t.teardown(() => task.stop());
  t.log(text);
  await requests(t, scene);
  const [status = ''] = (await at.podman('exec', name, 'sh', '-c', 'grep -h ^Cap[EA] /proc/[0-9]*/status')).split('\n');
  t.regex(status, /^CapEff:/);
  await at.podman('stop', '--time', '20', name);
  await at.podman('rm', name);
});

test.serial('what is missing is said', async (t) => {
  t.timeout(storyMs);
  const at = tools(t);
  if (at === undefined) return;
  const bare = await at.says(image);
  t.is(bare.ending, 'exit code 1');
  t.regex(bare.lines.join('\n'), /^entrypoint: there is no \/etc\/fulcrum\/director\.yaml .*: mount one/);
  const file = join(at.directory, 'empty.yaml');
  writeFileSync(file, 'ports: {}\n', { mode: 0o644 });
  const mounted = ['-v', `${file}:/etc/fulcrum/director.yaml:ro`];
  const powerless = await at.says(...mounted, '--cap-drop', 'all', image);
  t.is(powerless.ending, 'exit code 1');
  t.regex(
    powerless.lines.join('\n'),
    /CAP_NET_ADMIN and CAP_NET_RAW are needed .*--cap-add NET_ADMIN --cap-add NET_RAW/,
  );
  const capable = [...mounted, '--cap-add', 'NET_ADMIN', '--cap-add', 'NET_RAW'];
  const lonely = await at.says(...capable, '--env', 'CLAB_INTFS=2', '--env', 'FULCRUM_WAIT=1', image);
  t.is(lonely.ending, 'exit code 1');
  t.regex(lonely.lines.join('\n'), /after 1 s still waiting for 2 interfaces beside lo and eth0, 0 are here/);
  const said = await at.says(image, 'fulcrum', '--version');
  t.deepEqual(said, { ending: 'exit code 0', lines: [version] });
});
