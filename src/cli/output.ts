// SPDX-License-Identifier: Apache-2.0
// How results are printed: as a table for people, as JSON or YAML for programs. JSON is one document; 64-bit counters
// are numbers with all their digits.

export const outputFormats = ['table', 'json', 'yaml'] as const;
export type OutputFormat = (typeof outputFormats)[number];

/** What can be printed: plain data; bigints are numbers, undefined fields are left out. */
export type View =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | readonly View[]
  | { readonly [key: string]: View };

export interface Column<Row> {
  readonly title: string;
  readonly value: (row: Row) => string | number | bigint;
  /** Numbers stand at the right. */
  readonly right?: boolean;
}

/** Lines of a table: titles, then a line a row, columns two blanks apart, nothing after the last one. */
export function tableLines<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): readonly string[] {
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ value }) => String(value(row)))),
  ];
  const widths = columns.map((_, at) => cells.reduce((width, line) => Math.max(width, line[at]?.length ?? 0), 0));
  return cells.map((line) =>
    line
      .map((cell, at) => (columns[at]?.right ? cell.padStart(widths[at] ?? 0) : cell.padEnd(widths[at] ?? 0)))
      .join('  ')
      .trimEnd(),
  );
}

/** "name:  value" lines, values in one column. */
export function fieldLines(
  fields: readonly (readonly [name: string, value: string | number | bigint])[],
): readonly string[] {
  const width = fields.reduce((longest, [name]) => Math.max(longest, name.length), 0) + 1;
  return fields.map(([name, value]) => `${`${name}:`.padEnd(width)}  ${value}`.trimEnd());
}

const bigintMark = '\u0000bigint:';

/** JSON text; bigints become numbers. */
export function jsonText(view: View, indent?: number): string {
  const text = JSON.stringify(
    view,
    (_, value) => (typeof value === 'bigint' ? `${bigintMark}${value}` : value),
    indent,
  );
  return text.replaceAll(/"\\u0000bigint:(-?\d+)"/g, '$1');
}

export async function yamlText(view: View): Promise<string> {
  const { stringify } = await import('yaml');
  return stringify(view, { lineWidth: 0 });
}

/** The whole answer of a command. */
export async function documentText(format: OutputFormat, view: View, table: () => readonly string[]): Promise<string> {
  switch (format) {
    case 'json':
      return `${jsonText(view, 2)}\n`;
    case 'yaml':
      return yamlText(view);
    case 'table':
      return table()
        .map((line) => `${line}\n`)
        .join('');
  }
}
