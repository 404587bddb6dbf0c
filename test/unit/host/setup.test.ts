// SPDX-License-Identifier: Apache-2.0
// setup's plan for machines of several kinds, and what becomes of them when it is carried out.
import test from 'ava';
import type { StartConfig } from '../../../src/generated/fulcrum/dataplane/v1/StartConfig.js';
import { applySteps, SetupError } from '../../../src/host/apply.js';
import { gatherFacts } from '../../../src/host/facts.js';
import { needsOf } from '../../../src/host/needs.js';
import { type PlanOptions, planOf } from '../../../src/host/plan.js';
import { actionText, cpuListText, type SetupStep } from '../../../src/host/step.js';
import { grubPath } from '../../../src/host/steps/cpus.js';
import { unitPath } from '../../../src/host/steps/settings.js';
import { bareMetal, container, type FixtureHost, fixtureHost, type Tree, virtualMachine } from './support/machines.js';

const pci = (...devices: readonly string[]): StartConfig => ({
  housekeepingCpus: [0, 4],
  workerCpus: [1, 5],
  connections: '1000000',
  idle: 'IDLE_POLICY_POLL',
  ports: devices.map((device, index) => ({ name: `p${index}`, device })),
});

async function plan(
  host: FixtureHost,
  config: StartConfig,
  options: Partial<PlanOptions> = {},
): Promise<readonly SetupStep[]> {
  const facts = await gatherFacts(host);
  const given = { program: '/usr/bin/fulcrum', config: '/etc/fulcrum/director.yaml', persist: false, force: false };
  return planOf(facts, needsOf(config, facts), { ...given, read: (path) => host.read(path), ...options });
}

const outline = (steps: readonly SetupStep[]): readonly string[] =>
  steps.map(({ subject, state }) => `${subject}: ${state}`);
const step = (steps: readonly SetupStep[], subject: string): SetupStep => {
  const found = steps.find((one) => one.subject === subject);
  if (found === undefined) throw new Error(`no step ${subject} in ${outline(steps).join(', ')}`);
  return found;
};
const commands = ({ actions }: SetupStep): readonly string[] => actions.map(actionText);

/** What the programs do to the machine. */
const running = ([program, ...words]: readonly string[], tree: Tree): void => {
  if (program === 'modprobe') tree.files['/sys/module/vfio_pci/initstate'] = 'live';
  if (program === 'dpdk-devbind.py') tree.links[`/sys/bus/pci/devices/${words[1]}/driver`] = 'drivers/vfio-pci';
  if (program === 'ethtool') tree.answers[`ethtool -k ${words[1]}`] = '';
  if (program === 'ip') {
    const links = JSON.parse(tree.answers['ip -j -d address show'] ?? '[]');
    const device = links.find(({ ifname }: { ifname: string }) => ifname === words[2]);
    if (words[3] === 'mtu') device.mtu = Number(words[4]);
    else device.flags = words[3] === 'up' ? ['UP'] : [];
    tree.answers['ip -j -d address show'] = JSON.stringify(links);
  }
};

test('bare metal: pages on the workers’ node, one port to bind, one bound, one shared', async (t) => {
  const steps = await plan(fixtureHost(bareMetal()), pci('0000:03:00.0', '03:00.1', '0000:81:00.0'));
  t.deepEqual(outline(steps), [
    'huge pages of node 0: todo',
    'module vfio-pci: todo',
    'device 0000:03:00.0 of port p0: todo',
    'device 0000:03:00.1 of port p1: done',
    'device 0000:81:00.0 of port p2: done',
    'interrupts: todo',
    'sysctl kernel.numa_balancing: todo',
    'sysctl kernel.nmi_watchdog: todo',
    'command line of the kernel: manual',
  ]);
  t.deepEqual(commands(step(steps, 'device 0000:03:00.0 of port p0')), [
    'ip link set ens1f0 down',
    'dpdk-devbind.py --bind=vfio-pci 0000:03:00.0',
  ]);
  t.is(step(steps, 'device 0000:03:00.0 of port p0').undo, 'dpdk-devbind.py --bind=ixgbe 0000:03:00.0');
  t.is(step(steps, 'device 0000:81:00.0 of port p2').wanted, 'driver mlx5_core');
  t.deepEqual(commands(step(steps, 'interrupts')), ['echo 0,2-4,6-7 > /proc/irq/40/smp_affinity_list']);
  t.is(
    step(steps, 'command line of the kernel').wanted,
    'isolcpus=managed_irq,domain,1,5 nohz_full=1,5 rcu_nocbs=1,5 intel_iommu=on iommu=pt',
  );
});

