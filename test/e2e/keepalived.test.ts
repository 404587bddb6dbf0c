// SPDX-License-Identifier: Apache-2.0
// A keepalived.conf is imported, and its pool lives as under keepalived: after every step the table is the one that Linux
// had with keepalived 2.2.7 (keepalived/run.txt).

import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { packetDevice } from '../../src/lab/plan.js';
import { Happenings, inForce } from '../support/happenings.js';
import { Scene } from '../support/scene.js';

const recordings = join(projectRoot, 'test/e2e/keepalived');

interface Step {
  readonly title: string;
  /** Scripts whose exit status changes. */
  readonly statuses: readonly (readonly [script: string, status: string])[];
  /** What is told before the table is as recorded. */
  readonly until: readonly string[];
  readonly table: readonly string[];
  /** Of the first service. */
  readonly thresholds: readonly string[];
  readonly timeouts: string;
}

function readSteps(): readonly Step[] {
  const [, ...texts] = readFileSync(join(recordings, 'run.txt'), 'utf8').split(/^== /m);
  return texts.map((text) => {
    const [title = '', ...lines] = text.trimEnd().split('\n');
    const valuesOf = (word: string): readonly string[] =>
      lines.filter((line) => line.startsWith(`${word} `)).map((line) => line.slice(word.length + 1));
    const listed = lines.filter((line) => !/^(?:status|until|Timeout) /.test(line));
    const [table, thresholds] = parted(listed, 'thresholds');
    return {
      title,
      statuses: valuesOf('status').map((change) => change.split('=') as [string, string]),
      until: valuesOf('until'),
      table: servicesInOrder(table),
      thresholds,
      timeouts: `Timeout ${valuesOf('Timeout')[0]}`,
    };
  });
}

function parted(lines: readonly string[], separator: string): readonly [readonly string[], readonly string[]] {
  const at = lines.indexOf(separator);
  return at === -1 ? [lines, []] : [lines.slice(0, at), lines.slice(at + 1)];
}

/** Lines of ipvsadm -L behind its heading. */
function tableLines(text: string): readonly string[] {
  const lines = text.split('\n').map((line) => line.trimEnd());
  return lines.slice(lines.findIndex((line) => line.startsWith('  -> RemoteAddress')) + 1);
}

/** Services in an order of their own: the kernel has them by a hash over addresses in its memory. Servers as they are. */
function servicesInOrder(lines: readonly string[]): readonly string[] {
  const services: string[][] = [];
  for (const line of lines) {
    if (line.startsWith(' ')) services.at(-1)?.push(line);
    else services.push([line]);
  }
  return services.toSorted(([left = ''], [right = '']) => (left < right ? -1 : 1)).flat();
}

const director = `memory: { hugepages: off, connections: 65536 }
idle: sleep
ports: { wan: { device: "${packetDevice(0, 'wan0')}", interfaces: [{ addresses: [192.0.2.254/24] }] } }
`;

const thresholdsOfFirst = '-Ln -t 192.0.2.1:80 --thresholds';

/** Ends with what a file says. A check never finds the file half written. */
const script = '#!/bin/sh\nread -r status < "$0.$1"\nexit "$status"\n';

test('after every step the table is the one that keepalived made', async (t) => {
  t.timeout(120_000);
  const steps = readSteps();
  const scene = await Scene.empty(t);
  await scene.host('director', { device: 'wan0', segment: 'wan' });
  await scene.startDirector('director', director);
  const [file, program] = ['keepalived.conf', 'script'].map((name) => join(scene.directory, name)) as [string, string];
  copyFileSync(join(recordings, 'keepalived.conf'), file);
  writeFileSync(program, script, { mode: 0o755 });
  const set = (name: string, status: string): void => {
    writeFileSync(`${program}.new`, `${status}\n`);
    renameSync(`${program}.new`, `${program}.${name}`);
  };
  for (const name of ['a', 'b', 'c']) set(name, '0');
  const api = scene.api();
  const happenings = await Happenings.watch(api);
  const compare = async ({ title, table, thresholds, timeouts }: Step): Promise<void> => {
    await inForce(api);
    const commands = ['-Ln --nosort', '-L --timeout', ...(thresholds.length > 0 ? [thresholdsOfFirst] : [])];
    const [services = '', times = '', limits = ''] = await Promise.all(commands.map((words) => scene.ipvsadm(words)));
    t.deepEqual(servicesInOrder(tableLines(services)), table, title);
    t.deepEqual(tableLines(limits).slice(1), thresholds, title);
    t.is(times, timeouts, title);
  };

  const [first, ...others] = steps;
  const last = others.pop();
  if (first === undefined || last === undefined) throw new Error('run.txt has no steps');
  const before = join(scene.directory, 'before.yaml');
  await scene.fulcrum(`config show > ${before}`);
  for (const change of first.statuses) set(...change);
  await scene.fulcrum(`import keepalived ${file} > ${file}.yaml`);
  await scene.fulcrum(`config apply --file ${file}.yaml`);
  await compare(first);
  for (const step of others) {
    for (const change of step.statuses) set(...change);
    await happenings.all(step.until);
    await compare(step);
  }
  // keepalived is stopped: it takes away what it has made, and puts the timeouts back.
  await scene.fulcrum(`config apply --prune --file ${before}`);
  await compare(last);
});
