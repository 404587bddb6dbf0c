// SPDX-License-Identifier: Apache-2.0
// Completion for bash: tables of the tree, and a function that reads the line as it was typed, because bash splits words
// at the colons that services are written with.
import { type CommandNode, everyCommand, type OptionNode } from '../tree.js';
import { argumentValues, type Candidates, inQuotes, keyOf, optionNames, valuesOf } from './words.js';

export function bashScript(tree: CommandNode): string {
  const commands = everyCommand(tree);
  return `# bash completion for fulcrum; made by "fulcrum completion bash"
_fulcrum_commands() {
  case $1 in
${commands.map((node) => line(keyOf(node), node.commands.map(({ name }) => name).join(' '))).join('')}  esac
}
_fulcrum_options() {
  case $1 in
${commands.map((node) => line(keyOf(node), optionNames(node).join(' '))).join('')}  esac
}
_fulcrum_arguments() {
  case $1 in
${commands.map((node) => line(keyOf(node), node.arguments.map((one) => word(argumentValues(one))).join(';'))).join('')}  esac
}
# What an option takes: "-" is nothing.
_fulcrum_value() {
  case "$1|$2" in
${commands.flatMap((node) => node.options.flatMap((option) => valueLines(keyOf(node), option))).join('')}  '|-o'|'|--output') echo 'table json yaml' ;;
  '|--socket') echo @files ;;
  *) echo - ;;
  esac
}
${engine}
complete -F _fulcrum fulcrum
`;
}

const line = (key: string, words: string): string =>
  words === '' ? '' : `  ${inQuotes(key)}) echo ${inQuotes(words)} ;;\n`;

const word = (candidates: Candidates): string =>
  typeof candidates === 'string' ? `@${candidates}` : candidates.length > 0 ? candidates.join(' ') : '@none';

function valueLines(key: string, option: OptionNode): readonly string[] {
  if (option.value === '') return [];
  const names = [option.short, option.long].flatMap((name) => (name === undefined ? [] : [inQuotes(`${key}|${name}`)]));
  return [`  ${names.join('|')}) echo ${inQuotes(word(valuesOf(option)))} ;;\n`];
}

const engine = `_fulcrum_names() {
  case $1 in
  @services) fulcrum completion services 2>/dev/null ;;
  @servers) fulcrum completion servers "$2" 2>/dev/null ;;
  @none | -) ;;
  *) printf '%s\\n' $1 ;;
  esac
}
_fulcrum() {
  local line=\${COMP_LINE:0:COMP_POINT} path='' current='' last='' kind='' argument=0 service='' word value
  local -a words=() kinds=() candidates=()
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  current=\${words[\${#words[@]} - 1]}
  unset 'words[0]' "words[\${#words[@]}-1]"
  for word in "\${words[@]}"; do
    if [[ -n $last ]]; then last=''; continue; fi
    if [[ $word == -* ]]; then
      value=$(_fulcrum_value "$path" "$word")
      [[ $value == - ]] && value=$(_fulcrum_value '' "$word")
      [[ $value != - && $word != *=* ]] && last=$word
    elif [[ " $(_fulcrum_commands "$path") " == *" $word "* ]]; then
      path="\${path:+$path }$word"
    else
      [[ $argument == 0 ]] && service=$word
      argument=$((argument + 1))
    fi
  done
  if [[ -n $last ]]; then
    kind=$(_fulcrum_value "$path" "$last")
    [[ $kind == - ]] && kind=$(_fulcrum_value '' "$last")
  elif [[ $current == -* ]]; then
    kind="$(_fulcrum_options "$path") -o --output --socket --help"
  else
    kind=$(_fulcrum_commands "$path")
    if [[ -n $kind && $argument != 0 ]]; then
      kind=@none
    elif [[ -z $kind ]]; then
      IFS=';' read -ra kinds <<<"$(_fulcrum_arguments "$path")"
      kind=\${kinds[$argument]:-@none}
    fi
  fi
  if [[ $kind == @files ]]; then
    compopt -o filenames 2>/dev/null
    mapfile -t COMPREPLY < <(compgen -f -- "$current")
    return
  fi
  mapfile -t candidates < <(_fulcrum_names "$kind" "$service")
  COMPREPLY=()
  for word in "\${candidates[@]}"; do
    [[ $word == "$current"* ]] || continue
    # bash has the part before the last colon already.
    [[ $current == *:* && $COMP_WORDBREAKS == *:* ]] && word=\${word#"\${current%"\${current##*:}"}"}
    COMPREPLY+=("$word")
  done
}`;
