// SPDX-License-Identifier: Apache-2.0
// Does a plan: a step at a time, each read back before the next one; the first that does not take effect ends it.
import type { Host } from './host.js';
import type { Action, SetupStep } from './step.js';

/** A step failed: what it said, and how to take it back. */
export class SetupError extends Error {
  override readonly name = 'SetupError';
  readonly step: SetupStep;

  constructor(step: SetupStep, reason: string) {
    super(`${step.subject}: ${reason}`);
    this.step = step;
  }
}

export interface Appliance {
  readonly host: Host;
  /** The plan as of now. */
  readonly plan: () => Promise<readonly SetupStep[]>;
  /** Before a step is done. */
  readonly say: (step: SetupStep) => Promise<void>;
}

/** Returns how many steps were done. */
export async function applySteps({ host, plan, say }: Appliance): Promise<number> {
  const steps = (await plan()).filter(({ state }) => state === 'todo');
  for (const step of steps) {
    await say(step);
    for (const action of step.actions) await act(host, step, action);
    const after = (await plan()).find(({ subject }) => subject === step.subject);
    if (after?.state === 'todo')
      throw new SetupError(step, `it did not take effect: it is ${after.is}, and ${step.wanted} was wanted`);
  }
  return steps.length;
}

async function act(host: Host, step: SetupStep, action: Action): Promise<void> {
  try {
    if (action.kind === 'write') host.write(action.path, action.text);
    else if (host.runsPrograms) await host.run(...action.command);
  } catch (error) {
    throw new SetupError(step, error instanceof Error ? error.message : String(error));
  }
}
