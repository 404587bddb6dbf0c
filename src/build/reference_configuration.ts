// SPDX-License-Identifier: Apache-2.0
// The configuration file's JSON Schema as a page: a section for each object, a row for each key, an anchor for both.

import { directorSchema } from '../config/schema.js';

interface Schema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly required?: readonly string[];
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
  readonly additionalProperties?: boolean | Schema;
  readonly propertyNames?: Schema;
  /** With {}: nothing is taken. */
  readonly not?: object;
}

const introduction = `# Configuration reference

Every key of the file that \`fulcrum up --config FILE\` reads, and, from \`services\` on, of the files of \`fulcrum config apply\`. The guide with
examples is [configuration](../configuration.md). This page is written by \`npm run docs\` from the JSON Schema, \`dist/fulcrum.schema.json\`;
do not edit it.

In names of sections \`[]\` stands for each entry of a list, and NAME for a name that you choose.
`;

/** By the path of the section; a test reads them as the file is read. */
const examples: Readonly<Record<string, string>> = {
  cpus: 'cpus: { housekeeping: [0, 1], workers: [2, 3, 4, 5] }',
  memory: 'memory: { hugepages: on, connections: 4000000 }',
  'ports.NAME': `ports:
  wan: { device: "0000:03:00.0", mtu: 1500, faces: clients, interfaces: [{ addresses: [203.0.113.1/24, "2001:db8::1/64"] }] }
  lan: { device: "net_af_packet0,iface=eth1", interfaces: [{ addresses: [10.0.0.1/24] }] }`,
  'ports.NAME.kernel': `ports:
  wan: { device: "0000:03:00.0", kernel: { name: fk0, limits: { icmp: 1000 } }, interfaces: [{ addresses: [203.0.113.1/24] }] }`,
  'ports.NAME.interfaces[]': `ports:
  trunk:
    device: "0000:03:00.0"
    interfaces: [{ addresses: [203.0.113.1/24] }, { vlan: 100, name: customers, addresses: [10.1.0.1/24] }]`,
  'routes[]': 'routes: [{ to: default, via: 203.0.113.254 }, { to: 192.168.0.0/16, interface: lan }]',
  'neighbors[]': 'neighbors: [{ address: 10.0.0.9, interface: lan, mac: "02:00:00:00:00:09" }]',
  'masquerade[]': 'masquerade: [{ source: 10.0.0.0/24, interface: wan, ports: 1024-32767 }]',
  'services[]': `services:
  - address: tcp:203.0.113.10:443
    scheduler: wlc
    persistence_timeout: 300
    deny: [198.51.100.0/24]
    servers: [{ address: "10.0.0.11:443", method: nat }]`,
  'services[].health': 'health: { checks: [{ type: tcp }], quorum: 2, slow_start: 30, most_out: 50 }',
  'services[].health.checks[]': `health:
  checks:
    - { type: https, path: /health, host: www.example.org, expected_status: [200, "301-302"], interval: 2, fall: 3 }
    - { type: dns, query_name: www.example.org, query_type: A, port: 53 }`,
  'services[].health.load':
    'health: { load: { type: prometheus, port: 9100, path: /metrics, metric: node_load1, busy: 16 } }',
  'services[].health.passive': 'health: { passive: { unanswered: 50, reset: 80, most_ejected: 34 } }',
  'services[].servers[]': `servers:
  - { address: "10.0.0.11:80", method: nat, weight: 2, upper_threshold: 1000, lower_threshold: 800 }
  - { address: "10.0.0.12:80", method: tun, tunnel_type: gue, tunnel_port: 5555 }`,
  'vips[]':
    'vips: [{ address: 203.0.113.10, announce: arp, state: standby }, { address: 198.51.100.0/24, announce: route }]',
  timeouts: 'timeouts: { tcp: 900, tcp_fin: 120, udp: 300 }',
  tunables: 'tunables: { expire_nodest_conn: 1, conn_reuse_mode: 0 }',
  'mark_rules[]': 'mark_rules: [{ mark: 7, protocol: tcp, destination: 198.51.100.0/24, destination_ports: 80 }]',
};

/** A key that leads to an object with keys of its own, or to a list or a map of such. */
interface Section {
  readonly path: string;
  readonly schema: Schema;
  readonly description: string | undefined;
}

