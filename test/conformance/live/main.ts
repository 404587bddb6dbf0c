// SPDX-License-Identifier: Apache-2.0
// npm run conformance:live: random scenarios through the kernel in a guest and through Fulcrum. Exit status 0: no
// difference, 1: some, 2: wrong usage, 77: the guest cannot be started.

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { projectRoot } from '../../../src/grpc/loader.js';
import { Campaign, type Options } from './campaign.js';
import { checkRecordings } from './check.js';
import { type Feature, features } from './generate/options.js';
import { everyFeature, type Kind, kinds } from './generate/script.js';
import { NoGuest } from './guest.js';

const usage = `usage: npm run conformance:live -- --seconds N [option…]
       npm run conformance:live -- --check DIR [NAME…]
  --seconds N        how long new scenarios are made
  --seed S           of the scenarios (default: a new one, printed)
  --first N          number of the first scenario (default 0)
  --count N          stop after so many scenarios
  --workers N        of Fulcrum (default 1; with more, schedulers that need one order of all connections are left out)
  --jobs N           scenarios at the same time, each in a guest of its own (default 2)
  --only KIND,…      of ${kinds.join(' ')}
  --features LIST    that scenarios may use (default all; "-name" leaves one out): ${features.join(' ')}
  --out DIR          where differences are written (default dist/conformance-live)
  --check DIR        play recorded scenarios in the guest instead: are the recordings what this kernel does?`;

class WrongUsage extends Error {}

const text = { type: 'string' } as const;
const definitions = {
  seconds: text,
  seed: text,
  first: text,
  count: text,
  workers: text,
  jobs: text,
  only: text,
  features: text,
  out: text,
  check: text,
  help: { type: 'boolean', short: 'h' },
} as const;

function readArguments() {
  try {
    return parseArgs({ options: definitions, allowPositionals: true });
  } catch (error) {
    throw new WrongUsage((error as Error).message);
  }
}

type Values = ReturnType<typeof readArguments>['values'];

function readNumber(
  values: Values,
  name: keyof Values,
  fallback: number | undefined,
  least: number,
  most: number,
): number {
  const given = values[name];
  if (given === undefined) {
    if (fallback === undefined) throw new WrongUsage(`--${name} is missing`);
    return fallback;
  }
  const number = /^\d+$/.test(String(given)) ? Number(given) : Number.NaN;
  if (number >= least && number <= most) return number;
  throw new WrongUsage(`--${name} ${given} is not a number from ${least} to ${most}`);
}

/** "a,b": only these; "-a,-b": all but these. */
export function readFeatures(list: string | undefined): ReadonlySet<Feature> {
  const words = (list ?? '').split(',').filter((word) => word !== '');
  const chosen = new Set<Feature>(words.some((word) => !word.startsWith('-')) ? [] : everyFeature);
  for (const word of words) {
    const feature = features.find((name) => name === word.replace(/^-/, ''));
    if (feature === undefined) throw new WrongUsage(`the feature "${word}" is not known`);
    if (word.startsWith('-')) chosen.delete(feature);
    else chosen.add(feature);
  }
  return chosen;
}

function readKinds(list: string | undefined): readonly Kind[] {
  const words = (list ?? '').split(',').filter((word) => word !== '');
  const unknown = words.find((word) => !kinds.some((kind) => kind === word));
  if (unknown !== undefined) throw new WrongUsage(`the kind "${unknown}" is not known`);
  return words as Kind[];
}

function readOptions(values: Values): Options {
  const count = values.count === undefined ? Number.POSITIVE_INFINITY : readNumber(values, 'count', 1, 1, 1e9);
  return {
    count,
    seconds: readNumber(values, 'seconds', values.count === undefined ? undefined : 86_400, 1, 86_400),
    first: readNumber(values, 'first', 0, 0, 0xffffffff),
    jobs: readNumber(values, 'jobs', 2, 1, 16),
    out: values.out ?? join(projectRoot, 'dist/conformance-live'),
    seed: readNumber(values, 'seed', Math.floor(Math.random() * 0x1_0000_0000), 0, 0xffffffff),
    workers: readNumber(values, 'workers', 1, 1, 16),
    features: readFeatures(values.features),
    only: readKinds(values.only),
  };
}

async function main(): Promise<number> {
  const { values, positionals } = readArguments();
  if (values.help) {
    process.stdout.write(`${usage}\n`);
    return 0;
  }
  if (values.check !== undefined) {
    const jobs = readNumber(values, 'jobs', 2, 1, 16);
    return (await checkRecordings(jobs, values.check, positionals)) === 0 ? 0 : 1;
  }
  if (positionals.length > 0) throw new WrongUsage(`unexpected argument ${positionals[0]}`);
  const campaign = new Campaign(readOptions(values));
  return (await campaign.run()) === 0 ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => process.exit(130));
try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof WrongUsage) && !(error instanceof NoGuest)) throw error;
  const isUsage = error instanceof WrongUsage;
  process.stderr.write(`${error.message}\n${isUsage ? `${usage}\n` : ''}`);
  process.exitCode = isUsage ? 2 : 77;
}
