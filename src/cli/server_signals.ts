// SPDX-License-Identifier: Apache-2.0
// What clients' own connections say of real servers, for fulcrum server list: as columns and as values.
import type { PassiveSignals__Output } from '../generated/fulcrum/v1/PassiveSignals.js';
import type { RealServer__Output } from '../generated/fulcrum/v1/RealServer.js';
import type { Column, View } from './output.js';

interface Row {
  readonly server: RealServer__Output;
}

const signalColumns: readonly Column<Row>[] = [
  { title: 'UNANSWERED', value: ({ server }) => shareText(server, 'unanswered'), right: true },
  { title: 'RESET', value: ({ server }) => shareText(server, 'reset'), right: true },
];

/** None if nobody looks. */
export function signalColumnsOf(rows: readonly Row[]): readonly Column<Row>[] {
  return rows.some(({ server }) => server.condition?.passive != null) ? signalColumns : [];
}

/** "3/120": of the connections begun within the window. */
function shareText({ condition }: RealServer__Output, of: keyof Omit<PassiveSignals__Output, 'opened'>): string {
  const signals = condition?.passive;
  return signals == null ? '-' : `${signals[of]}/${signals.opened}`;
}

/** Empty where nobody looks. */
export function signalView(condition: RealServer__Output['condition']): Readonly<Record<string, View>> {
  const { passive, ejectedUntil } = condition ?? {};
  return {
    ...(passive && {
      passive: { opened: passive.opened, unanswered: passive.unanswered, reset: passive.reset },
    }),
    ...(ejectedUntil && { ejected_until: ejectedUntil }),
  };
}
