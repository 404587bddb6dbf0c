// SPDX-License-Identifier: Apache-2.0
// docs/configuration.md names every tunable and timeout with its default, and every key of health.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { healthSchema } from '../../../src/config/health.js';
import { checkSchema } from '../../../src/config/health_check.js';
import { loadSchema } from '../../../src/config/load.js';
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

for (const name of Object.keys({ ...healthSchema.properties, ...checkSchema.properties, ...loadSchema.properties })) {
  test(`health ${name}`, (t) => {
    const start = lines.indexOf('## Health');
    const section = lines.slice(start, lines.indexOf('## From keepalived or ldirectord'));
    t.true(start > 0 && section.some((line) => line.startsWith('| ') && line.includes(`\`${name}\``)));
  });
}
