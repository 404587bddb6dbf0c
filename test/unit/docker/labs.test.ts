// SPDX-License-Identifier: Apache-2.0
// The Compose and containerlab labs, neither of which runs where tests run: what they name exists, and what they say in two
// places agrees.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { parse } from 'yaml';
import { type DirectorConfig, parseConfig } from '../../../src/config/parse.js';
import { projectRoot } from '../../../src/grpc/loader.js';

const docker = join(projectRoot, 'docker');

interface Attachment {
  readonly ipv4_address?: string;
  readonly interface_name?: string;
}

interface Service {
  readonly build?: string | { readonly context: string; readonly dockerfile: string };
  readonly cap_add?: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly volumes?: readonly string[];
  readonly networks?: readonly string[] | Readonly<Record<string, Attachment>>;
  readonly network_mode?: string;
  readonly depends_on?: readonly string[] | Readonly<Record<string, object>>;
  readonly ports?: readonly string[];
}

interface Compose {
  readonly services: Readonly<Record<string, Service>>;
  readonly networks: Readonly<Record<string, { readonly ipam?: { readonly config: readonly { subnet: string }[] } }>>;
}

const compose = parse(readFileSync(join(docker, 'compose.yaml'), 'utf8'), { merge: true }) as Compose;
const services = Object.entries(compose.services);

const attachments = (service: Service): Readonly<Record<string, Attachment>> =>
  Array.isArray(service.networks)
    ? Object.fromEntries(service.networks.map((name: string) => [name, {}]))
    : ((service.networks ?? {}) as Readonly<Record<string, Attachment>>);

/** A director's file, on a machine that has these interfaces and four CPUs. */
function read(path: string, kernelInterfaces: readonly string[]): DirectorConfig {
  const machine = { cpus: [0, 1, 2, 3], kernelInterfaces, pciDevices: [] };
  return parseConfig(readFileSync(path, 'utf8'), path, machine);
}

const prefixes = ({ start }: DirectorConfig): readonly (string | undefined)[] =>
  (start.interfaces ?? []).flatMap(({ addresses }) => (addresses ?? []).map(({ prefix }) => prefix));

test('compose: what is mounted and built is there', (t) => {
  for (const [name, { volumes = [], build }] of services) {
    for (const volume of volumes) t.true(existsSync(join(docker, volume.split(':')[0] ?? '')), `${name}: ${volume}`);
    if (build === undefined) continue;
    const file =
      typeof build === 'string' ? join(docker, build, 'Dockerfile') : join(docker, build.context, build.dockerfile);
    t.true(existsSync(file), `${name}: ${file}`);
  }
  const copied = readFileSync(join(docker, 'lab/Dockerfile'), 'utf8').matchAll(/^COPY (\S+)/gm);
  for (const [, file = ''] of copied) t.true(existsSync(join(docker, 'lab', file)));
  t.truthy(statSync(join(docker, 'lab/host')).mode & 0o111);
});

test('compose: networks and services that are named exist, and addresses lie in their networks', (t) => {
  const seen = new Set<string>();
  for (const [name, service] of services) {
    for (const other of Object.keys(service.depends_on ?? {}).filter((key) => !/^\d+$/.test(key)))
      t.true(other in compose.services, `${name}: ${other}`);
    if (service.network_mode) t.true(service.network_mode.replace('service:', '') in compose.services);
    for (const [network, { ipv4_address: address }] of Object.entries(attachments(service))) {
      t.true(network in compose.networks, `${name}: ${network}`);
      if (address === undefined) continue;
      const subnet = compose.networks[network]?.ipam?.config[0]?.subnet ?? '';
      t.true(subnet.endsWith('.0/24') && address.startsWith(subnet.replace(/0\/24$/, '')), `${name}: ${address}`);
      t.false(seen.has(address));
      seen.add(address);
    }
  }
});

