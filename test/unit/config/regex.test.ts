// SPDX-License-Identifier: Apache-2.0
// Regular expressions: what is searched, what it costs at the worst, and what is refused.
import test from 'ava';
import { KeyError } from '../../../src/config/keys.js';
import { compileRegex } from '../../../src/config/regex.js';

const bytes = (text: string): Buffer => Buffer.from(text);

test('UTF-8 is searched', (t) => {
  t.true(compileRegex('gr.n$').test(bytes('state: grün')));
  t.false(compileRegex('gr.n$').test(bytes('state: grün\n')));
  t.true(compileRegex('(?i)^OK$').test(bytes('ok')));
});

test('a search that would never end in an engine that tries one way after the other', (t) => {
  const text = bytes(`${'a'.repeat(100_000)}!`);
  for (const source of ['^(a+)+$', '^(a|aa)+$', '^(.*a){5}$', '^([a-z]+)*$']) t.false(compileRegex(source).test(text));
});

test('the larger the expression, the less of a text is searched', (t) => {
  const text = (at: number): Buffer => Buffer.concat([Buffer.alloc(at, 'ab'), bytes('c')]);
  const small = compileRegex('c');
  t.is(small.searchedBytes, 262_144);
  t.true(small.test(text(262_143)));
  t.false(small.test(text(262_144)));
  const large = compileRegex('[ab]{1000}c');
  t.true(large.searchedBytes > 4096 && large.searchedBytes < 16_384, `${large.searchedBytes} bytes`);
  t.true(large.test(text(large.searchedBytes - 1)));
  t.false(large.test(text(large.searchedBytes)));
});

const wrong: readonly (readonly [source: string, message: string])[] = [
  ['a(', '"a(" is not a regular expression of RE2: missing closing )'],
  ['a**', '"a**" is not a regular expression of RE2: invalid nested repetition operator: **'],
  ['(?!a)b', '"(?!a)b" is not a regular expression of RE2: invalid or unsupported Perl syntax: (?!'],
  ['(a)\\1', '"(a)\\1" is not a regular expression of RE2: invalid escape sequence: \\1'],
];

for (const [source, message] of wrong) {
  test(`refused: ${source}`, (t) => {
    t.throws(() => compileRegex(source), { instanceOf: KeyError, message });
  });
}

test('refused: one that would take too much memory', (t) => {
  const source = '(abcdefghi|jklmnopqr){500}';
  t.throws(() => compileRegex(source), {
    instanceOf: KeyError,
    message: /^"\(abcdefghi\|jklmnopqr\)\{500\}" is too large: it takes \d+ instructions, of which there may be 8192$/,
  });
});
