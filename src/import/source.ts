// SPDX-License-Identifier: Apache-2.0
// Where something stands in a foreign configuration, and what is said about it: an error ends the import, a warning
// tells what has no equivalent.
import { ConfigurationError } from '../config/document.js';

export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface Warning {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

export type Warn = (place: Place, message: string) => void;

/** Keeps warnings in the order of the files' lines, each once. */
export function warningList(): { readonly warn: Warn; readonly list: () => readonly Warning[] } {
  const warnings = new Map<string, Warning>();
  const files: string[] = [];
  return {
    warn: ({ file, line }, message) => {
      if (!files.includes(file)) files.push(file);
      const warning = { file, line, message };
      warnings.set(formatWarning(warning), warning);
    },
    list: () => [...warnings.values()].sort((a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line),
  };
}

export function formatWarning({ file, line, message }: Warning): string {
  return `${file}:${line}: ${message}`;
}

/** The file cannot be understood here. */
export function syntaxError(place: Place, reason: string): ConfigurationError {
  return new ConfigurationError([{ ...place, field: '', reason }]);
}
