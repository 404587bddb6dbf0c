// SPDX-License-Identifier: Apache-2.0
// The documentation without running it: links and anchors lead somewhere, files and options that it names exist, examples
// in YAML, JSON and keepalived's language are read by the real readers, and generated pages are up to date.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, normalize } from 'node:path';
import test from 'ava';
import type { Command } from 'commander';
import { parseAllDocuments } from 'yaml';
import { referencePages } from '../../src/build/reference.js';
import { wholeProgram } from '../../src/cli/fulcrum.js';
import { parseConfig } from '../../src/config/parse.js';
import { directorSchema } from '../../src/config/schema.js';
import { serviceSchema } from '../../src/config/services.js';
import { projectRoot } from '../../src/grpc/loader.js';
import { importKeepalived } from '../../src/import/keepalived/import.js';
import { anchorsOf, type Block, linksOf, missingFrom, parsePage, readPages } from '../support/documentation.js';

const pages = readPages();
const blocks = pages.flatMap(({ parts }) => parts.filter((part) => part.kind === 'block'));
const languages: ReadonlySet<string> = new Set([
  '',
  'sh',
  'text',
  'python',
  'yaml',
  'json',
  'keepalived',
  'ini',
  'dockerfile',
  'promql',
]);

test('links lead to files and headings that there are', (t) => {
  const texts = new Map(pages.map(({ path, text }) => [path, text]));
  for (const page of pages) {
    for (const { place, target } of linksOf(page)) {
      const [file = '', anchor] = target.split('#');
      const path = file === '' ? page.path : normalize(join(dirname(page.path), file));
      t.true(existsSync(join(projectRoot, path)), `${place}: there is no ${path}`);
      const text = texts.get(path);
      if (anchor !== undefined && text !== undefined) t.true(anchorsOf(text).has(anchor), `${place}: ${target}`);
    }
  }
});

test('every page can be reached from the index', (t) => {
  const index = pages.find(({ path }) => path === 'docs/README.md');
  const reached = new Set(
    index && linksOf(index).map(({ target }) => normalize(join('docs', target.split('#')[0] ?? ''))),
  );
  for (const { path } of pages) if (!path.endsWith('README.md')) t.true(reached.has(path), path);
});

const sourceFile = /`((?:src|dataplane|proto|test|bin|docker|docs)\/[\w./-]+)`/g;

test('files that are named exist', (t) => {
  for (const { path, text } of pages) {
    for (const [, file = ''] of text.matchAll(sourceFile)) {
      const built = file.startsWith('dataplane/build') || file.startsWith('dataplane/generated');
      t.true(built || existsSync(join(projectRoot, file)), `${path}: ${file}`);
    }
  }
});

test('commands and options of fulcrum that are named exist', async (t) => {
  const program = await wholeProgram(undefined as never);
  for (const { path, text } of pages) {
    for (const words of commandsIn(text)) {
      const mistake = mistakeIn(program, words);
      t.is(mistake, undefined, `${path}: fulcrum ${words.join(' ')}`);
    }
  }
});

