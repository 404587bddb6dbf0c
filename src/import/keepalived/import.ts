// SPDX-License-Identifier: Apache-2.0
// A keepalived.conf as the services part of the director's configuration, and what of it has no equivalent.
import type { TlsEntry } from '../../config/health_check.js';
import type { TimeoutsEntry } from '../../config/timeouts.js';
import { acceptable, type Import, type PlacedService } from '../finish.js';
import { type Warn, warningList } from '../source.js';
import { parseBlocks, type Statement } from './blocks.js';
import { readGlobals, readSsl, tellVrrpInstance, topAdvice } from './globals.js';
import { type Member, markOf, readGroup } from './groups.js';
import { defaultConfigId, readLines } from './lines.js';
import { servicesOf } from './pool.js';
import { readBlock, targetOf } from './values.js';
import { type CheckerOf, readVirtualServer } from './virtual_server.js';

/** Throws ConfigurationError for a file that cannot be parsed, UnreadableFile for one that cannot be read. */
export function importKeepalived(file: string, configId = defaultConfigId()): Import {
  const { warn, list } = warningList();
  const statements = parseBlocks(readLines(file, configId, warn));
  const groups = new Map<string, readonly Member[]>();
  const virtualServers: Statement[] = [];
  let timeouts: TimeoutsEntry | undefined;
  let ssl: TlsEntry = {};
  const handlers = {
    global_defs: (one: Statement) => {
      timeouts = readGlobals(one, warn) ?? timeouts;
    },
    SSL: (one: Statement) => {
      ssl = readSsl(one, warn);
    },
    vrrp_instance: (one: Statement) => tellVrrpInstance(one, warn),
    virtual_server_group: (one: Statement) => groups.set(one.words[0]?.text ?? '', readGroup(one.body ?? [], warn)),
    virtual_server: (one: Statement) => virtualServers.push(one),
  };
  readBlock(statements, { handlers, advice: topAdvice, where: 'the file' }, warn);
  const checkerOf: CheckerOf = (statement, reader, outer) => reader({ statement, outer, ssl, warn });
  const services = virtualServers.flatMap((statement) => {
    const members = membersOf(statement, groups, warn);
    return members.length === 0 ? [] : servicesOf(readVirtualServer(statement, checkerOf, warn), members, warn);
  });
  const configuration = acceptable(withoutRepeated(services, warn), timeouts === undefined ? {} : { timeouts }, warn);
  return { configuration, warnings: list() };
}

/** "IP [PORT]", "fwmark N", "group NAME". */
function membersOf(
  statement: Statement,
  groups: ReadonlyMap<string, readonly Member[]>,
  warn: Warn,
): readonly Member[] {
  const { words, place } = statement;
  const [kind = '', name = ''] = words.map(({ text }) => text);
  if (kind === 'fwmark') {
    const member = markOf([name], place);
    if (member === undefined) warn(place, `virtual_server fwmark "${name}" is not a mark; skipped`);
    return member === undefined ? [] : [member];
  }
  if (kind === 'group') {
    const members = groups.get(name) ?? [];
    if (members.length === 0) warn(place, `there is no virtual_server_group ${name} with an entry; skipped`);
    return members;
  }
  const target = targetOf(statement, warn);
  return target === undefined ? [] : [{ place, address: target.address, port: target.port ?? 0 }];
}

function withoutRepeated(services: readonly PlacedService[], warn: Warn): readonly PlacedService[] {
  const seen = new Set<string>();
  return services.filter(({ entry, place }) => {
    if (!seen.has(entry.address)) {
      seen.add(entry.address);
      return true;
    }
    warn(place, `${entry.address} is there already; the second one is dropped`);
    return false;
  });
}
