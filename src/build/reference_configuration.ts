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
  return [title, '', ...said, `${head}\n${rows.join('\n')}`, ''].join('\n');
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
