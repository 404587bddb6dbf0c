// SPDX-License-Identifier: Apache-2.0
// What a real server's load source has said, for fulcrum server list: as columns and as values.
import type { RealServer__Output } from '../generated/fulcrum/v1/RealServer.js';
import type { ServerLoad__Output } from '../generated/fulcrum/v1/ServerLoad.js';
import type { Column, View } from './output.js';

interface Row {
  readonly server: RealServer__Output;
}

const loadColumns: readonly Column<Row>[] = [
  { title: 'SHARE', value: ({ server }) => shareText(server.condition?.load), right: true },
  { title: 'READING', value: ({ server }) => readingText(server.condition?.load) },
];

/** None if no server has a source. */
export function loadColumnsOf(rows: readonly Row[]): readonly Column<Row>[] {
  return rows.some(({ server }) => server.condition?.load) ? loadColumns : [];
}

function shareText(load: ServerLoad__Output | null | undefined): string {
  return load ? `${load.percent}%` : '';
}

/** What the share came from, and what has become of asking since. */
function readingText(load: ServerLoad__Output | null | undefined): string {
  if (!load) return '';
  const reading = load.reading === '' ? [] : [load.reading];
  return [...reading, ...(load.problem === '' ? [] : [`(${load.problem})`])].join(' ');
}

const admins: Readonly<Record<string, string>> = {
  AGENT_ADMIN_READY: 'ready',
  AGENT_ADMIN_DRAIN: 'drain',
  AGENT_ADMIN_MAINT: 'maint',
};

/** Empty without a source. */
export function loadView(condition: RealServer__Output['condition']): Readonly<Record<string, View>> {
  const load = condition?.load;
  if (!load) return {};
  const { percent, reading, readAt, lastReading, problem, agentDown, maxConnections } = load;
  const admin = admins[load.admin];
  return {
    load: {
      percent,
      reading,
      read_at: readAt,
      last_reading: lastReading,
      problem,
      ...(admin !== undefined && { admin, agent_down: agentDown }),
      ...(maxConnections !== undefined && { max_connections: maxConnections }),
    },
  };
}
