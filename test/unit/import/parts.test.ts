// SPDX-License-Identifier: Apache-2.0
// The small parts of the importers: words, commands, patterns of files, regular expressions, hosts of ldirectord.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { ConfigurationError } from '../../../src/config/document.js';
import { KeyError } from '../../../src/config/keys.js';
import { matchingFiles } from '../../../src/import/glob.js';
import { readDirectives } from '../../../src/import/ldirectord/lines.js';
import { hostAndPort } from '../../../src/import/ldirectord/real.js';
import { re2Regex } from '../../../src/import/regex.js';
import { programOf, wordsOf } from '../../../src/import/words.js';

const place = { file: 'f', line: 1, column: 1 };

test('words know their columns, and quotes keep blanks', (t) => {
  t.deepEqual(
    wordsOf('  path "a \\"b\\"" c', place).map((word) => [word.text, word.isQuoted, word.place.column]),
    [
      ['path', false, 3],
      ['a "b"', true, 8],
      ['c', false, 18],
    ],
  );
});

const commands: readonly (readonly [text: string, program: readonly string[]])[] = [
  ['/bin/x', ['/bin/x']],
  ["/bin/x 'a b' \"c d\"e\\ f ''", ['/bin/x', 'a b', 'c de f', '']],
  ['/bin/x $HOME *', ['/bin/x', '$HOME', '*']],
  ['', []],
];

for (const [text, program] of commands) {
  test(`command ${JSON.stringify(text)}`, (t) => {
    t.deepEqual(programOf(text), program);
  });
}

const expressions: readonly (readonly [source: string, options: readonly string[], expected: string])[] = [
  ['^ok [[:digit:][:upper:]]+$', [], '^ok [[:digit:][:upper:]]+\\n?$'],
  ['a$|b', ['dollar_endonly'], 'a$|b'],
  ['(?im)^a$', [], '(?im)^a$'],
  ['^a$', ['multiline', 'caseless'], '(?mi)^a$'],
  ['a|b', ['anchored', 'utf'], '\\A(?:a|b)'],
  ['\\Aready\\Z', [], '\\Aready\\n?\\z'],
  ['\\$ [$] \\Q$\\E', [], '\\$ [$] \\Q$\\E'],
  ['a\\hb\\R\\v', [], 'a[ \\t]b(?:\\r\\n|[\\n\\x0b\\f\\r])[\\n\\x0b\\f\\r]'],
  ['(?i)ok', [], '(?i)ok'],
  ['a\\\\Kb', [], 'a\\\\Kb'],
  ['[\\h]', [], '"[\\h]" has [\\h], which RE2 has not'],
  ['a++$', [], '"a++$" is not a regular expression of RE2: invalid nested repetition operator: ++'],
  ['(?>a)', [], '"(?>a)" is not a regular expression of RE2: invalid or unsupported Perl syntax: (?>'],
  ['(?=a)b', [], '"(?=a)b" is not a regular expression of RE2: invalid or unsupported Perl syntax: (?='],
  ['(a)\\1', [], '"(a)\\1" is not a regular expression of RE2: invalid escape sequence: \\1'],
  ['a\\Kb', [], '"a\\Kb" is not a regular expression of RE2: invalid escape sequence: \\K'],
  ['[[:punkt:]]', [], '"[[:punkt:]]" is not a regular expression of RE2: invalid character class range: [:punkt:]'],
];

for (const [source, options, expected] of expressions) {
  test(`expression ${[source, ...options].join(' ')}`, (t) => {
    const outcome = (): string => {
      try {
        return re2Regex(source, options);
      } catch (error) {
        if (error instanceof KeyError) return error.message;
        throw error;
      }
    };
    t.is(outcome(), expected);
  });
}

test('patterns of files', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-glob-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  mkdirSync(join(directory, 'd'));
  for (const name of ['b.conf', 'a.conf', '.hidden.conf', 'a+conf', 'd/1', 'd/2', 'd/x']) {
    writeFileSync(join(directory, name), '');
  }
  const found = (pattern: string) => matchingFiles(pattern, directory).map((file) => file.slice(directory.length + 1));
  t.deepEqual(found('*.conf'), ['a.conf', 'b.conf']);
  t.deepEqual(found('?.conf'), ['a.conf', 'b.conf']);
  t.deepEqual(found('[!a].conf'), ['b.conf']);
  t.deepEqual(found('.*.conf'), ['.hidden.conf']);
  t.deepEqual(found('{b,a}.conf'), ['b.conf', 'a.conf']);
  t.deepEqual(found('*/[0-9]'), ['d/1', 'd/2']);
  t.deepEqual(found('a+conf'), ['a+conf']);
  t.deepEqual(found('d'), []);
  t.deepEqual(found(`${directory}/d/x`), ['d/x']);
});

const hosts: readonly (readonly [text: string, target: object | RegExp])[] = [
  ['10.0.0.1:80', { address: '10.0.0.1', port: 80 }],
  ['10.0.0.1', { address: '10.0.0.1', port: undefined }],
  ['10.0.0.1:http', { address: '10.0.0.1', port: 80 }],
  ['[2001:db8::1]:443', { address: '2001:db8::1', port: 443 }],
  ['2001:db8::1', { address: '2001:db8::1', port: undefined }],
  ['www.example.org:80', /^"www\.example\.org" is not an IPv4 or IPv6 address \(names are not looked up\)$/],
  ['[2001:0DB8:0::1]:80', { address: '2001:db8::1', port: 80 }],
  ['224.0.0.1:80', /^224\.0\.0\.1 is a multicast address/],
  ['10.0.0.1:constructor', /"constructor" is not a port/],
  ['10.0.0.1:gopher', /"gopher" is not a port/],
];

for (const [text, target] of hosts) {
  test(`host ${text}`, (t) => {
    const result = hostAndPort(text);
    if (target instanceof RegExp) t.regex(String(result), target);
    else t.deepEqual(result as object, target);
  });
}

test('ldirectord: what is no line of its grammar is refused with its place', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-ldirectord-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const error = (text: string): string => {
    const file = join(directory, 'l.cf');
    writeFileSync(file, text);
    return t
      .throws(() => readDirectives(file), { instanceOf: ConfigurationError })
      .message.replace(`${directory}/`, '');
  };
  t.is(error('\n  real = 10.0.0.1:80\n'), 'l.cf:2:3: an indented line needs a "virtual" above it');
  t.is(error('checktimeout 5\n'), 'l.cf:1:1: this is not "key = value"');
});
