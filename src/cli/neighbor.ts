// SPDX-License-Identifier: Apache-2.0
// fulcrum neighbor: who is on the director's links.
import type { Command } from 'commander';
import type { Neighbor__Output } from '../generated/fulcrum/v1/Neighbor.js';
import { type Cli, print, withDirector } from './cli.js';
import { tableLines } from './output.js';

export function register(program: Command, cli: Cli): void {
  const neighbor = program.command('neighbor').description('next hops on the links, as ARP and ND found them');
  neighbor
    .command('list')
    .description('list them')
    .addHelpText(
      'after',
      `
States: incomplete (asked, no answer yet), reachable, stale (not confirmed for a while), failed (does not answer),
static (configured).

Example:
  fulcrum neighbor list -o json | jq -r '.neighbors[] | select(.state == "failed") | .address'`,
    )
    .action((_, command) => list(cli, command));
}

function stateOf(neighbor: Neighbor__Output): string {
  return neighbor.state.replace('NEIGHBOR_STATE_', '').toLowerCase();
}

async function list(cli: Cli, command: Command): Promise<void> {
  await withDirector(cli, command, async (director) => {
    const { neighbors } = await director.listNeighbors({});
    const view = {
      neighbors: neighbors.map((neighbor) => ({
        address: neighbor.address,
        interface: neighbor.interface,
        mac: neighbor.mac,
        state: stateOf(neighbor),
        age_ms: BigInt(neighbor.ageMs),
      })),
    };
    await print(cli, command, view, () =>
      tableLines(
        [
          { title: 'ADDRESS', value: ({ address }) => address },
          { title: 'INTERFACE', value: (neighbor) => neighbor.interface },
          { title: 'MAC', value: ({ mac }) => mac || '-' },
          { title: 'STATE', value: stateOf },
          { title: 'AGE', value: ({ ageMs }) => `${BigInt(ageMs) / 1000n}s`, right: true },
        ],
        neighbors,
      ),
    );
  });
}
