// SPDX-License-Identifier: Apache-2.0
// setup's plan for a configuration and a machine, a pure function of both: the steps in the order in which they are done.
import type { HostFacts } from './facts.js';
import type { Needs } from './needs.js';
import type { SetupStep } from './step.js';
import { grubPath, irqStep, kernelStep } from './steps/cpus.js';
import { deviceSteps } from './steps/devices.js';
import { hugepageSteps } from './steps/hugepages.js';
import { interfaceSteps } from './steps/interfaces.js';
import { type Persisting, persistSteps, sysctlSteps } from './steps/settings.js';

export interface PlanOptions extends Persisting {
  readonly persist: boolean;
  readonly force: boolean;
}

export function planOf(facts: HostFacts, needs: Needs, options: PlanOptions): readonly SetupStep[] {
  return [
    ...hugepageSteps(facts, needs),
    ...deviceSteps(facts, needs, options.force),
    ...interfaceSteps(facts, needs, options.force),
    irqStep(facts, needs),
    ...sysctlSteps(facts, needs),
    kernelStep(facts, needs, options.read(grubPath), options.persist),
    ...(options.persist ? persistSteps(facts, needs, options) : []),
  ];
}
