// SPDX-License-Identifier: Apache-2.0
// fulcrum service traffic: what a service takes besides being balanced.
import { type Command, InvalidArgumentError } from 'commander';
import { KeyError, parseDecimal } from '../config/keys.js';
import { mostConnections, mostPerSecond, readMss, trafficEntry } from '../config/traffic.js';
import type { ServiceKey__Output } from '../generated/fulcrum/v1/ServiceKey.js';
import type { TrafficPolicy__Output } from '../generated/fulcrum/v1/TrafficPolicy.js';
import { FulcrumError } from '../grpc/errors.js';
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
import { fieldLines, type View } from './output.js';

interface TrafficOptions {
  readonly allow?: readonly string[];
  readonly deny?: readonly string[];
  readonly maxConnections?: number;
  readonly connectionsPerSecond?: number;
  readonly connectionsBurst?: number;
  readonly mss?: number | 'auto';
  readonly dryRun?: boolean;
}

/** Others may edit at the same time: so often the service is read again. */
const attempts = 5;

const noPolicy: TrafficPolicy__Output = {
  allow: [],
  deny: [],
  maxConnections: 0,
  connectionsPerSecond: 0,
  connectionsBurst: 0,
  mss: 0,
  mssAuto: false,
};

export function registerTraffic(service: Command, cli: Cli): void {
  service
    .command('traffic')
    .description('show or change which clients one takes, how many connections, and with which TCP segments')
    .argument('<service>', 'tcp:ADDRESS:PORT, udp:…, sctp:… or fwmark:MARK', serviceArgument)
    .option(
      '--allow <clients>',
      'only these: prefixes and names of prefix lists, separated by commas; "" for all',
      words,
    )
    .option('--deny <clients>', 'not these; of prefixes of both, the longest decides; "" for none', words)
    .option('--max-connections <n>', 'connections at once; 0 for no limit', wholeNumber(0, mostConnections))
    .option('--connections-per-second <n>', 'that begin; 0 for no limit', wholeNumber(0, mostPerSecond))
    .option('--connections-burst <n>', "as many of them at once; 0 for a second's", wholeNumber(0, mostConnections))
    .option(
      '--mss <bytes>',
      'the greatest that SYNs may announce; "auto" for what goes whole to the server; 0 for any',
      mss,
    )
    .option('--dry-run', 'only check whether the director would do it')
    .addHelpText(
      'after',
      `
What is not given stays as it is; without any option the policy is printed. Clients that are denied get no answer, and
no connection of them begins; those that there are go on, also where a limit is set below their number. ipvsadm has no
words for any of this, and leaves it alone.

Examples:
  fulcrum service traffic tcp:203.0.113.10:443 --deny bogons,192.0.2.7
  fulcrum service traffic tcp:203.0.113.10:443 --max-connections 100000 --connections-per-second 5000
  fulcrum service traffic tcp:203.0.113.10:443 --mss auto
  fulcrum service traffic tcp:203.0.113.10:443`,
    )
    .action((key, options, command) => traffic(cli, command, key, options));
}

function words(text: string): readonly string[] {
  return text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

function mss(text: string): number | 'auto' {
  const number = parseDecimal(text, 0, 65_535);
  if (number === 0) return number;
  try {
    return readMss(number ?? text);
  } catch (error) {
    if (error instanceof KeyError) throw new InvalidArgumentError(`${error.message}.`);
    throw error;
  }
}

function changed(before: TrafficPolicy__Output, options: TrafficOptions): TrafficPolicy__Output {
  const { allow, deny, maxConnections, connectionsPerSecond, connectionsBurst, mss: limit } = options;
  return {
    allow: allow === undefined ? before.allow : [...allow],
    deny: deny === undefined ? before.deny : [...deny],
    maxConnections: maxConnections ?? before.maxConnections,
    connectionsPerSecond: connectionsPerSecond ?? before.connectionsPerSecond,
    // A burst is nothing without its rate.
    connectionsBurst: connectionsPerSecond === 0 ? 0 : (connectionsBurst ?? before.connectionsBurst),
    mss: limit === undefined ? before.mss : limit === 'auto' ? 0 : limit,
    mssAuto: limit === undefined ? before.mssAuto : limit === 'auto',
  };
}

async function traffic(cli: Cli, command: Command, key: ServiceKey__Output, options: TrafficOptions): Promise<void> {
  const { dryRun = false, ...given } = options;
  await withDirector(cli, command, async (director) => {
    for (let attempt = 1; ; attempt++) {
      const { revision } = await director.listVirtualServices({ pageSize: 1 });
      const service = present((await director.getVirtualService({ key })).service, 'service');
      const before = service.traffic ?? noPolicy;
      if (Object.keys(given).length === 0) {
        const entry = trafficEntry(before) as { readonly [name: string]: View };
        await print(cli, command, entry, () =>
          fieldLines(
            Object.entries(entry).map(([name, value]) => [
              name,
              Array.isArray(value) ? value.join(' ') : String(value),
            ]),
          ),
        );
        return;
      }
      const after = changed(before, given);
      const operations = { operations: [{ setTraffic: { service: key, traffic: after } }] };
      try {
        const answer = await director.apply(
          { operations, mode: 'APPLY_MODE_ATOMIC', validateOnly: dryRun, revision },
          editSettings,
        );
        await printEdit(cli, command, answer, trafficEntry(after) as { readonly [name: string]: View });
        return;
      } catch (error) {
        const isStale = error instanceof FulcrumError && error.reason === 'REASON_STALE';
        if (!isStale || attempt === attempts) throw error;
      }
    }
  });
}
