// SPDX-License-Identifier: Apache-2.0
// docs/configuration.md names every tunable and timeout with its default.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { timeouts } from '../../../src/config/timeouts.js';
import { tunables } from '../../../src/config/tunables.js';
import { projectRoot } from '../../../src/grpc/loader.js';

const lines = readFileSync(join(projectRoot, 'docs/configuration.md'), 'utf8').split('\n');

for (const { name, initial, minimum, maximum, unsupported } of tunables) {
  test(`tunable ${name}`, (t) => {
    const range = unsupported === undefined ? `${minimum} … ${maximum}` : `${initial}`;
    t.is(lines.filter((line) => line.startsWith(`| \`${name}\` | ${initial} | ${range} | `)).length, 1);
  });
}

for (const { name, state, initialS } of timeouts) {
  test(`timeout ${name}`, (t) => {
    t.is(lines.filter((line) => line === `| \`${name}\` | ${state} | ${initialS} |`).length, 1);
  });
}