test('carried out, each step is read back, and there is nothing more to do', async (t) => {
  const host = fixtureHost(bareMetal(), running);
  const config = pci('0000:03:00.0', '0000:03:00.1');
  const said: string[] = [];
  const persist = { persist: true };
  const done = await applySteps({
    host,
    plan: () => plan(host, config, persist),
    say: async ({ subject }) => void said.push(subject),
  });
  t.is(done, said.length);
  t.true(host.ran.includes('dpdk-devbind.py --bind=vfio-pci 0000:03:00.0'));
  t.true(host.ran.includes('systemctl enable fulcrum-setup.service'));
  const after = await plan(host, config, persist);
  t.deepEqual(
    after.filter(({ state }) => state !== 'done').map(({ subject, state }) => `${subject}: ${state}`),
    ['command line of the kernel: reboot'],
  );
  t.regex(host.read(grubPath) ?? '', /GRUB_CMDLINE_LINUX="\$GRUB_CMDLINE_LINUX isolcpus=managed_irq,domain,1,5 /);
  t.regex(
    host.read(unitPath) ?? '',
    /^ExecStart=\/usr\/bin\/fulcrum setup --config \/etc\/fulcrum\/director.yaml --apply$/m,
  );
  t.is(host.read('/etc/modules-load.d/fulcrum.conf'), '# Written by fulcrum setup.\nvfio-pci');
  t.regex(host.read('/etc/sysctl.d/80-fulcrum.conf') ?? '', /^vm.nr_hugepages = \d+\nkernel.numa_balancing = 0\n/m);
});

test('a device that somebody is logged in by is refused, unless it is forced', async (t) => {
  const host = fixtureHost(bareMetal());
  const refused = step(await plan(host, pci('0000:01:00.0')), 'device 0000:01:00.0 of port p0');
  t.is(refused.state, 'refused');
  t.regex(refused.why, /the default route leaves by eno1; somebody is logged in by ssh at 192\.0\.2\.10 on eno1/);
  t.deepEqual(refused.actions, []);
  t.is(step(await plan(host, pci('0000:01:00.0'), { force: true }), refused.subject).state, 'todo');
  const absent = step(await plan(host, pci('0000:ff:00.0')), 'device 0000:ff:00.0 of port p0');
  t.is(absent.state, 'manual');
});

test('a virtual machine without an IOMMU: the unsafe mode, and its own default route is left alone', async (t) => {
  const host = fixtureHost(virtualMachine());
  const config: StartConfig = { ...pci('0000:00:04.0', '0000:00:03.0'), housekeepingCpus: [0], workerCpus: [1] };
  const steps = await plan(host, { ...config, idle: 'IDLE_POLICY_SLEEP' }, { persist: true });
  t.like(Object.fromEntries(steps.map(({ subject, state }) => [subject, state])), {
    'vfio without an IOMMU': 'todo',
    'device 0000:00:04.0 of port p0': 'todo',
    'device 0000:00:03.0 of port p1': 'refused',
    interrupts: 'done',
    'command line of the kernel': 'done',
    '/etc/modprobe.d/fulcrum.conf': 'todo',
  });
  const on = step(steps, 'vfio without an IOMMU');
  t.deepEqual(commands(on), ['echo Y > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode']);
  // Tables for 200 million connections do not fit.
  const large = step(await plan(host, { ...config, connections: '200000000' }), 'huge pages of node 0');
  t.is(large.state, 'manual');
  t.regex(large.why, /the node has 3000 MB free: lower memory\.connections/);
});

test('interfaces of AF_PACKET ports: offloads off, wide enough, up', async (t) => {
  const host = fixtureHost(virtualMachine(), running);
  const on = (device: string): StartConfig => ({
    housekeepingCpus: [0],
    workerCpus: [1],
    hugepages: 'HUGEPAGES_OFF',
    ports: [{ name: 'wan', device: `net_af_packet0,iface=${device}` }],
  });
  const wide = step(await plan(host, on('eth1')), 'interface eth1 of port wan');
  t.deepEqual(commands(wide), ['ethtool -K eth1 gro off tso off', 'ip link set eth1 mtu 1500']);
  t.is(wide.undo, 'ethtool -K eth1 gro on tso on; ip link set eth1 mtu 1400');
  t.is(await applySteps({ host, plan: () => plan(host, on('eth1')), say: async () => {} }), 1);
  t.true((await plan(host, on('eth1'))).every(({ state }) => state === 'done'));
  t.is(step(await plan(host, on('eth0')), 'interface eth0 of port wan').state, 'refused');
  const inside = fixtureHost(container());
  t.deepEqual(commands(step(await plan(inside, on('wan0')), 'interface wan0 of port wan')), ['ip link set wan0 up']);
  t.is(step(await plan(inside, on('wan9')), 'interface wan9 of port wan').state, 'manual');
});

test('the first step that fails ends it, and says how to take it back', async (t) => {
  const host = fixtureHost(bareMetal(), (words, tree) => {
    if (words[0] === 'dpdk-devbind.py') throw new Error('Error: bind failed for 0000:03:00.0');
    running(words, tree);
  });
  const config = pci('0000:03:00.0');
  const apply = (): Promise<number> => applySteps({ host, plan: () => plan(host, config), say: async () => {} });
  const failed = await t.throwsAsync(apply(), { instanceOf: SetupError });
  t.is(failed.message, 'device 0000:03:00.0 of port p0: Error: bind failed for 0000:03:00.0');
  t.is(failed.step.undo, 'dpdk-devbind.py --bind=ixgbe 0000:03:00.0');
  // It says that it did, and nothing has changed.
  const idle = fixtureHost(bareMetal(), (words, tree) => {
    if (words[0] === 'modprobe') running(words, tree);
  });
  const unchanged = await t.throwsAsync(
    applySteps({ host: idle, plan: () => plan(idle, config), say: async () => {} }),
    { instanceOf: SetupError },
  );
  t.regex(
    unchanged.message,
    /it did not take effect: it is driver ixgbe, IOMMU group 12, and driver vfio-pci was wanted/,
  );
});

test('interrupts that their driver manages are tried once, and known from then on', async (t) => {
  const fixture = fixtureHost(bareMetal());
  fixture.tree.files['/proc/irq/42/smp_affinity_list'] = '1';
  const host: FixtureHost = {
    ...fixture,
    write: (path, text) => {
      if (path.startsWith('/proc/irq/42/')) throw new Error('EIO: i/o error, write');
      fixture.write(path, text);
    },
  };
  t.deepEqual(
    (await gatherFacts(host)).irqs.map(({ irq }) => irq),
    [40, 41, 42],
  );
  t.deepEqual(
    (await gatherFacts(host, true)).irqs.map(({ irq }) => irq),
    [40, 41],
  );
  t.deepEqual(
    (await gatherFacts(host)).irqs.map(({ irq }) => irq),
    [40, 41],
  );
});

test('lists of CPUs, commands as a shell takes them', (t) => {
  t.is(cpuListText([5, 1, 2, 3, 7]), '1-3,5,7');
  t.is(actionText({ kind: 'run', command: ['ss', 'sport = :22', "it's"] }), "ss 'sport = :22' 'it'\\''s'");
});
