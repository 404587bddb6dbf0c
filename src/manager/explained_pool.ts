// SPDX-License-Identifier: Apache-2.0
// The pool as an explanation shows it: what the dataplane has, and beside it what is configured and kept out, with why.
import type { Candidate__Output } from '../generated/fulcrum/v1/Candidate.js';
import type { Explanation__Output } from '../generated/fulcrum/v1/Explanation.js';
import { listOrder } from './messages.js';
import { type Server, type Service, serverId } from './nouns.js';
import { readServerKey } from './validate.js';

/** `conditionOf` a server: "down: http: connection refused"; empty while nothing speaks against it. */
export function explainedPool(
  explanation: Explanation__Output,
  service: Service,
  conditionOf: (server: Server) => string,
): Explanation__Output {
  // What belongs to a connection asks no pool.
  if (explanation.connection !== null) return explanation;
  const candidates = explanation.candidates.map((candidate) => {
    const server = service.servers.get(serverId(readServerKey(candidate.key, 'key')));
    return server === undefined ? candidate : { ...candidate, condition: conditionOf(server) };
  });
  const pooled = new Set(candidates.map(({ key }) => serverId(readServerKey(key, 'key'))));
  const out = listOrder(service).filter(({ key }) => !pooled.has(serverId(key)));
  return {
    ...explanation,
    candidates: [...candidates, ...out.map((server) => outside(server, conditionOf(server)))],
    reason: reasonWith(explanation, out.length, service.servers.size),
  };
}

function outside({ key }: Server, condition: string): Candidate__Output {
  return {
    key,
    weight: 0,
    activeConnections: '0',
    inactiveConnections: '0',
    overloaded: false,
    condition: condition === '' ? 'out' : `out, ${condition}`,
  };
}

/** What becomes of a packet that no server takes. */
const withoutServer: readonly string[] = ['no_server', 'forwarded_bypass', 'error_withheld'];

/** The dataplane knows nothing of those that are out. */
function reasonWith({ reason, server, verdict }: Explanation__Output, out: number, configured: number): string {
  if (server !== null || out === 0 || !withoutServer.includes(verdict)) return reason;
  return `${reason}; ${out} of ${configured} configured ${out === 1 ? 'is' : 'are'} kept out of it`;
}
