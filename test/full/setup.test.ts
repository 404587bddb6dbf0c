// SPDX-License-Identifier: Apache-2.0
// fulcrum setup on this machine, for real: huge pages are reserved, a director runs in exactly these, and everything is
// as it was afterwards.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { thisMachine } from '../../src/config/machine.js';
import { projectRoot } from '../../src/grpc/loader.js';
import { cpusText, packetDevice } from '../../src/lab/plan.js';
import { Scene } from '../support/scene.js';

const pages = '/sys/devices/system/node/node0/hugepages/hugepages-2048kB';
const number = (name: string): number => Number(readFileSync(join(pages, name), 'utf8'));

const configuration = (workers: number): string => `${cpusText(workers, thisMachine().cpus)}idle: sleep
memory: { hugepages: on, connections: 100000 }
ports:
  wan: { device: "${packetDevice(0, 'wan0')}", interfaces: [{ addresses: ["203.0.113.1/24"] }] }
`;

/** Puts back what was there before. */
function restored(t: ExecutionContext): void {
  const before = number('nr_hugepages');
  t.teardown(() => writeFileSync(join(pages, 'nr_hugepages'), String(before)));
}

test.serial('what setup makes is what a director needs, and not much more', async (t) => {
  t.timeout(180_000);
  if (!existsSync(pages)) {
    t.log('skipped: this kernel has no huge pages of 2 MB');
    t.pass();
    return;
  }
  restored(t);
  const scene = await Scene.empty(t);
  await scene.host('director', { device: 'wan0', segment: 'wan', mtu: 1400 });
  await scene.sh('director', 'ethtool -K wan0 gro on tso on gso on');
  const file = join(scene.directory, 'host.yaml');
  writeFileSync(file, configuration(1));
  writeFileSync(join(pages, 'nr_hugepages'), '0');

  const planned = await t.throwsAsync(scene.fulcrum(`setup --config ${file}`));
  t.regex(String(planned), /exit code 5/);
  t.regex(String(planned), /^ +# echo \d+ > \/sys\/devices\/system\/node\/node0\/hugepages/m);
  t.is(number('nr_hugepages'), 0, 'without --apply nothing is changed');

  const done = await scene.fulcrum(`setup --config ${file} --apply`);
  t.regex(done, /2 steps done\.( Left to others, see above: \d+\.)?$/);
  t.regex(await scene.sh('director', 'ethtool -k wan0'), /^generic-receive-offload: off$/m);
  t.regex(await scene.sh('director', 'ip link show wan0'), /mtu 1500 .*state UP/);
  const made = number('nr_hugepages');
  t.is(await scene.fulcrum(`setup --config ${file}`), 'Nothing to do.');

  await scene.startDirector('director', configuration(1));
  t.is((await scene.api().getStatus({})).dataplane?.memory, 'hugepages');
  const left = number('free_hugepages');
  t.log(`${made} pages made, ${left} left free`);
  t.true(left <= made / 2, `${left} of ${made} were for nothing`);
  await scene.director.stop();
});

test.serial('--root: files for another root, none of them outside', (t) => {
  const root = mkdtempSync(join(tmpdir(), 'fulcrum-root-'));
  t.teardown(() => rmSync(root, { recursive: true }));
  const file = join(root, 'director.yaml');
  const fulcrum = join(projectRoot, 'bin/fulcrum');
  writeFileSync(file, 'idle: poll\nports: { wan: { device: "net_tap0,iface=ft0" } }\n');
  const run = (...words: readonly string[]): string =>
    execFileSync(fulcrum, ['setup', '--config', file, '--root', root, ...words], { encoding: 'utf8' });
  t.regex(run('--apply', '--persist'), /steps done/);
  const unit = readFileSync(join(root, 'etc/systemd/system/fulcrum-setup.service'), 'utf8');
  t.regex(unit, new RegExp(`^ExecStart=.*/fulcrum setup --config ${file} --apply$`, 'm'));
  t.false(existsSync('/etc/systemd/system/fulcrum-setup.service'));
  t.notRegex(run('--persist'), /to do\n/);
});
