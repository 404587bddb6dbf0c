// SPDX-License-Identifier: Apache-2.0
// fulcrum route: where packets go that are not for a neighbour.
import type { Command } from 'commander';
import type { ListRoutesResponse__Output } from '../generated/fulcrum/v1/ListRoutesResponse.js';
import type { Route__Output } from '../generated/fulcrum/v1/Route.js';
import { type Cli, print, withDirector } from './cli.js';
import { tableLines, type View } from './output.js';

export function register(program: Command, cli: Cli): void {
  const route = program.command('route').description('where packets go: routes of the configuration and of the kernel');
  route
    .command('list')
    .description('list them, in order of destination')
    .addHelpText(
      'after',
      `
By an interface that is a kernel port the director has the routes that the kernel has (ip route show dev NAME), by
others those of the configuration. Of several to one destination the one with the lowest metric is listed.
no room: the dataplane's table is full; packets go by a shorter prefix, or nowhere.

Example:
  fulcrum route list -o json | jq -r '.routes[] | select(.protocol == "bgp") | .destination'`,
    )
    .action((_, command) => list(cli, command));
}

function routeView(route: Route__Output): View {
  return {
    destination: route.destination,
    via: route.via,
    interface: route.interface,
    metric: route.metric,
    protocol: route.protocol,
    blackhole: route.blackhole,
    from_kernel: route.fromKernel,
    in_force: route.inForce,
  };
}

function gatewayOf({ via, interface: by, blackhole }: Route__Output): string {
  if (via !== '') return via;
  if (by !== '') return 'on link';
  return blackhole ? 'blackhole' : 'unreachable';
}

async function list(cli: Cli, command: Command): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const answer = await director.listRoutes({});
    const view = {
      routes: answer.routes.map(routeView),
      without_room: BigInt(answer.withoutRoom),
      not_followed: BigInt(answer.notFollowed),
    };
    await print(cli, command, view, () => routeTable(answer));
  });
}

function routeTable({ routes, notFollowed }: ListRoutesResponse__Output): readonly string[] {
  const lines = tableLines(
    [
      { title: 'DESTINATION', value: ({ destination }) => destination },
      { title: 'VIA', value: gatewayOf },
      { title: 'INTERFACE', value: (route) => route.interface || '-' },
      { title: 'METRIC', value: ({ metric }) => metric, right: true },
      { title: 'PROTOCOL', value: ({ protocol }) => protocol },
      { title: 'FROM', value: ({ fromKernel }) => (fromKernel ? 'kernel' : 'configuration') },
      { title: 'STATE', value: ({ inForce }) => (inForce ? 'in force' : 'no room') },
    ],
    routes,
  );
  if (notFollowed === '0') return lines;
  return [...lines, '', `${notFollowed} routes of the kernel are not followed: see its events (fulcrum watch)`];
}
