// SPDX-License-Identifier: Apache-2.0
// Everything that a checkout needs built, in order: `all.ts [--test] [--bench]`. bin/bootstrap ends here.

import { type Goal, nativeSteps } from './native.js';
import { protoSteps } from './proto.js';
import { schemaSteps } from './schema.js';
import { BuildError, build, say } from './step.js';
import { typescriptSteps } from './typescript.js';

const goals = new Set<Goal>();
for (const argument of process.argv.slice(2)) {
  if (argument === '--test' || argument === '--bench') goals.add(argument === '--test' ? 'test' : 'bench');
  else throw new Error(`unknown argument: ${argument}`);
}

try {
  // One after another: each list of inputs is read when the step before has written its output.
  await build(await protoSteps());
  await build(schemaSteps());
  await build(await nativeSteps(goals));
  await build(typescriptSteps());
} catch (error) {
  if (!(error instanceof BuildError)) throw error;
  say(error.message);
  process.exitCode = 1;
}
