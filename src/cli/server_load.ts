// SPDX-License-Identifier: Apache-2.0
// Where a real server's weight comes from, its load source and checks with dynamic weights, for fulcrum server list: as
// columns and as values.
import type { RealServer__Output } from '../generated/fulcrum/v1/RealServer.js';
import type { ServerLoad__Output } from '../generated/fulcrum/v1/ServerLoad.js';
import type { Column, View } from './output.js';

interface Row {
  readonly server: RealServer__Output;
}

const loadColumns: readonly Column<Row>[] = [
  { title: 'SHARE', value: ({ server }) => shareText(server.condition?.load), right: true },
  { title: 'READING', value: ({ server }) => readingText(server.condition) },
];

/** None if every server has the weight that is wanted. */
export function loadColumnsOf(rows: readonly Row[]): readonly Column<Row>[] {
  const isRead = ({ server: { condition } }: Row): boolean =>
    condition?.load != null || condition?.checkWeight !== undefined;
  return rows.some(isRead) ? loadColumns : [];
}

function shareText(load: ServerLoad__Output | null | undefined): string {
  return load ? `${load.percent}%` : '';
}

/** What the share came from, what has become of asking since, and what checks say. */
function readingText(condition: RealServer__Output['condition']): string {
  const { load, checkWeight } = condition ?? {};
  const problem = load?.problem ? `(${load.problem})` : '';
  const checks = checkWeight === undefined ? '' : `checks: weight ${checkWeight}`;
  return [load?.reading ?? '', problem, checks].filter((text) => text !== '').join(' ');
}

const admins: Readonly<Record<string, string>> = {
  AGENT_ADMIN_READY: 'ready',
  AGENT_ADMIN_DRAIN: 'drain',
  AGENT_ADMIN_MAINT: 'maint',
};

/** Empty where nothing is read. */
export function loadView(condition: RealServer__Output['condition']): Readonly<Record<string, View>> {
  const { load, checkWeight } = condition ?? {};
  return {
    ...(checkWeight !== undefined && { check_weight: checkWeight }),
    ...(load && { load: viewOf(load) }),
  };
}

function viewOf(load: ServerLoad__Output): View {
  const { percent, reading, readAt, lastReading, problem, agentDown, maxConnections } = load;
  const admin = admins[load.admin];
  return {
    percent,
    reading,
    read_at: readAt,
    last_reading: lastReading,
    problem,
    ...(admin !== undefined && { admin, agent_down: agentDown }),
    ...(maxConnections !== undefined && { max_connections: maxConnections }),
  };
}
