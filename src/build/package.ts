// SPDX-License-Identifier: Apache-2.0
// `npm run package`: dist/fulcrum_VERSION_amd64.deb, and dist/fulcrum-dbgsym_VERSION_amd64.deb with the addon's symbols.
// dpkg-deb alone makes them: stage.ts lays the files out as in the image, and debhelper would but copy them once more.
// The same build gives the same bytes: times are those of the last commit, or SOURCE_DATE_EPOCH's.

import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { manualSteps } from './manual.js';
import { runtimePackages, setModes, stage } from './stage.js';
import { answer, BuildError, build, root, say, tool } from './step.js';

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

const manifestOf = (directory: string): Manifest => JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8'));

const { version } = manifestOf(root);
/** As Debian's own tools name who builds. */
const maintainer = `${process.env.DEBFULLNAME ?? 'Fulcrum'} <${process.env.DEBEMAIL ?? 'fulcrum@localhost'}>`;
const library = 'usr/lib/fulcrum';
const documentation = 'usr/share/doc/fulcrum';
const appliance = join(root, 'docker/appliance');

/** What the addon does not name itself, since DPDK loads it when it starts: memory pools, buses, virtual devices. */
const loadedByDpdk = [
  'librte-mempool-ring23',
  'librte-bus-pci23',
  'librte-bus-vdev23',
  'librte-net-af-packet23',
  'librte-net-null23',
  'librte-net-pcap23',
  'librte-net-tap23',
  'librte-net-virtio23',
] as const;

/** Drivers of NICs that are likely; apt-get --no-install-recommends leaves them out. */
const nicDrivers = ['ixgbe23', 'i40e23', 'ice23', 'iavf23', 'e1000-23', 'ena23', 'vmxnet3-23', 'bnxt23', 'mlx5-23'].map(
  (name) => `librte-net-${name}`,
);

/** Files of docker/appliance, and where they are installed. */
const placed: Readonly<Record<string, string>> = {
  'fulcrum.target': 'lib/systemd/system/fulcrum.target',
  'fulcrum-dataplane.service': 'lib/systemd/system/fulcrum-dataplane.service',
  'fulcrum-manager.service': 'lib/systemd/system/fulcrum-manager.service',
  'sysusers.conf': 'usr/lib/sysusers.d/fulcrum.conf',
  'tmpfiles.conf': 'usr/lib/tmpfiles.d/fulcrum.conf',
  'prepare-dataplane': `${library}/appliance/prepare-dataplane`,
  default: 'etc/default/fulcrum',
  'director.yaml': 'etc/fulcrum/director.yaml',
  'cpus.conf': `${documentation}/examples/cpus.conf`,
};

const configurationFiles = Object.values(placed).filter((path) => path.startsWith('etc/'));

/** Debian's ipvsadm may be installed beside it: its names are left to it. */
const links: Readonly<Record<string, string>> = {
  'usr/bin/fulcrum': '../lib/fulcrum/bin/fulcrum',
  'usr/sbin/fulcrum-ipvsadm': '../lib/fulcrum/bin/ipvsadm',
  'usr/sbin/fulcrum-ipvsadm-save': '../lib/fulcrum/bin/ipvsadm-save',
  'usr/sbin/fulcrum-ipvsadm-restore': '../lib/fulcrum/bin/ipvsadm-restore',
};

async function sourceDate(): Promise<number> {
  const given = process.env.SOURCE_DATE_EPOCH ?? (await answer('git', 'log', '-1', '--format=%ct'));
  return /^\d+$/.test(given) ? Number(given) : Math.floor(statSync(join(root, 'package.json')).mtimeMs / 1000);
}

function place(from: string, to: string): void {
  mkdirSync(dirname(to), { recursive: true });
  cpSync(from, to);
}

function write(path: string, text: string | Buffer): void {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
}

/** As policy has it: best compression, and no name or time in it. */
const compressed = (text: string | Buffer): Buffer => gzipSync(text, { level: 9 });

function placeDocumentation(at: string, date: Date): void {
  const stamp = date.toUTCString().replace('GMT', '+0000');
  const entry = `fulcrum (${version}) unstable; urgency=medium\n\n  * See the commits.\n\n -- ${maintainer}  ${stamp}\n`;
  write(join(at, documentation, 'changelog.gz'), compressed(entry));
  write(join(at, documentation, 'copyright'), copyright());
  for (const name of readdirSync(join(root, 'docs')).filter((file) => file.endsWith('.md')))
    place(join(root, 'docs', name), join(at, documentation, name));
  const rules = 'docker/prometheus/fulcrum.rules.yml';
  for (const file of [rules, 'docker/prometheus/prometheus.yml', 'docker/grafana/fulcrum.json'])
    place(join(root, file), join(at, documentation, 'examples', basename(file)));
}

