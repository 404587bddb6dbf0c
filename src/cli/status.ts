// SPDX-License-Identifier: Apache-2.0
// fulcrum status: is the director well, and does its dataplane run what was asked for.
import type { Command } from 'commander';
import { families } from '../config/mark_rules.js';
import type { DataplaneStatus__Output } from '../generated/fulcrum/v1/DataplaneStatus.js';
import type { GetStatusResponse__Output } from '../generated/fulcrum/v1/GetStatusResponse.js';
import type { Overload__Output } from '../generated/fulcrum/v1/Overload.js';
import { type Cli, print, withDirector } from './cli.js';
import { exitCodes } from './exit_codes.js';
import { fieldLines, type View } from './output.js';

export function register(program: Command, cli: Cli): void {
  program
    .command('status')
    .description(
      'how the director and its dataplane are; exit status 3 if the dataplane runs something older, 4 if it is away',
    )
    .addHelpText(
      'after',
      `
Example:
  until fulcrum status >/dev/null 2>&1; do sleep 1; done`,
    )
    .action((_, command) => status(cli, command));
}

async function status(cli: Cli, command: Command): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const answer = await director.getStatus({});
    await print(cli, command, statusView(answer), () => statusLines(answer));
    const { dataplane } = answer;
    if (!dataplane?.connected) cli.setExitCode(exitCodes.unreachable);
    else if (dataplane.disagreements.length > 0) cli.setExitCode(exitCodes.differs);
    else if (dataplane.generationApplied !== dataplane.generationWanted) cli.setExitCode(exitCodes.notInForce);
  });
}

function statusView(answer: GetStatusResponse__Output): View {
  return {
    version: answer.version,
    pid: answer.pid,
    network_namespace: BigInt(answer.networkNamespace),
    revision: answer.revision,
    services: answer.services,
    servers: answer.servers,
    uptime_ms: BigInt(answer.uptimeMs),
    dataplane: answer.dataplane && dataplaneView(answer.dataplane),
  };
}

function dataplaneView(dataplane: DataplaneStatus__Output): View {
  return {
    connected: dataplane.connected,
    instance_id: dataplane.instanceId,
    generation_wanted: BigInt(dataplane.generationWanted),
    generation_applied: BigInt(dataplane.generationApplied),
    last_error: dataplane.lastError,
    retry_in_ms: dataplane.retryInMs,
    pid: dataplane.pid,
    workers: dataplane.workers,
    memory: dataplane.memory,
    uptime_ms: BigInt(dataplane.uptimeMs),
    connections: BigInt(dataplane.connections),
    connection_capacity: BigInt(dataplane.connectionCapacity),
    dpdk_version: dataplane.dpdkVersion,
    overloads: dataplane.overloads.map((overload) => ({
      worker: overload.worker,
      reason: overload.reason,
      family: familyOf(overload),
    })),
    disagreements: dataplane.disagreements.map(({ worker, difference, since }) => ({ worker, difference, since })),
    compared_at: dataplane.comparedAt,
  };
}

function statusLines(answer: GetStatusResponse__Output): readonly string[] {
  return [
    ...fieldLines([
      ['director', `fulcrum ${answer.version}, pid ${answer.pid}, up ${duration(answer.uptimeMs)}`],
      ['configuration', `${answer.services} services, ${answer.servers} real servers, revision ${answer.revision}`],
      ...(answer.dataplane ? dataplaneFields(answer.dataplane) : []),
    ]),
  ];
}

function dataplaneFields(dataplane: DataplaneStatus__Output): readonly (readonly [string, string])[] {
  if (!dataplane.connected) {
    const reason = dataplane.lastError === '' ? '' : `: ${dataplane.lastError}`;
    return [['dataplane', `not connected${reason}; next attempt in ${dataplane.retryInMs} ms`]];
  }
  const { generationWanted: wanted, generationApplied: applied } = dataplane;
  return [
    [
      'dataplane',
      `pid ${dataplane.pid}, ${dataplane.workers} workers, ${dataplane.memory}, DPDK ${dataplane.dpdkVersion}, up ${duration(dataplane.uptimeMs)}`,
    ],
    ['in force', wanted === applied ? `yes, generation ${applied}` : `no: generation ${applied}, wanted ${wanted}`],
    ['connections', `${dataplane.connections} of ${dataplane.connectionCapacity}`],
    ...dataplane.overloads.map((overload) => ['overload', overloadText(overload)] as const),
    ...dataplane.disagreements.map(
      ({ worker, difference }) => ['not as declared', `worker ${worker}: ${difference}`] as const,
    ),
    ...(dataplane.lastError === '' ? [] : [['last error', dataplane.lastError] as const]),
  ];
}

/** "ipv6"; undefined where it concerns both. */
function familyOf({ family }: Overload__Output): string | undefined {
  return Object.keys(families).find((name) => families[name] === family);
}

/** "worker 1: table_full, ipv6" */
function overloadText(overload: Overload__Output): string {
  const what = [overload.reason, familyOf(overload)].filter((part) => part !== undefined);
  return `worker ${overload.worker}: ${what.join(', ')}`;
}

/** "3d 04:05:06" */
function duration(milliseconds: string): string {
  const seconds = Math.floor(Number(milliseconds) / 1000);
  const two = (value: number): string => String(value).padStart(2, '0');
  const clock = [Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, seconds % 60].map(two).join(':');
  return seconds < 86_400 ? clock : `${Math.floor(seconds / 86_400)}d ${clock}`;
}
