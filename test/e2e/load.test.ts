// SPDX-License-Identifier: Apache-2.0
// What an agent says of its server is what becomes of new connections: 30% of the weight is 30 of 130, drain is none.
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { projectRoot } from '../../src/grpc/loader.js';
import { vipOf } from '../../src/lab/plan.js';
import { Scene } from '../support/scene.js';

const vip = vipOf('dr');
const service = `tcp:${vip}:80`;
const agentPort = 8081;

const configuration = `services:
  - address: ${service}
    scheduler: wrr
    health: {}
    servers:
      - address: 10.0.0.11
        method: dr
        weight: 100
        health: { load: { type: agent, address: 127.0.0.1, port: ${agentPort}, interval: 0.1, timeout: 5 } }
      - { address: 10.0.0.12, method: dr, weight: 100 }
`;

/** Of so many new connections, those that rs1 has answered. */
async function answeredByFirst(scene: Scene, connections: number): Promise<number> {
  const names = await scene.sh(
    'client',
    `for n in $(seq ${connections}); do curl -sf --max-time 5 http://${vip}/; done`,
  );
  const words = names.split(/\s+/).filter((name) => name !== '');
  if (words.length !== connections) throw new Error(`${words.length} of ${connections} were answered`);
  return words.filter((name) => name === 'rs1').length;
}

test('new connections follow what the agent says', async (t) => {
  t.timeout(180_000);
  const scene = await Scene.lab(t);
  const file = join(scene.directory, 'services.yaml');
  const answer = join(scene.directory, 'agent');
  const say = (text: string): void => {
    writeFileSync(`${answer}.new`, text);
    renameSync(`${answer}.new`, answer);
  };
  writeFileSync(file, configuration);
  say('100%\n');
  const agent = scene.start('director', `python3 ${projectRoot}/test/support/agent.py ${agentPort} ${answer}`);
  await agent.line((line) => line === 'ready', 10_000);
  await scene.fulcrum(`server delete ${service} 10.0.0.13:80`);
  await scene.fulcrum(`config apply --file ${file}`);
  const api = scene.api();
  /** Until the dataplane has that weight of the first server. */
  const weighs = async (weight: number): Promise<void> => {
    for (;;) {
      const { dataplane } = await api.getStatus({});
      const listed = await scene.ipvsadm(`-Ln -t ${vip}:80`);
      const inForce = Number(/10\.0\.0\.11:80 +Route +(\d+)/.exec(listed)?.[1]);
      if (inForce === weight && dataplane?.generationApplied === dataplane?.generationWanted) return;
    }
  };

  t.is(await answeredByFirst(scene, 20), 10);
  say('30%\n');
  await weighs(30);
  t.is(await answeredByFirst(scene, 130), 30);
  t.regex(await scene.fulcrum(`server list ${service}`), /10\.0\.0\.11:80 +dr +100 .* 30 .* 30% +30%$/m);
  say('drain\n');
  await weighs(0);
  t.is(await answeredByFirst(scene, 20), 0);
  // Half a line: what was said holds.
  say('ready 10');
  await scene.sh(
    'director',
    `until ${projectRoot}/bin/fulcrum server list ${service} | grep -q 'middle of a line'; do :; done`,
  );
  t.is(await answeredByFirst(scene, 10), 0);
  say('ready up 100%\n');
  await weighs(100);
  t.is(await answeredByFirst(scene, 20), 10);
});
