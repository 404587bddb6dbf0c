// SPDX-License-Identifier: Apache-2.0
// One flow, packet by packet: on the screen, and in a capture that tshark reads with its comments.

import { join } from 'node:path';
import test from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { vipOf } from '../../src/lab/plan.js';
import { Scene } from '../support/scene.js';

const vip = vipOf('nat');
const client = '203.0.113.200';

interface Seen {
  readonly packet: string;
  readonly verdict: string;
  readonly state?: string;
  readonly before?: Readonly<Record<string, unknown>>;
}

test('a flow by NAT, from its SYN to its end; what is lost, and why', async (t) => {
  t.timeout(120_000);
  const scene = await Scene.lab(t, 2);
  // Nobody waits for a MAC any more.
  await scene.sh('client', `for i in 1 2 3; do curl -sS -m 5 http://${vip}/; done`);
  const file = join(scene.directory, 'flow.pcapng');
  const tracing = scene.start(
    'director',
    `${projectRoot}/bin/fulcrum trace --vip ${vip} --client ${client} --pcap ${file} -o json`,
  );
  const seen: Seen[] = [];
  const begun = tracing.line((line) => line.startsWith('tracing'), 20_000);
  tracing.onLine((line) => line.startsWith('{') && seen.push(JSON.parse(line)));
  await begun;
  const answer = await scene.sh('client', `curl -sS -m 5 http://${vip}/`);
  await tracing.line((line) => line.includes('"state":"TIME_WAIT"'), 10_000);
  await tracing.stop();

  const flow = seen.filter(({ packet }) => packet.includes('> '));
  const [first, second] = flow;
  t.regex(first?.packet ?? '', new RegExp(`^TCP ${client}:\\d+ > ${vip}:80 SYN 60 bytes$`));
  t.is(first?.verdict, 'forwarded_nat');
  t.is(first?.state, 'SYN_RECV');
  t.is(first?.before?.scheduler, 'rr');
  const server = String(first?.before?.server);
  t.is(answer, `rs${Number(server.split(/[.:]/)[3]) - 10}`);
  t.regex(second?.packet ?? '', new RegExp(`^TCP ${server.replaceAll('.', '\\.')} > ${client}:\\d+ SYN,ACK 60 bytes$`));
  t.is(second?.verdict, 'forwarded_nat_reply');
  t.true(flow.some(({ state }) => state === 'ESTABLISHED'));

  // Each frame that came has its line; what went out follows it, with the other address.
  const fields = '-T fields -e frame.comment -e ip.src -e ip.dst -e tcp.flags.str';
  const text = await scene.sh('director', `tshark -r ${file} -Y 'tcp.port == 80' ${fields} 2>/dev/null`);
  const [syn = '', translated = ''] = text.split('\n');
  t.regex(
    syn,
    /^\d\d:\d\d:\d\d\.\d+ wan worker \d.*: TCP .* SYN 60 bytes; tcp:.*:80, rr takes .*→ SYN_RECV; nat to .*: forwarded_nat\t/,
  );
  t.true(syn.includes(`\t${client}\t${vip}\t`), syn);
  t.true(
    translated.startsWith('forwarded_nat\t') && translated.includes(`\t${client}\t${server.split(':')[0]}\t`),
    translated,
  );

  // A packet that dies has a name.
  const dying = scene.start('director', `${projectRoot}/bin/fulcrum trace --verdict client_denied --count 1`);
  await dying.line((text) => text.startsWith('tracing'), 20_000);
  await scene.fulcrum(`service traffic tcp:${vip}:80 --deny ${client}/32`);
  const refused = scene.start('client', `sh -c 'while :; do curl -sS -o /dev/null -m 1 http://${vip}/; done' 2>&1`);
  const line = await dying.line(() => true, 20_000);
  t.regex(line, /client_denied \(dropped\) \(the service's traffic policy does not take this client\)$/);
  await refused.stop();
  const bad = await t.throwsAsync(scene.fulcrum('trace --verdict nonsense'));
  t.regex(String(bad), /filter\.verdict: there is no verdict "nonsense"/);
});
