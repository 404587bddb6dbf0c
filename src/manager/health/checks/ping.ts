// SPDX-License-Identifier: Apache-2.0
// PingCheck (keepalived's PING_CHECK): an ICMP echo is answered. Node has no ICMP sockets, so iputils' ping asks, which has
// CAP_NET_RAW of its own or uses a ping socket where net.ipv4.ping_group_range allows it.
import { FulcrumError } from '../../../grpc/errors.js';
import { familyOf } from '../../address.js';
import { attempt, type Course } from '../attempt.js';
import { codeOf } from '../faults.js';
import type { Prober, Target } from '../prober.js';
import { environmentOf, signalGroup, spawnGroup } from './processes.js';

const noPrivilege =
  'ping may not open its socket: the manager needs CAP_NET_RAW in its bounding set, or its group in net.ipv4.ping_group_range';
/** More than ping ever says of one echo. */
const longestOutput = 4096;

export function preparePing(): Prober {
  // Its messages are read.
  const env = { ...environmentOf(process.env), LC_ALL: 'C' };
  return {
    probe: (target, timeoutMs, signal) =>
      attempt(timeoutMs, signal, (course) => {
        const child = spawnGroup(['ping', ...argumentsOf(target, timeoutMs)], {
          env,
          stdio: ['ignore', 'pipe', 'pipe'],
        });
        let output = '';
        const read = (data: Buffer): void => {
          if (output.length < longestOutput) output += data.toString('latin1');
        };
        child.stdout?.on('data', read);
        child.stderr?.on('data', read);
        child.on('error', (error) => course.error(cannotPing(error)));
        child.on('close', (status) => judge(status, output, course));
        return () => {
          child.removeAllListeners('close');
          child.stdout?.destroy();
          child.stderr?.destroy();
          if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
            signalGroup(child.pid, 'SIGKILL');
        };
      }),
  };
}

/** It waits a little longer than we do, so that the time limit is ours. */
function argumentsOf({ address, source }: Target, timeoutMs: number): readonly string[] {
  const seconds = Math.ceil(timeoutMs / 1000) + 1;
  const family = familyOf(address) === 6 ? '-6' : '-4';
  return [family, '-n', '-c', '1', '-W', `${seconds}`, ...(source === undefined ? [] : ['-I', source]), address];
}

function cannotPing(error: unknown): FulcrumError {
  const messages: Readonly<Record<string, string>> = {
    ENOENT: 'the program ping is not installed (iputils-ping)',
    EPERM: noPrivilege,
  };
  const message = messages[codeOf(error)] ?? `cannot run ping: ${(error as Error).message}`;
  return ownFault(message, error);
}

/** ping ends with 0 for an answer, 1 for none, 2 for anything else. */
function judge(status: number | null, output: string, course: Course): void {
  if (status === 0) course.pass(latencyUsIn(output));
  else if (/Operation not permitted|cap_net_raw/.test(output)) course.error(ownFault(noPrivilege));
  else if (/Cannot assign requested address/.test(output))
    course.error(ownFault('the source is not an address of this host'));
  else course.fail(failureIn(output));
}

function latencyUsIn(output: string): number | undefined {
  const milliseconds = / time=([\d.]+) ms$/m.exec(output)?.[1];
  return milliseconds === undefined ? undefined : Math.round(Number(milliseconds) * 1000);
}

function failureIn(output: string): string {
  // "From 192.0.2.1 icmp_seq=1 Destination Host Unreachable"
  const told = /^From (\S+?):? icmp_seq=\d+ (.+)$/m.exec(output);
  if (told !== null) return `${told[1]} says: ${told[2]}`;
  // "ping: connect: Network is unreachable"
  const said = /^ping6?: (?:\w+: )?(.+)$/m.exec(output)?.[1];
  return said?.toLowerCase() ?? 'no answer';
}

function ownFault(message: string, cause?: unknown): FulcrumError {
  return new FulcrumError({ code: 'FAILED_PRECONDITION', message, cause });
}
