// SPDX-License-Identifier: Apache-2.0
// fulcrum service: virtual services.
import { type Command, InvalidArgumentError } from 'commander';
import { allFlagNames, flagOf } from '../config/scheduler_flags.js';
import { schedulers, serviceEntry } from '../config/services.js';
import { largestTimeout } from '../config/timeouts.js';
import { trafficWords } from '../config/traffic.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import type { ServiceSpec } from '../generated/fulcrum/v1/ServiceSpec.js';
import type { VirtualService__Output } from '../generated/fulcrum/v1/VirtualService.js';
import type { DirectorClient } from '../grpc/client.js';
import {
  type Cli,
  editSettings,
  present,
  print,
  printEdit,
  serviceArgument,
  wholeNumber,
  withDirector,
} from './cli.js';
import { fieldLines, tableLines, type View } from './output.js';
import { columnsOf, rowView, serverRows } from './server.js';
import { registerTraffic } from './service_traffic.js';

interface ServiceOptions {
  readonly scheduler?: string;
  readonly flags?: string;
  readonly persistenceTimeout?: number;
  readonly persistencePrefix?: number;
  readonly persistenceEngine?: string;
  readonly onePacket?: boolean;
  readonly etag?: string;
  readonly dryRun?: boolean;
}

const pageSize = 10_000;
const serviceWords = 'tcp:ADDRESS:PORT, udp:…, sctp:… or fwmark:MARK';

export function register(program: Command, cli: Cli): void {
  const service = program
    .command('service')
    .description('virtual services')
    .addHelpText(
      'after',
      `
A service is written tcp:203.0.113.10:80, udp:[2001:db8::1]:53, sctp:203.0.113.10:36412 or fwmark:7.

Examples:
  fulcrum service add tcp:203.0.113.10:80 --scheduler wrr
  fulcrum service edit tcp:203.0.113.10:80 --scheduler lc
  fulcrum service list -o json | jq -r '.services[].address'
  fulcrum service show tcp:203.0.113.10:80
  fulcrum service traffic tcp:203.0.113.10:80 --deny bogons --max-connections 10000 --mss auto
  fulcrum service delete tcp:203.0.113.10:80`,
    );
  service
    .command('list')
    .description('list them in the order in which they were made')
    .action((_, command) => list(cli, command));
  service
    .command('show')
    .description('show one with its real servers and their connections')
    .argument('<service>', serviceWords, serviceArgument)
    .action((key, _, command) => show(cli, command, key));
  settings(service.command('add'))
    .description('add one; its address becomes a VIP that is announced by ARP, unless "fulcrum vip set" said otherwise')
    .argument('<service>', serviceWords, serviceArgument)
    .action((key, options, command) => add(cli, command, key, options));
  settings(service.command('edit'))
    .description('change what is given, and leave the rest; connections stay with their servers')
    .argument('<service>', serviceWords, serviceArgument)
    .option('--etag <etag>', 'refuse if the service has changed since it was shown with this etag')
    .action((key, options, command) => edit(cli, command, key, options));
  registerTraffic(service, cli);
  service
    .command('delete')
    .description('delete one and its real servers')
    .argument('<service>', serviceWords, serviceArgument)
    .option('--etag <etag>', 'refuse if the service has changed since it was shown with this etag')
    .option('--dry-run', 'only check whether the director would do it')
    .action((key, options, command) => remove(cli, command, key, options));
}

function settings(command: Command): Command {
  return command
    .option('--scheduler <name>', `${schedulers.join(' ')} (default for a new service: wlc)`)
    .option(
      '--flags <names>',
      `of the scheduler, separated by commas: ${allFlagNames.join(' ')}; "none" for none`,
      flagList,
    )
    .option(
      '--persistence-timeout <seconds>',
      'a client stays with its server for so long; 0: not persistent',
      wholeNumber(0, largestTimeout),
    )
    .option(
      '--persistence-prefix <bits>',
      'clients of one such network count as one; 0: each on its own',
      wholeNumber(0, 128),
    )
    .option('--persistence-engine <name>', 'for example sip; "" for none')
    .option('--one-packet', 'schedule every UDP packet on its own')
    .option('--no-one-packet', 'schedule UDP by connection')
    .option('--dry-run', 'only check whether the director would do it');
}

function flagList(text: string): string {
  const unknown = flagWords(text).find((name) => flagOf(name) === undefined);
  if (unknown !== undefined) throw new InvalidArgumentError(`"${unknown}" is not a scheduler flag.`);
  return text;
}

function flagWords(text: string): readonly string[] {
  return text === 'none' ? [] : text.split(',').filter((name) => name !== '');
}