/** https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/ */
function copyright(): string {
  const modules = runtimePackages().map((directory) => {
    const { name, version: installed, license = 'see its files' } = manifestOf(directory);
    const within = relative(join(root, 'node_modules'), directory);
    const notice = noticeOf(directory);
    return `Files: ${library}/node_modules/${within}/*\nCopyright: ${notice}\nLicense: ${license}\nComment: ${name} ${installed}, from the npm registry; its licence's text lies beside it.\n`;
  });
  const names = new Set(modules.map((text) => /^License: (.*)$/m.exec(text)?.[1] ?? ''));
  const texts = [...names]
    .filter((name) => name !== 'Apache-2.0')
    .map((name) => `License: ${name}\n The text is in the packages under /${library}/node_modules that have it.\n`);
  const own =
    'Files: *\nCopyright: the authors of Fulcrum\nLicense: Apache-2.0\n\nLicense: Apache-2.0\n On Debian systems the text is in /usr/share/common-licenses/Apache-2.0.\n';
  const format = 'https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/';
  return [`Format: ${format}\nUpstream-Name: fulcrum\n`, own, ...modules, ...texts].join('\n');
}

/** The line of a package's licence that names its authors. */
function noticeOf(directory: string): string {
  const file = readdirSync(directory).find((name) => /^licen[cs]e/i.test(name));
  const text = file === undefined ? '' : readFileSync(join(directory, file), 'utf8');
  return /^\s*(?:\W\s*)?Copyright\s+(?:\(c\)\s*|©\s*)?(?!\[)(.*\d{4}.*)$/im.exec(text)?.[1]?.trim() ?? 'its authors';
}

/** Manual pages, dist/man/NAME.SECTION, and completion. */
function placePages(at: string): void {
  const page = (name: string, text: string): void => {
    const section = /\.(\d)$/.exec(name)?.[1];
    if (section === undefined) throw new BuildError(`dist/man/${name} has no section in its name`);
    write(join(at, `usr/share/man/man${section}`, `${name}.gz`), compressed(text));
  };
  for (const name of namesIn('dist/man')) {
    const text = readFileSync(join(root, 'dist/man', name), 'utf8');
    if (name === 'ipvsadm.8') page(`fulcrum-${name}`, renamed(text));
    else page(name, text);
  }
  for (const name of ['save', 'restore']) page(`fulcrum-ipvsadm-${name}.8`, '.so man8/fulcrum-ipvsadm.8\n');
  for (const name of namesIn('dist/completion'))
    place(join(root, 'dist/completion', name), join(at, completionPlace(name)));
}

/** As the commands are called here: see `links`. */
const renamed = (page: string): string =>
  page.replace(/^\.TH IPVSADM /m, '.TH FULCRUM\\-IPVSADM ').replace(/^ipvsadm \\-/m, 'fulcrum\\-ipvsadm \\-');

const namesIn = (directory: string): readonly string[] =>
  existsSync(join(root, directory)) ? readdirSync(join(root, directory)).filter((name) => !name.startsWith('.')) : [];

/** fulcrum.fish, _fulcrum or fulcrum.zsh, and anything else, which is bash's. */
function completionPlace(name: string): string {
  if (name.endsWith('.fish')) return `usr/share/fish/vendor_completions.d/${name}`;
  const bare = name.replace(/\.(bash|zsh)$/, '');
  if (name.startsWith('_') || name.endsWith('.zsh'))
    return `usr/share/zsh/vendor-completions/_${bare.replace(/^_/, '')}`;
  return `usr/share/bash-completion/completions/${bare}`;
}

/** Packages of the libraries that the addon names, with the versions that have the symbols it uses. */
async function libraryDependencies(addon: string): Promise<string> {
  const work = mkdtempSync(join(tmpdir(), 'fulcrum-shlibdeps-'));
  try {
    write(join(work, 'debian/control'), 'Source: fulcrum\n\nPackage: fulcrum\nArchitecture: amd64\n');
    await tool(['dpkg-shlibdeps', '-Tsubstvars', '--warnings=0', addon], { cwd: work });
    const text = readFileSync(join(work, 'substvars'), 'utf8');
    const found = /^shlibs:Depends=(.*)$/m.exec(text)?.[1];
    if (found === undefined) throw new BuildError(`dpkg-shlibdeps found no libraries: ${text}`);
    return found;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Kilobytes as dpkg counts them: files rounded up, a kilobyte for anything else. */
function installedSize(directory: string): number {
  let size = 0;
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) size += 1 + installedSize(path);
    else size += entry.isFile() ? Math.ceil(statSync(path).size / 1024) : 1;
  }
  return size;
}

const notSummed = [...configurationFiles, 'DEBIAN'];

function checksums(directory: string): string {
  const lines: string[] = [];
  const walk = (at: string): void => {
    for (const entry of readdirSync(at, { withFileTypes: true })) {
      const path = join(at, entry.name);
      if (notSummed.includes(relative(directory, path))) continue;
      if (entry.isDirectory()) walk(path);
      else if (entry.isFile())
        lines.push(`${createHash('md5').update(readFileSync(path)).digest('hex')}  ${relative(directory, path)}\n`);
    }
  };
  walk(directory);
  return lines.sort((a, b) => (a.slice(34) < b.slice(34) ? -1 : 1)).join('');
}

/** For whom lintian looks for something else. */
const overrides = `# Each npm package keeps its licence beside it; debian/copyright names them all.
fulcrum: extra-license-file
# Who builds for others sets DEBEMAIL.
fulcrum: bogus-mail-host
fulcrum: bogus-mail-host-in-debian-changelog
# What npm packages have in their archives is not changed: modules, and not programs.
fulcrum: package-contains-documentation-outside-usr-share-doc
fulcrum: embedded-javascript-library
fulcrum: executable-not-elf-or-script
fulcrum: script-not-executable
`;

const description = `layer-4 load balancer with a DPDK dataplane
 Linux Virtual Server as a DPDK appliance: a director whose C++ dataplane owns
 the network ports and forwards connections to real servers by NAT, direct
 routing or tunnelling, with LVS's schedulers, and whose manager is controlled
 over gRPC, by the command fulcrum and by ipvsadm's commands.
 .
 Nothing starts until /etc/fulcrum/director.yaml has been written and
 fulcrum.target has been enabled.`;

async function controlOf(at: string): Promise<string> {
  const addon = join(at, library, 'dataplane/build/Release/dataplane.node');
  const depends = [
    await libraryDependencies(addon),
    'nodejs (>= 20.19)',
    ...loadedByDpdk,
    'nftables',
    'iproute2',
    'systemd | systemd-standalone-sysusers',
    'systemd | systemd-standalone-tmpfiles',
  ].join(', ');
  return control('fulcrum', at, {
    Section: 'net',
    Depends: depends,
    Recommends: ['ethtool', 'iputils-ping', ...nicDrivers].join(', '),
    Suggests: 'prometheus, dpdk',
    Description: description,
  });
}

function control(name: string, at: string, fields: Readonly<Record<string, string>>): string {
  const all = {
    Package: name,
    Version: version,
    Architecture: 'amd64',
    Maintainer: maintainer,
    'Installed-Size': String(installedSize(at)),
    Priority: 'optional',
    ...fields,
  };
  return Object.entries(all)
    .map(([field, value]) => `${field}: ${value}\n`)
    .join('');
}

async function pack(at: string, name: string, controlText: string, date: number): Promise<string> {
  const sums = checksums(at);
  write(join(at, 'DEBIAN/md5sums'), sums);
  write(join(at, 'DEBIAN/control'), controlText);
  const file = join(root, `dist/${name}_${version}_amd64.deb`);
  await tool(['dpkg-deb', '--root-owner-group', '-Zxz', '--build', at, file], {
    environment: { SOURCE_DATE_EPOCH: String(date) },
  });
  say(`${relative(root, file)}: ${(statSync(file).size / 1e6).toFixed(2)} MB`);
  return file;
}

async function main(): Promise<void> {
  if (process.arch !== 'x64') throw new BuildError('packages are made for amd64 only');
  const date = await sourceDate();
  const work = mkdtempSync(join(tmpdir(), 'fulcrum-package-'));
  const [at, symbols] = [join(work, 'fulcrum'), join(work, 'symbols')];
  try {
    await build(manualSteps(new Date(date * 1000).toISOString().slice(0, 10)));
    const debug = join(work, 'dataplane.debug');
    await stage(join(at, library), debug);
    // On Debian it is /usr/share/common-licenses/Apache-2.0.
    rmSync(join(at, library, 'LICENSE'));
    for (const [from, to] of Object.entries(placed)) place(join(appliance, from), join(at, to));
    placeDocumentation(at, new Date(date * 1000));
    placePages(at);
    write(join(at, 'usr/share/lintian/overrides/fulcrum'), overrides);
    setModes(at);
    chmodSync(join(at, library, 'appliance/prepare-dataplane'), 0o755);
    for (const [path, target] of Object.entries(links)) {
      mkdirSync(dirname(join(at, path)), { recursive: true });
      symlinkSync(target, join(at, path));
    }
    const text = await controlOf(at);
    for (const script of ['postinst', 'prerm', 'postrm']) {
      place(join(appliance, 'debian', script), join(at, 'DEBIAN', script));
      chmodSync(join(at, 'DEBIAN', script), 0o755);
    }
    write(join(at, 'DEBIAN/conffiles'), configurationFiles.map((path) => `/${path}\n`).join(''));
    await pack(at, 'fulcrum', text, date);

    const id = /Build ID: ([0-9a-f]+)/.exec(await answer('readelf', '-n', debug))?.[1];
    if (id === undefined) throw new BuildError('the addon has no build id');
    place(debug, join(symbols, `usr/lib/debug/.build-id/${id.slice(0, 2)}/${id.slice(2)}.debug`));
    mkdirSync(join(symbols, 'usr/share/doc'), { recursive: true });
    symlinkSync('fulcrum', join(symbols, 'usr/share/doc/fulcrum-dbgsym'));
    setModes(symbols);
    const symbolsText = control('fulcrum-dbgsym', symbols, {
      Section: 'debug',
      Depends: `fulcrum (= ${version})`,
      Description: 'debug symbols for fulcrum',
    });
    await pack(symbols, 'fulcrum-dbgsym', symbolsText, date);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  say(error.message);
  process.exitCode = 1;
}
