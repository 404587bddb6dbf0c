// SPDX-License-Identifier: Apache-2.0
// Plays recorded scenarios in the guest: where the kernel does what it did when they were recorded, the guest's world
// is the right one. `--check DIR [NAME…]` of conformance:live.
import { compareOutcome, differenceText } from '../compare.js';
import { readScenario, scenarioNames } from '../scenario.js';
import { Guest } from './guest.js';
import type { AgentLine } from './line.js';
import { record } from './record.js';

const triesAtMost = 3;

/** Number of scenarios in which the kernel did something else. */
export async function checkRecordings(jobs: number, directory: string, wanted: readonly string[]): Promise<number> {
  const names = scenarioNames(directory).filter((name) => wanted.length === 0 || wanted.includes(name));
  const left = [...names];
  let failed = 0;
  const work = async (): Promise<void> => {
    const guest = await Guest.start();
    try {
      for (let name = left.shift(); name !== undefined; name = left.shift()) {
        const difference = await checkPatiently(directory, name, guest.line);
        if (difference !== undefined) failed++;
        process.stdout.write(difference === undefined ? `ok ${name}\n` : `FAIL ${name}: ${difference}\n`);
      }
    } finally {
      await guest.stop();
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  process.stdout.write(`${names.length - failed} of ${names.length} recordings are as this kernel does it\n`);
  return failed;
}

/** Time is real in the guest: on a machine that is busy a wait can last too long. */
async function checkPatiently(directory: string, name: string, line: AgentLine): Promise<string | undefined> {
  let difference: string | undefined;
  for (let tries = 0; tries < triesAtMost; tries++) {
    difference = await checkOne(directory, name, line);
    if (difference === undefined) break;
  }
  return difference;
}

async function checkOne(directory: string, name: string, line: AgentLine): Promise<string | undefined> {
  const scenario = readScenario(directory, name);
  const { golden } = await record(scenario, line);
  for (const [index, event] of scenario.events.entries()) {
    const { i: _index, op: _op, ...outcome } = golden[index] ?? {};
    const difference = compareOutcome(scenario.golden[index] ?? {}, outcome);
    if (difference !== undefined && event.quirk === undefined) return `event ${index}: ${differenceText(difference)}`;
  }
  return undefined;
}
