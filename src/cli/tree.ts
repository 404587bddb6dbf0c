// SPDX-License-Identifier: Apache-2.0
// The tree of commands as plain data, read from commander's: what manual pages and shell completion are made of.
import type { EventEmitter } from 'node:events';
import type { Argument, Command, Option } from 'commander';

export interface OptionNode {
  readonly short: string | undefined;
  readonly long: string | undefined;
  /** "<file>", "[n]"; empty: a switch. */
  readonly value: string;
  readonly choices: readonly string[];
  readonly description: string;
}

export interface ArgumentNode {
  readonly name: string;
  readonly required: boolean;
  readonly variadic: boolean;
  readonly choices: readonly string[];
  readonly description: string;
}

export interface CommandNode {
  /** "fulcrum", "service", "add" */
  readonly path: readonly string[];
  readonly name: string;
  readonly description: string;
  readonly arguments: readonly ArgumentNode[];
  readonly options: readonly OptionNode[];
  readonly commands: readonly CommandNode[];
  /** What stands behind the options in its --help, without what all commands have. */
  readonly epilogue: string;
}

export function treeOf(command: Command, above: readonly string[] = []): CommandNode {
  const path = [...above, command.name()];
  const help = command.createHelp();
  return {
    path,
    name: command.name(),
    description: command.description(),
    arguments: command.registeredArguments.map(argumentNode),
    options: help.visibleOptions(command).map(optionNode),
    commands: help
      .visibleCommands(command)
      .filter((below) => below.name() !== 'help')
      .map((below) => treeOf(below, path)),
    epilogue: epilogueOf(command),
  };
}

/** All of a tree, itself first. */
export function everyCommand(node: CommandNode): readonly CommandNode[] {
  return [node, ...node.commands.flatMap(everyCommand)];
}

function optionNode(option: Option): OptionNode {
  const { short, long, flags, description, argChoices = [] } = option;
  return { short, long, value: /[<[][^>\]]+[>\]]/.exec(flags)?.[0] ?? '', choices: argChoices, description };
}

const argumentNode = (argument: Argument): ArgumentNode => ({
  name: argument.name(),
  required: argument.required,
  variadic: argument.variadic,
  choices: argument.argChoices ?? [],
  description: argument.description,
});

/** Commander keeps such text as listeners of an event. */
function epilogueOf(command: Command): string {
  const texts: string[] = [];
  const emitter = command as unknown as EventEmitter;
  emitter.emit('afterHelp', { error: false, command, write: (text: string) => texts.push(text) });
  return texts.join('').trim();
}
