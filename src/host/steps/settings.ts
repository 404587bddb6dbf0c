// SPDX-License-Identifier: Apache-2.0
// Settings of the kernel, and the files that bring everything back with the next boot.
import type { HostFacts } from '../facts.js';
import { sysctlPath } from '../facts.js';
import type { Needs } from '../needs.js';
import { command, type SetupStep, write } from '../step.js';

interface Setting {
  readonly name: string;
  readonly value: string;
  readonly why: string;
}

/** For a machine of the director's own. */
function settingsOf(facts: HostFacts, needs: Needs): readonly Setting[] {
  const several = facts.hugepages.length > 1;
  return [
    ...(several
      ? [{ name: 'kernel.numa_balancing', value: '0', why: 'it unmaps pages of running workers to see who uses them' }]
      : []),
    ...(needs.polls
      ? [{ name: 'kernel.nmi_watchdog', value: '0', why: 'it interrupts every CPU, also isolated ones' }]
      : []),
  ].filter(({ name }) => facts.sysctls.has(name));
}

export function sysctlSteps(facts: HostFacts, needs: Needs): readonly SetupStep[] {
  return settingsOf(facts, needs).map(({ name, value, why }) => {
    const is = facts.sysctls.get(name) ?? '';
    const isDone = is === value;
    return {
      subject: `sysctl ${name}`,
      state: isDone ? 'done' : 'todo',
      is,
      wanted: value,
      why,
      actions: isDone ? [] : [write(sysctlPath(name), value)],
      undo: isDone ? '' : `sysctl ${name}=${is}`,
    };
  });
}

export const unitPath = '/etc/systemd/system/fulcrum-setup.service';

export interface Persisting {
  /** Whole path of this command and of the configuration. */
  readonly program: string;
  readonly config: string;
  readonly read: (path: string) => string | undefined;
}

/** What the next boot needs, by file. What a module or an interface brings along only later is made by the unit. */
export function persistSteps(
  facts: HostFacts,
  needs: Needs,
  { program, config, read }: Persisting,
): readonly SetupStep[] {
  const files = new Map<string, string>();
  const pages = [...needs.pages.values()].reduce((sum, count) => sum + count, 0);
  const settings = settingsOf(facts, needs).map(({ name, value }) => `${name} = ${value}`);
  const sysctls = [...(pages > 0 ? [`vm.nr_hugepages = ${pages}`] : []), ...settings];
  if (sysctls.length > 0) files.set('/etc/sysctl.d/80-fulcrum.conf', sysctls.join('\n'));
  const hasVfio = needs.ports.some(({ pci }) => pci !== undefined);
  if (hasVfio) files.set('/etc/modules-load.d/fulcrum.conf', 'vfio-pci');
  if (hasVfio && facts.iommuGroups === 0)
    files.set('/etc/modprobe.d/fulcrum.conf', 'options vfio enable_unsafe_noiommu_mode=1');
  files.set(unitPath, unitText(program, config));
  return [...files].map(([path, body]) => fileStep(path, body, read(path)));
}

function fileStep(path: string, body: string, is: string | undefined): SetupStep {
  const text = `# Written by fulcrum setup.\n${body}\n`;
  const isDone = is === text.trim();
  const isUnit = path === unitPath;
  const enable = isUnit ? [command('systemctl', 'enable', 'fulcrum-setup.service')] : [];
  return {
    subject: path,
    state: isDone ? 'done' : 'todo',
    is: is === undefined ? 'not there' : isDone ? 'as wanted' : 'something else',
    wanted: 'as shown',
    why: isUnit
      ? 'does with every boot what takes a device: pages, binding, offloads, interrupts'
      : 'so after a boot, too',
    actions: isDone ? [] : [write(path, text), ...enable],
    undo: isDone ? '' : `${isUnit ? 'systemctl disable fulcrum-setup.service; ' : ''}rm ${path}`,
  };
}

const unitText = (program: string, config: string): string => `[Unit]
Description=Prepares this host for Fulcrum
Before=fulcrum-dataplane.service
After=systemd-modules-load.service systemd-sysctl.service systemd-udev-settle.service
Wants=systemd-udev-settle.service

[Service]
Type=oneshot
ExecStart=${program} setup --config ${config} --apply
RemainAfterExit=yes

[Install]
WantedBy=multi-user.target`;
