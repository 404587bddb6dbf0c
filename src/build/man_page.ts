// SPDX-License-Identifier: Apache-2.0
// A command as a manual page, in the macros of man(7): its verbs, their options and examples, exit status, files.
import { exitCodesHelp } from '../cli/exit_codes.js';
import type { ArgumentNode, CommandNode, OptionNode } from '../cli/tree.js';

export interface PageContext {
  readonly version: string;
  /** "2026-11-23" */
  readonly date: string;
  /** Names of all pages, "fulcrum-service(1)". */
  readonly pages: readonly string[];
}

export const pageName = ({ path }: CommandNode): string => path.slice(0, 2).join('-');

/** The page of the whole command: nouns by name, what all have in common. */
export function mainPage(tree: CommandNode, context: PageContext): string {
  const nouns = tree.commands.flatMap((node) => [
    '.TP',
    `.BR ${pageName(node).replaceAll('-', '\\-')} (1)`,
    escaped(node.description),
  ]);
  return page(tree, context, [
    ...section('SYNOPSIS', ['.B fulcrum', '[\\fIoption\\fR]... \\fIcommand\\fR [\\fIargument\\fR]...']),
    ...section('DESCRIPTION', [escaped(tree.description)]),
    ...section('COMMANDS', nouns),
    ...section('OPTIONS', tree.options.flatMap(optionLines)),
    ...prose(tree.epilogue),
    ...common,
  ]);
}

/** A noun with its verbs. */
export function nounPage(node: CommandNode, tree: CommandNode, context: PageContext): string {
  const verbs = verbsOf(node);
  return page(node, context, [
    ...section('SYNOPSIS', verbs.flatMap(synopsis)),
    ...section('DESCRIPTION', [escaped(sentence(node.description))]),
    ...(verbs.length === 1 && verbs[0] === node
      ? [...argumentsAndOptions(node), ...prose(node.epilogue)]
      : [...prose(node.epilogue), '.SH COMMANDS', ...verbs.flatMap(verbLines)]),
    ...section('OPTIONS OF ALL COMMANDS', tree.options.flatMap(optionLines)),
    ...common,
  ]);
}

function verbsOf(node: CommandNode): readonly CommandNode[] {
  return node.commands.length === 0 ? [node] : node.commands.flatMap(verbsOf);
}

function page(node: CommandNode, { version, date, pages }: PageContext, body: readonly string[]): string {
  const name = pageName(node);
  const others = pages.filter((other) => other !== `${name}(1)`);
  return `${[
    '.\\" Made from the tree of commands: edit the texts of --help.',
    `.TH ${name.toUpperCase().replaceAll('-', '\\-')} 1 ${date} "fulcrum ${version}" "Fulcrum"`,
    '.nh',
    ...section('NAME', [`${name.replaceAll('-', '\\-')} \\- ${escaped(node.description.replace(/\.$/, ''))}`]),
    ...body,
    ...section('SEE ALSO', [others.map((other) => escaped(other)).join(', ')]),
  ].join('\n')}\n`;
}

const section = (title: string, lines: readonly string[]): readonly string[] => [`.SH ${title}`, ...lines];

function synopsis({ path, arguments: given, options }: CommandNode): readonly string[] {
  const names = given.map(argumentText).join(' ');
  return [
    '.HP',
    `\\fB${escaped(path.join(' '))}\\fR${options.length > 1 ? ' [\\fIoption\\fR]...' : ''}${names && ` ${names}`}`,
  ];
}

function argumentText({ name, required, variadic }: ArgumentNode): string {
  const text = `\\fI${escaped(name)}\\fR${variadic ? '...' : ''}`;
  return required ? text : `[${text}]`;
}

function verbLines(node: CommandNode): readonly string[] {
  return [
    `.SS ${escaped(node.path.slice(1).join(' '))}`,
    escaped(sentence(node.description)),
    ...argumentLines(node),
    ...node.options.filter(isOwn).flatMap(optionLines),
    ...prose(node.epilogue, '.PP'),
  ];
}

