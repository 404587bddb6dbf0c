// SPDX-License-Identifier: Apache-2.0
// The management API as a page: what the descriptor set has of services, messages and enums, with the comments of the
// protos. Private packages (fulcrum.dataplane) are left out.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { INamespace, Root } from 'protobufjs';
import { descriptorSetPath } from '../grpc/loader.js';

const packageName = 'fulcrum.v1';

interface Field {
  readonly name: string;
  readonly number: number;
  readonly label: string;
  readonly type: string;
  readonly typeName?: string;
  readonly proto3Optional?: boolean;
  readonly oneofIndex?: number;
}
interface EnumType {
  readonly name: string;
  readonly value: readonly { readonly name: string; readonly number: number }[];
}
interface MessageType {
  readonly name: string;
  readonly field: readonly Field[];
  readonly nestedType: readonly MessageType[];
  readonly enumType: readonly EnumType[];
  readonly oneofDecl: readonly { readonly name: string }[];
}
interface Method {
  readonly name: string;
  readonly inputType: string;
  readonly outputType: string;
  readonly serverStreaming?: boolean;
}
interface File {
  readonly name: string;
  readonly package: string;
  readonly messageType: readonly MessageType[];
  readonly enumType: readonly EnumType[];
  readonly service: readonly { readonly name: string; readonly method: readonly Method[] }[];
  readonly sourceCodeInfo?: {
    readonly location: readonly { readonly path: readonly number[]; readonly leadingComments?: string }[];
  };
}

/** Field numbers of descriptor.proto, of which the paths of comments are made. */
const path = { message: 4, enumType: 5, service: 6, method: 2, field: 2, nested: 3, nestedEnum: 4, value: 2 } as const;

const introduction = `# API reference

\`${packageName}\`, by \`npm run docs\` from the comments in [proto/fulcrum/v1](../../proto/fulcrum/v1); do not edit this page. How to
call it, with examples: [the API](../api.md).

Names are those of the protos. JSON has them in lowerCamelCase (\`in_force\` is \`inForce\`), 64-bit numbers as text, and leaves out what has its
default. Of fields marked *optional* and of messages one can tell whether they were set.
`;

interface Entry<T> {
  readonly title: string;
  readonly value: T;
  readonly at: readonly number[];
  readonly comments: Comments;
}

type Comments = ReadonlyMap<string, string>;

export async function apiReference(): Promise<string> {
  const files = await readFiles();
  const messages = files.flatMap((file) => messagesOf(file));
  const enums = files.flatMap((file) => enumsOf(file));
  const byType = new Map(messages.map((entry) => [entry.title, entry]));
  const methods = files.flatMap((file) => methodsOf(file));
  const used = new Set(methods.flatMap(({ value }) => [shortName(value.inputType), shortName(value.outputType)]));
  const services = files.flatMap((file) => servicesOf(file));
  const others = messages.filter(({ title }) => !used.has(title)).sort(byTitle);
  return [
    introduction,
    ...services,
    '## Methods\n',
    methods.map(({ value }) => `[${value.name}](#${value.name.toLowerCase()})`).join(', '),
    '',
    ...methods.map((method) => methodText(method, byType)),
    '## Messages\n',
    'Those that several methods share.\n',
    ...others.map((message) => `### ${message.title}\n\n${messageText(message)}`),
    '## Enums\n',
    ...enums.sort(byTitle).map(enumText),
  ]
    .join('\n')
    .replace(/\n{3,}/g, '\n\n')
    .replace(/\n*$/, '\n');
}

const byTitle = (a: { readonly title: string }, b: { readonly title: string }): number => (a.title < b.title ? -1 : 1);

async function readFiles(): Promise<readonly File[]> {
  const { default: protobuf } = await import('protobufjs');
  const descriptor = createRequire(import.meta.url)('protobufjs/google/protobuf/descriptor.json') as INamespace;
  const root: Root = protobuf.Root.fromJSON(descriptor);
  const type = root.lookupType('google.protobuf.FileDescriptorSet');
  const options = { enums: String, arrays: true } as const;
  const set = type.toObject(type.decode(readFileSync(descriptorSetPath)), options) as { readonly file: File[] };
  return set.file.filter((file) => file.package === packageName);
}

/** By the path of the element, "4,0,2,1". */
function commentsOf({ sourceCodeInfo }: File): Comments {
  const locations = sourceCodeInfo?.location ?? [];
  return new Map(locations.map(({ path: at, leadingComments }) => [at.join(), leadingComments ?? '']));
}

