// SPDX-License-Identifier: Apache-2.0
// Completion for fish: a line for each command, option and argument, with the place where it holds.
import { type CommandNode, everyCommand } from '../tree.js';
import { argumentValues, brief, type Candidates, keyOf, valuesOf } from './words.js';

export function fishScript(tree: CommandNode): string {
  const commands = everyCommand(tree);
  const names = [...new Set(commands.flatMap((node) => node.commands.map(({ name }) => name)))];
  return `# fish completion for fulcrum; made by "fulcrum completion fish"
function __fulcrum_at
    set -l words (commandline -opc)
    set -l path
    for word in $words[2..-1]
        if contains -- $word ${names.join(' ')}
            set -a path $word
        end
    end
    test "$path" = "$argv"
end
function __fulcrum_servers
    for word in (commandline -opc)
        if string match -qr '^(tcp|udp|sctp|fwmark):' -- $word
            fulcrum completion servers $word 2>/dev/null
            return
        end
    end
end
complete -c fulcrum -f
${commands.flatMap(linesOf).join('\n')}
`;
}

const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;

function linesOf(node: CommandNode): readonly string[] {
  const at = `complete -c fulcrum -n ${quoted(`__fulcrum_at ${keyOf(node)}`.trim())}`;
  const about = (text: string): string => `-d ${quoted(brief(text))}`;
  const commands = node.commands.map(({ name, description }) => `${at} -a ${quoted(name)} ${about(description)}`);
  const options = node.options.map(({ short, long, description, ...option }) => {
    const names = [...(short ? [`-s ${short.slice(1)}`] : []), ...(long ? [`-l ${long.slice(2)}`] : [])];
    const value = option.value === '' ? '' : ` -r ${valueText(valuesOf({ short, long, description, ...option }))}`;
    return `${at} ${names.join(' ')}${value} ${about(description)}`;
  });
  const values = node.arguments.map(argumentValues).filter((one) => typeof one === 'string' || one.length > 0);
  return [...commands, ...options, ...values.map((one) => `${at} ${valueText(one)}`)];
}

function valueText(candidates: Candidates): string {
  if (candidates === 'files') return '-F';
  if (candidates === 'services') return `-a '(fulcrum completion services 2>/dev/null)'`;
  if (candidates === 'servers') return `-a '(__fulcrum_servers)'`;
  return candidates.length === 0 ? '' : `-a ${quoted(candidates.join(' '))}`;
}
