// SPDX-License-Identifier: Apache-2.0
// Results of other test programs as outcomes: TAP as ava prints it, JUnit XML as doctest prints it.

export interface Outcome {
  readonly title: string;
  readonly passed: boolean;
  /** What a failed one said. */
  readonly detail?: string;
}

/** Takes TAP line by line; a failed test is complete when its block has ended, so ask end() for the last one. */
export class TapReader {
  readonly #take: (outcome: Outcome) => void;
  #open: { readonly title: string; readonly passed: boolean; readonly lines: string[] } | undefined;

  constructor(take: (outcome: Outcome) => void) {
    this.#take = take;
  }

  line(text: string): void {
    const match = /^(not )?ok \d+ - (.*)$/.exec(text);
    if (match) {
      this.end();
      this.#open = { title: match[2] ?? '', passed: match[1] === undefined, lines: [] };
    } else if (/^(1\.\.\d+|# (tests|pass|fail) \d+|TAP version \d+)$/.test(text)) {
      this.end();
    } else if (text.trim() !== '' && !/^ {2}(---|\.\.\.)$/.test(text)) {
      this.#open?.lines.push(text);
    }
  }

  end(): void {
    if (this.#open === undefined) return;
    const { title, passed, lines } = this.#open;
    this.#open = undefined;
    this.#take({ title, passed, ...(!passed && lines.length > 0 && { detail: lines.join('\n') }) });
  }
}

/** Every testcase of a JUnit document, with the text of its failures. */
export function readJunit(xml: string): readonly Outcome[] {
  const cases = xml.matchAll(element('testcase'));
  return [...cases].map(([, attributes = '', body = '']) => {
    const failures = [...body.matchAll(element('failure')), ...body.matchAll(element('error'))];
    const detail = failures.map(([, named = '', text = '']) => decodeText(text.trim() || attribute(named, 'message')));
    const file = attribute(attributes, 'classname').split('/').at(-1);
    const title = `${file} › ${decodeText(attribute(attributes, 'name'))}`;
    return { title, passed: failures.length === 0, ...(failures.length > 0 && { detail: detail.join('\n') }) };
  });
}

/** Matches an element; its attributes, which may have ">" in them, and its content are the two groups. */
const element = (name: string): RegExp =>
  new RegExp(`<${name}\\b((?:[^>"]|"[^"]*")*?)(?:/>|>([\\s\\S]*?)</${name}>)`, 'g');

const attribute = (text: string, name: string): string => new RegExp(`\\b${name}="([^"]*)"`).exec(text)?.[1] ?? '';

const entities: Readonly<Record<string, string>> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

function decodeText(text: string): string {
  const bare = text.replace(/^<!\[CDATA\[([\s\S]*)\]\]>$/, '$1');
  return bare.replace(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, decimal, hexadecimal, name) => {
    if (decimal !== undefined) return String.fromCodePoint(Number(decimal));
    if (hexadecimal !== undefined) return String.fromCodePoint(Number.parseInt(hexadecimal, 16));
    return entities[name] ?? whole;
  });
}
