// SPDX-License-Identifier: Apache-2.0
// The director as a whole: does it answer, is it what is installed, is what is wanted in force, does it keep up.
import { verdictMeanings } from '../../config/verdict_meanings.js';
import type { DirectorFacts } from '../director_facts.js';
import { type Finding, note, ok, problem, warning } from '../finding.js';

export function checkDirector(facts: DirectorFacts, version: string): readonly Finding[] {
  return [
    checkVersion(facts, version),
    ...checkInForce(facts),
    ...checkAgreement(facts),
    ...checkTable(facts),
    ...checkWorkers(facts),
    ...checkLosses(facts),
    ...checkConflicts(facts),
  ];
}

function checkVersion({ status }: DirectorFacts, version: string): Finding {
  if (status.version === version) return ok('director', `fulcrum ${version}, pid ${status.pid}`);
  const why = 'it runs what was installed before';
  return warning(
    'director',
    `runs ${status.version}, ${version} is installed`,
    why,
    'systemctl restart fulcrum-manager, which no connection notices; fulcrum-dataplane when it suits',
  );
}

function checkInForce({ status: { dataplane } }: DirectorFacts): readonly Finding[] {
  if (!dataplane?.connected) {
    const found = `not connected${dataplane?.lastError ? `: ${dataplane.lastError}` : ''}`;
    const why = 'edits are stored, and not in force; packets may not be forwarded';
    return [problem('dataplane', found, why, 'its log; fulcrum status')];
  }
  const { generationWanted: wanted, generationApplied: applied, lastError, overloads } = dataplane;
  return [
    wanted === applied
      ? ok('configuration', `in force, generation ${applied}`)
      : problem(
          'configuration',
          `generation ${applied} is in force, ${wanted} is wanted`,
          'packets go by an older configuration',
          lastError === '' ? 'fulcrum status in a moment; then its log' : `the dataplane says: ${lastError}`,
        ),
    ...overloads.map(({ worker, reason }) =>
      problem(
        `worker ${worker}`,
        `overloaded: ${reason}`,
        'new connections are limited or go without an entry',
        'memory.connections, shorter timeouts (fulcrum timeout), more workers; or a flood: fulcrum connection list',
      ),
    ),
  ];
}

function checkAgreement({ status }: DirectorFacts): readonly Finding[] {
  return (status.dataplane?.disagreements ?? []).map(({ worker, difference }) =>
    problem(
      `worker ${worker}`,
      `does not use what is declared: ${difference}`,
      'packets go by something else than the configuration',
      'restart the dataplane, and report it; fulcrum config verify',
    ),
  );
}

const mostFill = 80;

function checkTable({ status: { dataplane } }: DirectorFacts): readonly Finding[] {
  if (!dataplane?.connected) return [];
  const capacity = Number(dataplane.connectionCapacity);
  const percent = capacity === 0 ? 0 : Math.round((Number(dataplane.connections) / capacity) * 100);
  const found = `${dataplane.connections} of ${capacity} connections (${percent} %)`;
  if (percent <= mostFill) return [ok('connection table', found)];
  const change = 'memory.connections in the configuration, or shorter timeouts (fulcrum timeout)';
  return [warning('connection table', found, 'when it is full, new connections are refused', change)];
}

const mostBusy = 90;

/** Since the director has started: a peak does not count. */
function checkWorkers({ workers }: DirectorFacts): readonly Finding[] {
  return workers.flatMap(({ worker, busyNs, totalNs }) => {
    const percent = Number(totalNs) === 0 ? 0 : Math.round((Number(busyNs) / Number(totalNs)) * 100);
    if (percent <= mostBusy) return [];
    const why = 'it has no room for more packets';
    return [warning(`worker ${worker}`, `${percent} % busy`, why, 'cpus.workers: more; fulcrum stats workers')];
  });
}

/** What is being lost now, and what something can be done about. */
function checkLosses({ verdicts, recent, sampleMs }: DirectorFacts): readonly Finding[] {
  const rising = verdicts.filter(({ verdict, drop }) => drop && (recent.get(verdict) ?? 0) > 0);
  if (rising.length === 0) return [ok('packets', `none lost within ${sampleMs / 1000} s`)];
  return rising.map(({ verdict, packets }) => {
    const { meaning = '', remedy = '' } = verdictMeanings[verdict] ?? {};
    const found = `${recent.get(verdict)} lost by ${verdict} within ${sampleMs / 1000} s, ${packets} in all`;
    const change = remedy || `fulcrum trace --verdict ${verdict}`;
    return (remedy === '' ? note : warning)('packets', found, meaning, change);
  });
}

function checkConflicts({ events }: DirectorFacts): readonly Finding[] {
  return events
    .filter((event) => event.startsWith('address_conflict: '))
    .map((event) =>
      problem(
        'addresses',
        event.replace('address_conflict: ', ''),
        'clients reach now one, now the other',
        'is a VIP on a real server without arp_ignore=1, arp_announce=2? is another director active?',
      ),
    );
}