const argumentsAndOptions = (node: CommandNode): readonly string[] => {
  const options = node.options.filter(isOwn).flatMap(optionLines);
  return [...argumentLines(node), ...(options.length > 0 ? section('OPTIONS', options) : [])];
};

const isOwn = ({ long }: OptionNode): boolean => long !== '--help';

const argumentLines = ({ arguments: given }: CommandNode): readonly string[] =>
  given.flatMap((argument) => [
    '.TP',
    argumentText(argument),
    `${escaped(argument.description || 'see above')}${choicesText(argument.choices)}`,
  ]);

function optionLines({ short, long, value, choices, description }: OptionNode): readonly string[] {
  const names = [short, long].filter((name) => name !== undefined).map((name) => `\\fB${escaped(name)}\\fR`);
  return [
    '.TP',
    `${names.join(', ')}${value && ` \\fI${escaped(value.replace(/^[<[]|[>\]]$/g, ''))}\\fR`}`,
    `${escaped(description)}${choicesText(choices)}`,
  ];
}

const choicesText = (choices: readonly string[]): string =>
  choices.length === 0 ? '' : `: ${choices.map((choice) => `\\fB${escaped(choice)}\\fR`).join(', ')}`;

/** Paragraphs are filled; lines that begin with blanks stand as they are; "Examples:" is a heading. */
function prose(text: string, first = '.SH NOTES'): readonly string[] {
  if (text.trim() === '') return [];
  const lines: string[] = [];
  let isExample = false;
  const example = (state: boolean): void => {
    if (state !== isExample) lines.push(...(state ? ['.RS 4', '.nf'] : ['.fi', '.RE']));
    isExample = state;
  };
  let begins = true;
  let fresh = true;
  for (const raw of text.split('\n')) {
    const heading = /^(Examples?|States|Exit status):$/.exec(raw)?.[1];
    if (raw.trim() === '') {
      if (isExample) lines.push('.sp');
      fresh = true;
    } else if (heading !== undefined) {
      example(false);
      lines.push(first === '.PP' ? '.PP' : `.SH ${heading.toUpperCase()}`, ...(first === '.PP' ? [`${heading}:`] : []));
      fresh = false;
    } else {
      const isIndented = /^ {2}/.test(raw);
      if (begins && first !== '.PP') lines.push(first);
      else if (!isIndented && (fresh || isExample)) {
        example(false);
        lines.push('.PP');
      }
      example(isIndented);
      lines.push(escaped(isIndented ? raw.slice(2) : raw));
      fresh = false;
    }
    if (raw.trim() !== '') begins = false;
  }
  example(false);
  return lines;
}

const exitStatus = exitCodesHelp.split('\n').flatMap((text) => {
  const [, code, meaning] = /^ {2}(\d) {2}(.*)$/.exec(text) ?? [];
  return code === undefined ? [] : ['.TP', `.B ${code}`, escaped(meaning ?? '')];
});

const item = (name: string, text: string): readonly string[] => ['.TP', `.I ${escaped(name)}`, escaped(text)];

/** What is the same for all. */
const common = [
  ...section('EXIT STATUS', exitStatus),
  ...section('ENVIRONMENT', [
    '.TP',
    '.B FULCRUM_SOCKET',
    escaped('socket of the director, where --socket does not name one'),
  ]),
  ...section('FILES', [
    ...item(
      '/run/fulcrum/INODE/manager.sock',
      'where the director of a network namespace listens; INODE is that of /proc/self/ns/net',
    ),
    ...item('/var/lib/fulcrum/NAME/', 'what must not be lost: configurations, their history'),
    ...item('/etc/fulcrum/director.yaml', 'usual place of a configuration'),
  ]),
];

const sentence = (text: string): string =>
  `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? '' : '.'}`;

/** As roff takes it: a line must not begin with a control character. */
export function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', '\\(cq')
    .replaceAll('…', '...')
    .replaceAll('→', '\\(->')
    .replace(/^([.'])/gm, '\\&$1');
}
