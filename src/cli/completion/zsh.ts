// SPDX-License-Identifier: Apache-2.0
// Completion for zsh: a function for each command, by _arguments.
import { type ArgumentNode, type CommandNode, everyCommand, type OptionNode } from '../tree.js';
import { argumentValues, brief, type Candidates, inQuotes, valuesOf } from './words.js';

export function zshScript(tree: CommandNode): string {
  return `#compdef fulcrum
# zsh completion for fulcrum; made by "fulcrum completion zsh"
_fulcrum_services() {
  local -a names
  names=("\${(@f)$(fulcrum completion services 2>/dev/null)}")
  compadd -a names
}
_fulcrum_servers() {
  local -a names
  names=("\${(@f)$(fulcrum completion servers "$line[1]" 2>/dev/null)}")
  compadd -a names
}
${everyCommand(tree).map(functionOf).join('')}
if [ "$funcstack[1]" = _fulcrum ]; then _fulcrum "$@"; else compdef _fulcrum fulcrum; fi
`;
}

const nameOf = (node: CommandNode): string => `_${node.path.join('_').replaceAll('-', '_')}`;

function functionOf(node: CommandNode): string {
  const options = node.options.flatMap(optionSpecs);
  if (node.commands.length === 0) {
    const specs = [...options, ...node.arguments.map(argumentSpec)];
    return `${nameOf(node)}() {\n  local line\n  _arguments -s ${specs.map(inQuotes).join(' \\\n    ')}\n}\n`;
  }
  const described = node.commands.map(({ name, description }) => inQuotes(`${name}:${brief(description)}`));
  const cases = node.commands.map((below) => `    ${below.name}) ${nameOf(below)} ;;`);
  return `${nameOf(node)}() {
  local line state
  local -a commands
  commands=(${described.join('\n    ')})
  _arguments -C ${[...options, '1: :->command', '*::argument:->argument'].map(inQuotes).join(' \\\n    ')}
  case $state in
  command) _describe command commands ;;
  argument)
    case $line[1] in
${cases.join('\n')}
    esac
    ;;
  esac
}
`;
}

const plain = (text: string): string => brief(text).replaceAll(/[[\]:]/g, ' ');

function optionSpecs(option: OptionNode): readonly string[] {
  const names = [option.short, option.long].filter((name) => name !== undefined);
  const value = option.value === '' ? '' : `:${plain(option.value)}:${actionOf(valuesOf(option))}`;
  const others = names.length > 1 ? `(${names.join(' ')})` : '';
  return names.map((name) => `${others}${name}[${plain(option.description)}]${value}`);
}

const argumentSpec = (argument: ArgumentNode): string =>
  `${argument.variadic ? '*' : ''}:${argument.required ? '' : ':'}${plain(argument.name)}:${actionOf(argumentValues(argument))}`;

function actionOf(candidates: Candidates): string {
  if (candidates === 'files') return '_files';
  if (typeof candidates === 'string') return `_fulcrum_${candidates}`;
  return candidates.length === 0 ? ' ' : `(${candidates.join(' ')})`;
}
