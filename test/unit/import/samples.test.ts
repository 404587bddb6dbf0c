// SPDX-License-Identifier: Apache-2.0
// Whole configurations of different styles: what they become, and every line that has no equivalent. What is printed is
// what config apply reads, and what a manager takes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { readDocument } from '../../../src/config/document.js';
import { type ServicesSection, servicesSchema, toConfiguration } from '../../../src/config/services.js';
import { fileText } from '../../../src/config/text.js';
import type { ApplyRequest__Output } from '../../../src/generated/fulcrum/v1/ApplyRequest.js';
import type { Check__Output } from '../../../src/generated/fulcrum/v1/Check.js';
import type { Configuration, Configuration__Output } from '../../../src/generated/fulcrum/v1/Configuration.js';
import { loadDirectorService, projectRoot } from '../../../src/grpc/loader.js';
import type { Import } from '../../../src/import/finish.js';
import { importKeepalived } from '../../../src/import/keepalived/import.js';
import { importLdirectord } from '../../../src/import/ldirectord/import.js';
import { formatWarning } from '../../../src/import/source.js';
import { lvsCapabilities } from '../../../src/manager/capabilities.js';
import { diff } from '../../../src/manager/diff.js';
import { applyOperations, emptyModel } from '../../../src/manager/model.js';

const samples = join(projectRoot, 'test/unit/import/samples');
const expected = (name: string): string => readFileSync(join(samples, 'expected', name), 'utf8');
/** Without this machine's paths. */
const portable = (text: string): string => text.replaceAll(`${samples}/`, 'SAMPLES/');

const cases: readonly (readonly [name: string, title: string, read: () => Import])[] = [
  [
    'web_farm',
    'a web farm: groups, ranges, nested includes, HTTP and HTTPS',
    () => keepalived('web_farm/keepalived.conf'),
  ],
  ['dns', 'resolvers: DNS and UDP checks, one-packet scheduling, IPv6', () => keepalived('dns.conf')],
  ['mail', 'mail in the style of the first years', () => keepalived('mail.conf')],
  ['fwmark', 'marks, tunnels, and what LVS would refuse', () => keepalived('fwmark.conf')],
  ['definitions', 'definitions of several lines, ~SEQ, @id', () => keepalived('definitions.conf')],
  ['ldirectord', 'ldirectord.cf', () => importLdirectord(join(samples, 'ldirectord.cf'))],
];

function keepalived(file: string): Import {
  return importKeepalived(join(samples, file), 'lb1');
}

/** A manager asks for the programs and files that checks name, and the samples' are not on this machine. */
function withoutFiles(configuration: Configuration__Output): Configuration__Output {
  const needsNone = ({ command, http }: Check__Output): boolean =>
    !command && !http?.tls?.caFile && !http?.tls?.certificateFile;
  const services = configuration.services.map((service) => ({
    ...service,
    health: service.health && { ...service.health, checks: service.health.checks.filter(needsNone) },
    servers: service.servers.map((server) => ({
      ...server,
      health: server.health && { ...server.health, checks: server.health.checks.filter(needsNone) },
    })),
  }));
  return { ...configuration, services };
}

/** How many services an empty manager has when it has taken the configuration. */
function appliedServices(sent: Configuration): number {
  const { Apply } = loadDirectorService();
  const request = Apply.requestDeserialize(Apply.requestSerialize({ configuration: sent })) as ApplyRequest__Output;
  if (request.configuration === null || request.configuration === undefined) throw new Error('nothing was sent');
  const operations = diff(emptyModel, withoutFiles(request.configuration), true, lvsCapabilities);
  return applyOperations(emptyModel, operations, 'APPLY_MODE_ATOMIC', lvsCapabilities).model.services.size;
}

for (const [name, title, read] of cases) {
  test(title, (t) => {
    const { configuration, warnings } = read();
    const text = fileText(configuration);
    t.is(portable(text), expected(`${name}.yaml.txt`));
    t.is(portable(warnings.map((one) => `${formatWarning(one)}\n`).join('')), expected(`${name}.warnings.txt`));
    const sent = toConfiguration(readDocument<ServicesSection>(text, 'printed.yaml', servicesSchema));
    t.is(sent.services?.length, configuration.services?.length);
    t.is(appliedServices(sent), configuration.services?.length ?? 0);
  });
}

test('another machine reads its own lines of the same file', (t) => {
  const { configuration } = importKeepalived(join(samples, 'definitions.conf'), 'lb2');
  const [first, , third] = configuration.services ?? [];
  t.is(first?.health?.checks?.[0]?.interval, 4);
  t.is(third?.scheduler, 'lc');
  t.deepEqual(
    third?.servers?.map(({ address }) => address),
    ['10.3.9.1:8080', '10.3.9.2:8080'],
  );
  t.is(third?.health?.quorum_up?.[1], 'backup');
});