export function configurationReference(): string {
  const sections: Section[] = [];
  const known = new Map<string, string>();
  collect({ path: '', schema: directorSchema as Schema, description: undefined }, sections, known);
  const contents = sections.slice(1).map(({ path }) => `[\`${path}\`](#${anchorOf(path)})`);
  const texts = sections.map((section) => sectionText(section, known));
  return `${introduction}\nSections: ${contents.join(', ')}.\n\n${texts.join('\n')}`;
}

/** The same object is described once: later keys refer to the section of the first. */
function collect(section: Section, sections: Section[], known: Map<string, string>): void {
  const text = identity(section.schema);
  if (known.has(text)) return;
  known.set(text, section.path);
  sections.push(section);
  for (const [name, schema] of Object.entries(section.schema.properties ?? {})) {
    const below = objectBelow(section.path === '' ? name : `${section.path}.${name}`, schema);
    if (below) collect({ ...below, description: schema.description }, sections, known);
  }
}

/** Keys alone: what a key leads to may be described in other words in other places. */
const identity = ({ properties = {}, required = [] }: Schema): string => JSON.stringify([properties, required]);

function objectBelow(path: string, schema: Schema): Omit<Section, 'description'> | undefined {
  if (schema.properties) return { path, schema };
  if (schema.items?.properties) return { path: `${path}[]`, schema: schema.items };
  const { additionalProperties: each } = schema;
  if (typeof each === 'object' && each.properties) return { path: `${path}.NAME`, schema: each };
  return undefined;
}

/** Anchors name keys as paths: "services.servers.weight". */
const anchorOf = (path: string): string => path.replaceAll('[]', '').replaceAll('.NAME', '');

function sectionText({ path, schema, description }: Section, known: ReadonlyMap<string, string>): string {
  const title = path === '' ? '## The file' : `<a id="${anchorOf(path)}"></a>\n\n## \`${path}\``;
  const said = description === undefined ? [] : [`${sentence(description)}\n`];
  const rows = Object.entries(schema.properties ?? {}).map(([name, key]) =>
    rowText(path, name, key, schema.required?.includes(name) ?? false, known),
  );
  const head = '| key | value | left out | |\n|---|---|---|---|';
  const example = examples[path] === undefined ? [] : [`\`\`\`yaml\n${examples[path]}\n\`\`\`\n`];
  return [title, '', ...said, ...example, `${head}\n${rows.join('\n')}`, ''].join('\n');
}

function rowText(
  path: string,
  name: string,
  schema: Schema,
  required: boolean,
  known: ReadonlyMap<string, string>,
): string {
  const own = path === '' ? name : `${path}.${name}`;
  const below = objectBelow(own, schema);
  const target = below && (known.get(identity(below.schema)) ?? below.path);
  const shown = target === undefined ? `\`${name}\`` : `[\`${name}\`](#${anchorOf(target)})`;
  // Sections have the anchors of the keys that lead to them.
  const anchor = target === own || target?.replace(/(\[\]|\.NAME)$/, '') === own ? '' : `<a id="${anchorOf(own)}"></a>`;
  const { text, leftOut } = splitDescription(schema.description ?? '');
  const fallback = schema.default === undefined ? leftOut : code(schema.default);
  const cells = [`${anchor}${shown}`, valueText(schema), required ? 'required' : fallback, text];
  return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
}

const code = (value: unknown): string => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;

function valueText(schema: Schema): string {
  const { type, minimum, maximum, items, additionalProperties: each } = schema;
  if (schema.not) return 'refused';
  if (schema.enum) return schema.enum.map(code).join(', ');
  if (items) return items.properties ? 'list of objects' : `list: ${valueText(items)}`;
  if (schema.properties) return 'object';
  if (typeof each === 'object') return each.properties ? 'objects by name' : `by name: ${valueText(each)}`;
  if (minimum !== undefined || maximum !== undefined) {
    const kind = type === 'integer' ? '' : 'number, ';
    return `${kind}${minimum ?? ''} … ${maximum ?? ''}`;
  }
  return [type ?? 'any'].flat().join(' or ').replace('boolean', '`true`, `false`').replace('integer', 'whole number');
}

/** "bytes; left out: 2" → "bytes" and "2". */
function splitDescription(description: string): { readonly text: string; readonly leftOut: string } {
  const [, text = '', leftOut = ''] = /^(.*?)(?:; (?:left out: |default )(.*))?$/.exec(description) ?? [];
  return { text, leftOut };
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
