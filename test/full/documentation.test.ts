// SPDX-License-Identifier: Apache-2.0
// Every command of the documentation is run, page by page, on a machine of the page's own; what a page shows as its output
// is compared. What is not run says why, and is counted.

import test, { type ExecutionContext } from 'ava';
import type { Task } from '../../src/lab/command.js';
import { type Block, missingFrom, type Order, type Page, readPages } from '../support/documentation.js';
import { type Ending, Machine } from '../support/documentation_machine.js';

const pageMs = 900_000;
const blockMs = 300_000;
const eventuallyMs = 60_000;
const pauseMs = 300;
const executed: ReadonlySet<string> = new Set(['sh', 'python']);

const pages = readPages();
const blocks = pages.flatMap(({ parts }) => parts.filter((part) => part.kind === 'block'));
const commands = blocks.filter(({ language }) => executed.has(language));

test('what is not run has a reason', (t) => {
  const left = commands.filter(({ notes }) => notes.has('not run'));
  for (const { place, notes } of left) {
    t.log(`${place}: ${notes.get('not run')}`);
    t.not(notes.get('not run'), '', place);
  }
  t.log(`${commands.length - left.length} blocks of commands are run, ${left.length} are not`);
  t.true(commands.length - left.length > 4 * left.length);
});

for (const page of pages.filter(({ parts }) => parts.some(isRun))) {
  test.serial(page.path, async (t) => {
    t.timeout(pageMs);
    const reader = new Reader(t);
    try {
      await reader.read(page);
      t.pass();
    } finally {
      await reader.end();
    }
  });
}

function isRun(part: Page['parts'][number]): boolean {
  return part.kind === 'block' && executed.has(part.language) && !part.notes.has('not run');
}

/** Goes through a page as somebody who types in what it says. */
class Reader {
  readonly #test: ExecutionContext;
  #machine: Machine | undefined;
  #host: string | undefined;
  #printed: Ending = { code: 0, output: '' };
  #background: { readonly task: Task; readonly lines: readonly string[] } | undefined;

  constructor(t: ExecutionContext) {
    this.#test = t;
  }

  async read({ parts }: Page): Promise<void> {
    let before: Block | undefined;
    for (const part of parts) {
      if (part.kind === 'order') await this.#obey(part);
      else if (part.notes.has('file')) (await this.#here()).write(part.notes.get('file') ?? '', part.text);
      else if (isRun(part)) await this.#do(part);
      else if (part.language === 'text') this.#compare(await this.#outputFor(part, before), part);
      if (part.kind === 'block') before = part;
    }
  }

  async end(): Promise<void> {
    await this.#machine?.end();
    this.#machine = undefined;
    this.#host = undefined;
  }

  async #here(): Promise<Machine> {
    this.#machine ??= await Machine.start();
    return this.#machine;
  }

  async #obey({ word, text, place }: Order): Promise<void> {
    if (word === 'on') this.#host = text === 'here' ? undefined : text;
    else if (word === 'run') await this.#run(text, place, 0);
    else if (text === 'new machine') await this.end();
    else if (text === 'lab') {
      await this.end();
      await this.#begin('bin/fulcrum lab up', place, /ready;/);
    } else throw new Error(`${place}: there is no stage "${text}"`);
  }

  async #do(block: Block): Promise<void> {
    const { notes, place } = block;
    const text = block.language === 'python' ? `/usr/bin/python3 - <<'PYTHON'\n${block.text}\nPYTHON` : block.text;
    const until = notes.get('background');
    if (until !== undefined) await this.#begin(text, place, new RegExp(until));
    else if (notes.has('eventually')) await this.#eventually(text, place, new RegExp(notes.get('eventually') ?? ''));
    else await this.#run(text, place, Number(notes.get('fails') ?? 0));
  }

  async #run(text: string, place: string, code: number): Promise<void> {
    this.#printed = await (await this.#here()).run(text, this.#host, blockMs);
    if (this.#printed.code !== code)
      throw new Error(`${place}: exit code ${this.#printed.code} of\n${text}\n\n${this.#printed.output}`);
  }

  async #eventually(text: string, place: string, wanted: RegExp): Promise<void> {
    const machine = await this.#here();
    for (const end = Date.now() + eventuallyMs; ; ) {
      this.#printed = await machine.run(text, this.#host, blockMs);
      if (this.#printed.code === 0 && wanted.test(this.#printed.output)) return;
      if (Date.now() > end) throw new Error(`${place}: never printed ${wanted}, at last\n${this.#printed.output}`);
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }

  async #begin(text: string, place: string, until: RegExp): Promise<void> {
    const task = (await this.#here()).begin(text, this.#host);
    const lines: string[] = [];
    task.onLine((line) => lines.push(line));
    this.#background = { task, lines };
    // An empty pattern means that nothing is printed at first.
    if (until.source === '(?:)') return;
    await task
      .line((line) => until.test(line), blockMs)
      .catch((error: Error) => {
        throw new Error(`${place}: ${error.message}`);
      });
  }

  /** A block of text is the output of the commands right before it, or of what goes on in the background. */
  async #outputFor(block: Block, before: Block | undefined): Promise<string | undefined> {
    if (!block.notes.has('output of the background'))
      return block.follows && before !== undefined && isRun(before) ? this.#printed.output : undefined;
    if (this.#background === undefined) throw new Error(`${block.place}: nothing goes on in the background`);
    const { task, lines } = this.#background;
    const differ = block.notes.has('numbers differ');
    for (const end = Date.now() + eventuallyMs; Date.now() < end && task.running; ) {
      if (missingFrom(block.text, lines.join('\n'), differ) === undefined) break;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    return lines.join('\n');
  }

  #compare(printed: string | undefined, { text, place, notes }: Block): void {
    if (printed === undefined) return;
    const missing = missingFrom(text, printed, notes.has('numbers differ'));
    if (missing === undefined) this.#test.pass();
    else this.#test.fail(`${place}: not printed: ${missing}\n\nwhat was printed:\n${printed}`);
  }
}