/** The settings given, by the API's names. */
function specOf(options: ServiceOptions): ServiceSpec {
  const flags = options.flags === undefined ? undefined : flagWords(options.flags);
  return {
    ...(options.scheduler !== undefined && { scheduler: options.scheduler }),
    ...(flags !== undefined && { schedulerFlags: flags.reduce((bits, name) => bits | (flagOf(name)?.bit ?? 0), 0) }),
    ...(options.persistenceTimeout !== undefined && { persistenceTimeoutS: options.persistenceTimeout }),
    ...(options.persistencePrefix !== undefined && { persistencePrefix: options.persistencePrefix }),
    ...(options.persistenceEngine !== undefined && { persistenceEngine: options.persistenceEngine }),
    ...(options.onePacket !== undefined && { onePacket: options.onePacket }),
  };
}

/** Paths of a field mask. */
const maskPaths: Readonly<Record<keyof ServiceSpec, string>> = {
  scheduler: 'spec.scheduler',
  schedulerFlags: 'spec.scheduler_flags',
  persistenceTimeoutS: 'spec.persistence_timeout_s',
  persistencePrefix: 'spec.persistence_prefix',
  persistenceEngine: 'spec.persistence_engine',
  onePacket: 'spec.one_packet',
};

export async function allServices(director: DirectorClient): Promise<readonly VirtualService__Output[]> {
  const services: VirtualService__Output[] = [];
  let pageToken = '';
  do {
    const page = await director.listVirtualServices({ pageSize, pageToken });
    services.push(...page.services);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return services;
}

/** As in a configuration file, with the etag. Servers are in LVS list order, the one added last first. */
export function serviceView(service: VirtualService__Output): { readonly [key: string]: View } {
  return {
    ...serviceEntry(service),
    servers: serviceEntry(service).servers?.map((server) => ({ ...server })),
    etag: service.etag,
  };
}

/** Settings other than the scheduler in words: "persistent 600, sh-port". */
function optionWords(service: VirtualService__Output): string {
  const entry = serviceEntry(service);
  return [
    ...(entry.scheduler_flags ?? []),
    ...(entry.persistence_timeout === undefined ? [] : [`persistent ${entry.persistence_timeout}`]),
    ...(entry.persistence_prefix === undefined ? [] : [`prefix /${entry.persistence_prefix}`]),
    ...(entry.persistence_engine === undefined ? [] : [`engine ${entry.persistence_engine}`]),
    ...(entry.one_packet ? ['one-packet'] : []),
    ...trafficWords(service.traffic),
  ].join(', ');
}

async function list(cli: Cli, command: Command): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const services = await allServices(director);
    await print(cli, command, { services: services.map(serviceView) }, () =>
      tableLines(
        [
          { title: 'SERVICE', value: (service) => serviceEntry(service).address },
          { title: 'SCHEDULER', value: (service) => service.spec?.scheduler ?? '' },
          { title: 'SERVERS', value: (service) => service.servers.length, right: true },
          { title: 'OPTIONS', value: optionWords },
        ],
        services,
      ),
    );
  });
}

async function show(cli: Cli, command: Command, key: ServiceKey__Output): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const answer = await director.getVirtualService({ key });
    const service = present(answer.service, 'service');
    const rows = await serverRows(director, service, cli);
    await print(cli, command, { ...serviceView(service), servers: rows.map(rowView) }, () => [
      ...fieldLines([
        ['service', serviceEntry(service).address],
        ['scheduler', service.spec?.scheduler ?? ''],
        ['options', optionWords(service) || '-'],
        ['etag', service.etag],
      ]),
      '',
      ...tableLines(columnsOf(rows), rows),
    ]);
  });
}

async function add(cli: Cli, command: Command, key: ServiceKey__Output, options: ServiceOptions): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const request = { service: { key, spec: specOf(options) }, validateOnly: options.dryRun ?? false };
    const answer = await director.createVirtualService(request, editSettings);
    await printEdit(cli, command, answer, serviceView(present(answer.service, 'service')));
  });
}

async function edit(cli: Cli, command: Command, key: ServiceKey__Output, options: ServiceOptions): Promise<void> {
  const spec = specOf(options);
  const paths = Object.keys(spec).map((name) => maskPaths[name as keyof ServiceSpec]);
  if (paths.length === 0)
    command.error('error: nothing to change: name at least one setting, for example --scheduler rr');
  await withDirector(cli, command, async (director) => {
    const request = {
      service: { key, spec, etag: options.etag ?? '' },
      updateMask: { paths },
      validateOnly: options.dryRun ?? false,
    };
    const answer = await director.updateVirtualService(request, editSettings);
    await printEdit(cli, command, answer, serviceView(present(answer.service, 'service')));
  });
}

async function remove(cli: Cli, command: Command, key: ServiceKey__Output, options: ServiceOptions): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const request = { key, etag: options.etag ?? '', validateOnly: options.dryRun ?? false };
    await printEdit(cli, command, await director.deleteVirtualService(request, editSettings), {});
  });
}
