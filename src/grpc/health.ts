// SPDX-License-Identifier: Apache-2.0
// The standard health service (grpc.health.v1), for the server as a whole ("") and for each service by name.
import type { Server } from '@grpc/grpc-js';
import { HealthImplementation } from 'grpc-health-check';

export interface Health {
  readonly setServing: (serving: boolean) => void;
}

/** Adds the health service; everything is NOT_SERVING until setServing(true). */
export function addHealth(server: Server, services: readonly string[]): Health {
  const names = ['', ...services];
  const health = new HealthImplementation(Object.fromEntries(names.map((name) => [name, 'NOT_SERVING' as const])));
  health.addToServer(server);
  return {
    setServing: (serving) => {
      for (const name of names) health.setStatus(name, serving ? 'SERVING' : 'NOT_SERVING');
    },
  };
}
