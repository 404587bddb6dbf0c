// SPDX-License-Identifier: Apache-2.0
// TcpCheck (keepalived's TCP_CHECK): the connection is made, and closed at once with a FIN.
import { attempt } from '../attempt.js';
import { openConnection } from '../connection.js';
import type { Prober } from '../prober.js';

export function prepareTcp(): Prober {
  return {
    probe: (target, timeoutMs, signal) =>
      attempt(timeoutMs, signal, (course) => {
        const connection = openConnection(target, course, () => course.pass());
        return connection.destroy;
      }),
  };
}
