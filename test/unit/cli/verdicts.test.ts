// SPDX-License-Identifier: Apache-2.0
// Every verdict that the dataplane has means something, and docs/verdicts.md says what.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { verdictMeanings } from '../../../src/config/verdict_meanings.js';
import { projectRoot } from '../../../src/grpc/loader.js';

test('verdicts have a meaning, in their order, and the page has the same', (t) => {
  const header = readFileSync(join(projectRoot, 'dataplane/core/verdict.h'), 'utf8');
  const verdicts = [...header.matchAll(/X\(k\w+, "(\w+)", (true|false)\)/g)];
  t.true(verdicts.length > 50);
  t.deepEqual(
    Object.keys(verdictMeanings),
    verdicts.map(([, name]) => name),
  );
  const page = readFileSync(join(projectRoot, 'docs/verdicts.md'), 'utf8');
  const expected = verdicts.map(([, name = '', lost]) => {
    const { meaning, remedy } = verdictMeanings[name] ?? { meaning: '', remedy: '' };
    return `| \`${name}\` | ${lost === 'true' ? 'yes' : ''} | ${meaning} | ${remedy} |`;
  });
  t.deepEqual(page.trimEnd().split('\n').slice(-verdicts.length), expected);
});