/** Of what stands behind "fulcrum", in code between ticks and in blocks of commands, up to the end of the command. */
function commandsIn(text: string): readonly (readonly string[])[] {
  const ticked = [...text.replace(/^ *```[\s\S]*?^ *```$/gm, '').matchAll(/`([^`]*)`/g)].map(([, code = '']) => code);
  const typed = [...text.matchAll(/^ *```sh\n([\s\S]*?)^ *```$/gm)].flatMap(([, code = '']) => code.split('\n'));
  return [...ticked, ...typed].flatMap((code) => {
    const found = /(?:^|[ /])fulcrum ([a-z].*)$/.exec(code.replace(/\s+#.*$/, ''));
    return found
      ? [
          (found[1] ?? '')
            .split(/[|;&>]/)[0]
            ?.trim()
            .split(/\s+/) ?? [],
        ]
      : [];
  });
}

/** The first word that is no command, or the first option that its command does not have. */
function mistakeIn(program: Command, words: readonly string[]): string | undefined {
  let command = program;
  const options = words.filter((word) => word.startsWith('--')).map((word) => word.split('=')[0] ?? '');
  for (const word of words) {
    if (command.commands.length === 0 || word.startsWith('-')) break;
    if (!/^[a-z-]+$/.test(word)) break;
    const next = command.commands.find((one) => one.name() === word || one.aliases().includes(word));
    if (next === undefined) return word;
    command = next;
  }
  const known = new Set([...command.options, ...program.options].flatMap(({ long, short }) => [long, short]));
  return options.find((option) => option !== '--' && option !== '--help' && !known.has(option));
}

for (const block of blocks) {
  if (block.notes.has('not checked')) continue;
  if (block.language === 'yaml') test(`${block.place}: YAML`, (t) => t.notThrows(() => readYaml(block)));
  if (block.language === 'json') test(`${block.place}: JSON`, (t) => t.notThrows(() => JSON.parse(block.text)));
  if (block.language === 'keepalived')
    test(`${block.place}: keepalived`, (t) => t.notThrows(() => importText(block.text)));
}

test('blocks are of languages that are looked at', (t) => {
  for (const { language, place } of blocks) t.true(languages.has(language), `${place}: ${language}`);
});

/** Everything that examples refer to. */
const machine = {
  cpus: [0, 1, 2, 3, 4, 5, 6, 7],
  kernelInterfaces: ['eth0', 'eth1', 'wan0', 'lan0', 'tap0'],
  pciDevices: ['0000:03:00.0', '0000:03:00.1'],
};

/** A whole director's file, keys of one, keys of a service, or entries of one of its lists. */
function readYaml({ text, place, notes }: Block): void {
  const frame = `ports: { wan: { device: net_null0, interfaces: [{ addresses: [203.0.113.1/24, "2001:db8::1/64"] }] }, lan: { device: net_null1, kernel: { name: fk1 }, interfaces: [{ addresses: [10.0.0.1/24] }] } }\n`;
  const keys = Object.keys((parseAllDocuments(text)[0]?.toJS() ?? {}) as object);
  const within = (name: string) => `${name}:\n${text.replace(/^/gm, '  ')}`;
  const isService = keys.every((key) => key in serviceSchema.properties) && !keys.includes('services');
  const inside = notes.get('part of');
  const whole = isService
    ? `${frame}services:\n  - address: tcp:203.0.113.10:80\n${text.replace(/^ */, '').replace(/^/gm, '    ')}`
    : keys.includes('ports')
      ? text
      : inside !== undefined
        ? `${frame}${within(inside)}`
        : `${frame}${text}`;
  if (!keys.every((key) => key in directorSchema.properties || key in serviceSchema.properties))
    throw new Error(`keys of neither file nor service: ${keys}`);
  parseConfig(whole, place, machine);
}

function importText(text: string): void {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-import-'));
  try {
    const file = join(directory, 'keepalived.conf');
    writeFileSync(file, text);
    if (importKeepalived(file, undefined).configuration.services?.length === 0) throw new Error('no service in it');
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('generated pages are what `npm run docs` would write', async (t) => {
  for (const [path, text] of await referencePages())
    t.is(readFileSync(join(projectRoot, path), 'utf8'), text, `${path} is stale: run \`npm run docs\``);
});

test('output is compared line by line, with … for what differs', (t) => {
  t.is(missingFrom('a b\nc', ' a   b\n\nc\n'), undefined);
  t.is(missingFrom('a …\n…\nz', 'a 1\nb\nc\nz'), undefined);
  t.is(missingFrom('a …\nz', 'a 1\nb\nz'), 'z');
  t.is(missingFrom('a 1', 'a 27'), 'a 1');
  t.is(missingFrom('a 1', 'a 27', true), undefined);
  t.is(missingFrom('a', 'a\nb'), 'the end');
  t.is(missingFrom('a.b', 'axb'), 'a.b');
});

test('a page is read with the notes before its blocks', (t) => {
  const { parts } = parsePage('p.md', '<!-- stage: lab -->\n<!-- fails: 2 -->\n```sh\nfalse\n```\n\n```text\nx\n```\n');
  t.deepEqual(
    parts.map((part) => (part.kind === 'order' ? part.text : [part.language, [...part.notes], part.follows])),
    ['lab', ['sh', [['fails', '2']], false], ['text', [], true]],
  );
  t.throws(() => parsePage('p.md', '<!-- fails: 2 -->\n\nwords\n'), { message: /belongs right before a block/ });
});