test('compose: the director has the links and addresses that its file says, and servers that are there', (t) => {
  const { director } = compose.services;
  if (director === undefined) return t.fail('there is no director');
  const links = attachments(director);
  const named = ['wan', 'lan'].map((name) => links[name]?.interface_name ?? '');
  const config = read(join(docker, 'lab/director.yaml'), named);
  t.is(director.environment?.FULCRUM_INTERFACES, named.join(','));
  t.deepEqual(director.cap_add, ['NET_ADMIN', 'NET_RAW']);
  t.deepEqual(prefixes(config), [`${links.wan?.ipv4_address}/24`, `${links.lan?.ipv4_address}/24`]);
  const servers = services.flatMap(([name, service]) =>
    name.startsWith('rs') ? [attachments(service).lan?.ipv4_address] : [],
  );
  t.deepEqual(
    config.services?.services?.[0]?.servers?.map(({ key }) => key?.address),
    servers,
  );
  for (const [name, service] of services)
    if (name.startsWith('rs')) t.is(service.environment?.GATEWAY, links.lan?.ipv4_address);
});

test('compose: Grafana finds Prometheus and the dashboard', (t) => {
  const provisioning = join(docker, 'grafana/provisioning');
  const [datasource] = parse(readFileSync(join(provisioning, 'datasources/prometheus.yaml'), 'utf8')).datasources;
  const port = /:(\d+)$/.exec(datasource.url)?.[1];
  // Prometheus lives in the director's network namespace.
  t.is(compose.services.prometheus?.network_mode, 'service:director');
  t.true(compose.services.director?.ports?.some((published) => published.endsWith(`:${port}`)));
  t.true('management' in attachments(compose.services.director ?? {}));
  t.true('management' in attachments(compose.services.grafana ?? {}));
  const [provider] = parse(readFileSync(join(provisioning, 'dashboards/fulcrum.yaml'), 'utf8')).providers;
  t.true(
    compose.services.grafana?.volumes?.some((volume) => volume.includes(`:${provider.options.path}/fulcrum.json`)),
  );
  t.deepEqual(readdirSync(provisioning).sort(), ['dashboards', 'datasources']);
});

interface Topology {
  readonly nodes: Readonly<
    Record<string, { readonly kind: string; readonly exec?: readonly string[]; readonly binds?: readonly string[] }>
  >;
  readonly links: readonly { readonly endpoints: readonly [string, string] }[];
}

test("containerlab: links, addresses and servers agree with the director's file", (t) => {
  const at = join(docker, 'containerlab');
  const { topology } = parse(readFileSync(join(at, 'fulcrum.clab.yml'), 'utf8')) as { topology: Topology };
  const ends = topology.links.flatMap(({ endpoints }) => endpoints);
  t.is(new Set(ends).size, ends.length);
  for (const end of ends) t.true((end.split(':')[0] ?? '') in topology.nodes, end);
  for (const { kind, binds = [] } of Object.values(topology.nodes)) {
    t.is(kind, 'linux');
    for (const bind of binds) t.true(existsSync(join(at, bind.split(':')[0] ?? '')));
  }
  const own = ends.filter((end) => end.startsWith('director:')).map((end) => end.replace('director:', ''));
  const config = read(join(at, 'director.yaml'), own);
  t.deepEqual(
    config.start.ports?.map(({ device }) => /iface=(\w+)/.exec(device ?? '')?.[1]),
    own,
  );
  const execs = Object.values(topology.nodes).flatMap(({ exec = [] }) => exec);
  const gateways = execs.flatMap((line) => /default via (\S+)/.exec(line)?.[1] ?? []);
  t.deepEqual(
    prefixes(config).slice(1),
    gateways.map((gateway) => `${gateway}/24`),
  );
  const addresses = execs.flatMap((line) => /address add (10\.\S+)\/24/.exec(line)?.[1] ?? []);
  t.deepEqual(
    config.services?.services?.[0]?.servers?.map(({ key }) => key?.address),
    addresses,
  );
});