function commentOf({ comments, at }: Pick<Entry<unknown>, 'comments' | 'at'>, ...below: readonly number[]): string {
  const lines = (comments.get([...at, ...below].join()) ?? '').split('\n').map((line) => line.trim());
  return lines.join(' ').replace(/\s+/g, ' ').trim();
}

function messagesOf(file: File): readonly Entry<MessageType>[] {
  const comments = commentsOf(file);
  const walk = (types: readonly MessageType[], prefix: string, at: readonly number[]): readonly Entry<MessageType>[] =>
    types.flatMap((value, index) => {
      const entry = { title: `${prefix}${value.name}`, value, at: [...at, index], comments };
      return [entry, ...walk(value.nestedType, `${entry.title}.`, [...entry.at, path.nested])];
    });
  return walk(file.messageType, '', [path.message]);
}

function enumsOf(file: File): readonly Entry<EnumType>[] {
  const comments = commentsOf(file);
  const own = file.enumType.map((value, index) => ({ title: value.name, value, at: [path.enumType, index], comments }));
  const nested = messagesOf(file).flatMap((message) =>
    message.value.enumType.map((value, index) => ({
      title: `${message.title}.${value.name}`,
      value,
      at: [...message.at, path.nestedEnum, index],
      comments,
    })),
  );
  return [...own, ...nested];
}

function methodsOf(file: File): readonly Entry<Method>[] {
  const comments = commentsOf(file);
  return file.service.flatMap((service, index) =>
    service.method.map((value, method) => ({
      title: value.name,
      value,
      at: [path.service, index, path.method, method],
      comments,
    })),
  );
}

function servicesOf(file: File): readonly string[] {
  const comments = commentsOf(file);
  return file.service.map(({ name }, index) => {
    const comment = commentOf({ comments, at: [path.service, index] });
    return `## ${name}\n\n${comment.replace(/^Errors\. /, 'Errors: ')}\n`;
  });
}

function methodText(method: Entry<Method>, byType: ReadonlyMap<string, Entry<MessageType>>): string {
  const { name, inputType, outputType, serverStreaming } = method.value;
  const part = (title: string, type: string): string => {
    const message = byType.get(shortName(type));
    if (message === undefined || message.value.field.length === 0)
      return `**${title}** ${shortName(type)}: no fields.\n`;
    return `**${title}** ${shortName(type)}\n\n${messageText(message)}`;
  };
  const answer = serverStreaming ? 'Answers, a stream of' : 'Answer';
  return [`### ${name}\n`, commentOf(method), '', part('Request', inputType), part(answer, outputType)].join('\n');
}

function messageText(message: Entry<MessageType>): string {
  const comment = commentOf(message);
  const rows = message.value.field.map((field, index) => {
    const choice = field.oneofIndex !== undefined && !field.proto3Optional ? oneofOf(message.value, field) : '';
    const cells = [`\`${field.name}\``, typeText(field), [choice, commentOf(message, path.field, index)].join('')];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  });
  const table = rows.length === 0 ? 'No fields.' : `| field | type | |\n|---|---|---|\n${rows.join('\n')}`;
  return `${comment === '' ? '' : `${comment}\n\n`}${table}\n`;
}

function oneofOf({ oneofDecl }: MessageType, { oneofIndex = 0 }: Field): string {
  return `One of *${oneofDecl[oneofIndex]?.name}*. `;
}

function typeText({ label, type, typeName = '', proto3Optional = false }: Field): string {
  const short = shortName(typeName);
  const known = typeName.startsWith(`.${packageName}.`);
  const name =
    typeName === '' ? type.replace('TYPE_', '').toLowerCase() : known ? `[${short}](#${slug(short)})` : short;
  const prefix = label === 'LABEL_REPEATED' ? 'repeated ' : proto3Optional ? 'optional ' : '';
  return `${prefix}${name}`;
}

function enumText(entry: Entry<EnumType>): string {
  const rows = entry.value.value.map(
    ({ name, number }, index) => `| \`${name}\` | ${number} | ${commentOf(entry, path.value, index)} |`,
  );
  const comment = commentOf(entry);
  return `### ${entry.title}\n\n${comment === '' ? '' : `${comment}\n\n`}| value | | |\n|---|---|---|\n${rows.join('\n')}\n`;
}

const shortName = (type: string): string => type.replace(`.${packageName}.`, '').replace(/^\./, '');
const slug = (title: string): string => title.toLowerCase().replaceAll('.', '');
