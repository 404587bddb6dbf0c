// SPDX-License-Identifier: Apache-2.0
// What goes wrong in practice, planted one after the other, and the words of one command by which an operator finds it.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { servers, vipOf } from '../../src/lab/plan.js';
import { Happenings } from '../support/happenings.js';
import { Scene } from '../support/scene.js';

const client = '203.0.113.200';
const [nat, dr, tun] = [vipOf('nat'), vipOf('dr'), vipOf('tun')];
const of = (vip: string): string => `tcp:${vip}:80`;
const from = `tcp ${client}:40000`;

/** The direct-routing service of the lab, checked the way its clients come. */
const checked = `services:
  - address: "${of(dr)}"
    scheduler: wrr
    health: { checks: [{ type: http, via: vip, interval: 0.25, timeout: 1, fall: 2, warmup: 0 }] }
    servers: [${servers.map(({ lan }) => `{ address: "${lan}:80", method: dr }`).join(', ')}]
`;

/** Traces until the first packet that matches, while the client sends. */
async function traced(scene: Scene, filter: string, sending: string): Promise<string> {
  const tracing = scene.start('director', `${projectRoot}/bin/fulcrum trace --count 1 ${filter}`);
  const sender = scene.start('client', sending);
  const line = await tracing.line((text) => text.includes(' worker '), 20_000);
  await sender.stop();
  await tracing.ended;
  return line;
}

async function vipMissingOnServer(t: ExecutionContext, scene: Scene): Promise<void> {
  const file = join(scene.directory, 'checked.yaml');
  writeFileSync(file, checked);
  const events = await Happenings.watch(scene.api());
  await scene.fulcrum(`config apply --file ${file}`);
  await scene.sh('rs1', `ip address del ${dr}/32 dev lo`);
  await events.all([/^server_down: TCP 203\.0\.113\.20:80 10\.0\.0\.11:80/]);
  const one = await scene.fulcrum(`explain ${from} ${dr}:80`);
  t.regex(
    one,
    /10\.0\.0\.11:80 .*\(out, down: http: answers on its own address but not on the VIP: is the VIP on lo, arp_ignore set\?\)$/m,
  );
  t.regex(one, /^verdict +forwarded_dr$/m);
  for (const host of ['rs2', 'rs3']) await scene.sh(host, `ip address del ${dr}/32 dev lo`);
  await events.all([/^server_down: TCP 203\.0\.113\.20:80 10\.0\.0\.12:80/, /^server_down: .* 10\.0\.0\.13:80/]);
  const all = await scene.fulcrum(`explain ${from} ${dr}:80`);
  t.is(all.match(/out, down: http: answers on its own address but not on the VIP/g)?.length, 3, all);
  t.regex(all, /^why +no real server takes it: the pool is empty; 3 of 3 configured are kept out of it$/m);
}

async function poolFaults(t: ExecutionContext, scene: Scene): Promise<void> {
  const explain = (): Promise<string> => scene.fulcrum(`explain ${from} ${tun}:80`);
  const others = servers.slice(1).map(({ lan }) => `${lan}:80`);
  const first = `${servers[0]?.lan}:80`;
  // Threshold: its one connection is there, and the others take nothing.
  for (const server of others) await scene.fulcrum(`server edit ${of(tun)} ${server} --weight 0`);
  await scene.fulcrum(`server edit ${of(tun)} ${first} --upper-threshold 1`);
  const held = scene.start('client', `python3 ${projectRoot}/test/support/held_connection.py ${tun} rs1`);
  await held.line((line) => line === 'held', 10_000);
  const full = await explain();
  t.regex(full, /^verdict +no_server \(dropped\)$|^verdict +no_server$/m);
  t.regex(full, /10\.0\.0\.11:80 +weight 1, 1 active, 0 inactive, cost 256 +\(upper threshold reached\)$/m);
  t.regex(full, /^why +no real server takes it: 2 of 3 have weight 0, 1 have reached their upper threshold$/m);
  await held.stop();
  // Quiesced: by weight 0, and by a drain.
  await scene.fulcrum(`server drain ${of(tun)} ${first} --detach`);
  const quiesced = await explain();
  t.regex(quiesced, /10\.0\.0\.12:80 +weight 0, .*\(quiesced: takes nothing new\)$/m);
  t.regex(
    quiesced,
    /10\.0\.0\.11:80 +weight 0, .*\(quiesced: takes nothing new; .*draining: until no connection is left, then kept\)$/m,
  );
  t.regex(quiesced, /^why +no real server takes it: 3 of 3 have weight 0, /m);
  for (const { lan } of servers) await scene.fulcrum(`server delete ${of(tun)} ${lan}:80`);
  t.regex(await explain(), /^why +no real server takes it: the pool is empty$/m);
  // Nobody has that address.
  await scene.fulcrum(`server add ${of(tun)} 10.0.0.77:80 --method tun`);
  const silent = await explain();
  t.regex(silent, /^why +10\.0\.0\.77 has not answered for its MAC: the packet waits for it$/m);
  t.regex(silent, /^see +is 10\.0\.0\.77 up, and on that link\?/m);
  // It has, and the tunnel is too narrow for what the client sends.
  await scene.fulcrum(`server add ${of(tun)} ${first} --method tun`);
  await scene.fulcrum(`server delete ${of(tun)} 10.0.0.77:80`);
  const narrow = await scene.fulcrum(`explain ${from} ${tun}:80 --length 1500`);
  t.regex(narrow, /^verdict +fragmentation_needed_sent/m);
  t.regex(narrow, /^why +1500 bytes do not fit into 1480 on the way to the server$/m);
  t.regex(narrow, /^see +.*mss: auto/m);
}

