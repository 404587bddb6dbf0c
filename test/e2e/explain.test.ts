// SPDX-License-Identifier: Apache-2.0
// What an operator asks at three in the morning: why does this client not get through? One question each, one answer.

import test from 'ava';
import { vipOf } from '../../src/lab/plan.js';
import { Scene } from '../support/scene.js';

const client = '203.0.113.200';
const [nat, dr, tun] = [vipOf('nat'), vipOf('dr'), vipOf('tun')];

interface Explained {
  readonly verdict: string;
  readonly reason: string;
  readonly server?: string;
  readonly candidates: readonly { readonly server: string; readonly condition: string; readonly weight: number }[];
  readonly next_hop?: { readonly mac: string; readonly interface: string };
}

test('each fault is named by one fulcrum explain', async (t) => {
  t.timeout(120_000);
  const scene = await Scene.lab(t);
  const explain = async (words: string): Promise<Explained> =>
    JSON.parse(await scene.fulcrum(`-o json explain ${words}`)) as Explained;
  const syn = (vip: string, port = 80): string => `tcp ${client}:40000 ${vip}:${port}`;

  // Nobody waits for a MAC any more.
  await scene.sh('client', `for i in 1 2 3; do curl -sS -m 5 http://${nat}/; done`);
  t.regex(
    await scene.fulcrum(`explain ${syn(tun)}`),
    /^pool +10\.0\.0\.13:80 +weight 1, \d+ active, \d+ inactive, cost /m,
  );
  // All is well: what is foretold is who answers.
  const foretold = await explain(syn(nat));
  t.is(foretold.verdict, 'forwarded_nat');
  t.is(foretold.reason, '');
  const name = `rs${Number(foretold.server?.split(/[.:]/)[3]) - 10}`;
  t.is(await scene.sh('client', `curl -sS -m 5 http://${nat}/`), name);
  t.regex(
    await scene.fulcrum(`explain ${syn(nat)}`),
    new RegExp(`^service +tcp:${nat}:80 \\(rr\\)\\nconnection +none\\npool +10\\.0\\.0\\.13:80 +weight 1, `, 'm'),
  );

  t.like(await explain(syn(nat, 81)), {
    verdict: 'tcp_reset_sent',
    reason: 'no virtual service has this address, port and protocol, or its mark: answered with a reset',
  });
  t.like(await explain(`sctp ${client}:40000 ${nat}:80`), { verdict: 'protocol_unreachable_sent' });
  await scene.fulcrum(`service add sctp:${nat}:80 --scheduler lblc`);
  await scene.fulcrum(`server add sctp:${nat}:80 10.0.0.11:80 --method nat`);
  t.like(await explain(`sctp ${client}:40000 ${nat}:80`), { verdict: 'forwarded_nat', server: '10.0.0.11:80' });
  t.is(
    (await explain(`sctp ${client}:40000 ${nat}:80 --chunk data`)).reason,
    'it belongs to no connection, and begins none: answered with protocol unreachable',
  );
  await scene.fulcrum(`service traffic tcp:${nat}:80 --deny ${client}/32`);
  t.like(await explain(syn(nat)), {
    verdict: 'client_denied',
    reason: "the service's traffic policy does not take this client",
  });
  for (const last of [11, 12, 13]) await scene.fulcrum(`server edit tcp:${dr}:80 10.0.0.${last}:80 --weight 0`);
  t.like(await explain(syn(dr)), {
    verdict: 'no_server',
    reason: 'no real server takes it: 3 of 3 have weight 0, 0 have reached their upper threshold',
  });
  for (const last of [11, 12, 13]) await scene.fulcrum(`server delete tcp:${dr}:80 10.0.0.${last}:80`);
  t.is((await explain(syn(dr))).reason, 'no real server takes it: the pool is empty');
  // Nobody has that address.
  await scene.fulcrum(`server add tcp:${dr}:80 10.0.0.77:80`);
  const silent = await explain(syn(dr));
  t.is(silent.reason, '10.0.0.77 has not answered for its MAC: the packet waits for it');
  t.is(silent.next_hop?.interface, 'lan');
  await scene.fulcrum(`server add tcp:${dr}:80 192.168.7.7:80`);
  await scene.fulcrum(`server delete tcp:${dr}:80 10.0.0.77:80`);
  t.like(await explain(syn(dr)), { verdict: 'host_unreachable_sent', reason: 'no route leads to 192.168.7.7' });

  t.is((await explain(`${syn(tun)} --length 1480`)).verdict, 'forwarded_tun');
  t.like(await explain(`${syn(tun)} --length 1500`), {
    verdict: 'fragmentation_needed_sent',
    reason: '1500 bytes do not fit into 1480 on the way to the server',
  });
  // Just after a start it may be of a connection that there was before.
  t.like(await explain(`${syn(tun)} --flags ack`), {
    verdict: 'forwarded_tun',
    reason: 'it belongs to no connection, and goes where one without an entry would (stateless_spread)',
  });
  await scene.fulcrum('tunable set stateless_grace=0');
  t.like(await explain(`${syn(tun)} --flags ack`), {
    verdict: 'tcp_reset_sent',
    reason: 'it belongs to no connection, and begins none: answered with a reset',
  });
  const refused = await t.throwsAsync(scene.fulcrum(`explain tcp ${client}:40000 [2001:db8:1::10]:80`));
  t.regex(String(refused), /packet\.destination: is of another address family than the source/);
});
