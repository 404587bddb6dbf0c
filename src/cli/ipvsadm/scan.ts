// SPDX-License-Identifier: Apache-2.0
// Splits a command line into options and left-over words, with popt's manners: bundled letters, values after a blank,
// after "=" or glued to the letter, options and words in any order, "--" before words only.
import { type CommandName, commandOptions, type SettingName, settingOptions, type ValueKind } from './options.js';

/** An option as declared: a command, or a setting by its long name. */
export type Declared =
  | { readonly command: CommandName; readonly value: ValueKind }
  | { readonly setting: SettingName; readonly value: ValueKind };

export interface Match {
  readonly option: Declared;
  readonly value: string | undefined;
  /** The whole word in which the option stood, for messages. */
  readonly word: string;
}

/** An option that cannot be read; the message is popt's. */
export class ScanError extends Error {
  override readonly name = 'ScanError';

  constructor(word: string, reason: string) {
    super(`${word}: ${reason}`);
  }
}

const byLongName = new Map<string, Declared>();
const byLetter = new Map<string, Declared>();

for (const { command, value, long, short } of commandOptions) {
  if (long !== undefined) byLongName.set(long, { command, value });
  if (short !== undefined) byLetter.set(short, { command, value });
}
for (const [name, option] of Object.entries(settingOptions)) {
  const declared = { setting: name as SettingName, value: option.value };
  byLongName.set(name, declared);
  if ('short' in option) byLetter.set(option.short, declared);
}

/** Yields one option after the other; the words that belong to none are returned at the end. */
export function* scan(words: readonly string[]): Generator<Match, readonly string[]> {
  const rest: string[] = [];
  let next = 0;
  const takeValue = (option: Declared, word: string, attached: string | undefined): string | undefined => {
    if (attached !== undefined) return attached;
    const following = words[next];
    if (option.value === 'optional' && (following === undefined || following.startsWith('-'))) return undefined;
    if (following === undefined) throw new ScanError(word, 'missing argument');
    next++;
    return following;
  };
  while (next < words.length) {
    const word = words[next++] ?? '';
    if (word === '--') return [...rest, ...words.slice(next)];
    if (word.startsWith('--')) yield readLong(word, takeValue);
    else if (word.startsWith('-') && word !== '-') yield* readLetters(word, takeValue);
    else rest.push(word);
  }
  return rest;
}

type TakeValue = (option: Declared, word: string, attached: string | undefined) => string | undefined;

function readLong(word: string, takeValue: TakeValue): Match {
  const equals = word.indexOf('=');
  const option = byLongName.get(equals < 0 ? word.slice(2) : word.slice(2, equals));
  if (option === undefined) throw new ScanError(word, 'unknown option');
  const attached = equals < 0 ? undefined : word.slice(equals + 1);
  if (option.value !== 'none') return { option, value: takeValue(option, word, attached), word };
  if (attached !== undefined) throw new ScanError(word, 'option does not take an argument');
  return { option, value: undefined, word };
}

function* readLetters(word: string, takeValue: TakeValue): Generator<Match> {
  for (let at = 1; at < word.length; at++) {
    const option = byLetter.get(word.charAt(at));
    if (option === undefined) throw new ScanError(word, 'unknown option');
    if (option.value === 'none') {
      yield { option, value: undefined, word };
      continue;
    }
    const glued = word.slice(word.charAt(at + 1) === '=' ? at + 2 : at + 1);
    yield { option, value: takeValue(option, word, glued === '' ? undefined : glued), word };
    return;
  }
}