async function clientFaults(t: ExecutionContext, scene: Scene): Promise<void> {
  t.regex(
    await scene.fulcrum(`explain ${from} ${nat}:81`),
    /^why +no virtual service has this address, port and protocol, or its mark: answered with a reset$/m,
  );
  await scene.fulcrum(`service traffic ${of(nat)} --deny ${client}/32`);
  const denied = await scene.fulcrum(`explain ${from} ${nat}:80`);
  t.regex(denied, /^verdict +client_denied \(dropped\)$/m);
  t.regex(denied, /^why +the service's traffic policy does not take this client$/m);
  t.regex(denied, /^see +fulcrum service traffic tcp:203\.0\.113\.10:80 shows/m);
  await scene.fulcrum(`service traffic ${of(nat)} --deny ""`);
}

async function wrongChecksums(t: ExecutionContext, scene: Scene): Promise<void> {
  await scene.sh('client', `curl -sS -m 5 http://${nat}/`);
  const mac = await scene.sh('client', `ip -4 neighbor show ${nat} dev wan0 | grep -o 'lladdr [0-9a-f:]*' | cut -c 8-`);
  // With br_netfilter a bridge drops such a packet itself.
  const filter = '/proc/sys/net/bridge/bridge-nf-call-iptables';
  await scene.sh('net', `if [ -e ${filter} ]; then echo 0 > ${filter}; fi`);
  const script = `${projectRoot}/test/support/damaged_header.py`;
  const header = await traced(
    scene,
    '--verdict malformed_ip_checksum',
    `python3 ${script} wan0 ${mac} ${client} ${nat}`,
  );
  t.regex(header, /malformed_ip_checksum \(dropped\) \(its IP header is damaged: a faulty link; .*tx off\)$/);
  // What a virtual network leaves to hardware that is not there. The server drops it in silence.
  const offload = async (state: string): Promise<void> => {
    await scene.sh('client', `ethtool -K wan0 tx ${state}`);
    await scene.sh('net', `ethtool -K wan-director tx ${state}`);
  };
  await offload('on');
  const knock = `sh -c 'while :; do curl -sS -o /dev/null -m 1 http://${nat}/; done' 2>&1`;
  const transport = await traced(scene, `--client ${client} --vip ${nat}`, knock);
  t.regex(transport, /forwarded_nat \(its TCP checksum is wrong: who receives it will drop it in silence\)$/);
  await offload('off');
  const well = await traced(scene, `--client ${client} --vip ${nat}`, knock);
  t.notRegex(well, /checksum/);
}

test('each planted fault is named by one fulcrum explain or trace', async (t) => {
  t.timeout(120_000);
  const scene = await Scene.lab(t, 1, true);
  await vipMissingOnServer(t, scene);
  await poolFaults(t, scene);
  await clientFaults(t, scene);
  await wrongChecksums(t, scene);
});
