// SPDX-License-Identifier: Apache-2.0
// fulcrum doctor in the lab: nothing to complain of while all is well, and then what was broken.
import test from 'ava';
import { servers, vipOf } from '../../src/lab/plan.js';
import { Scene } from '../support/scene.js';

interface Report {
  readonly findings: readonly { readonly level: string; readonly subject: string; readonly found: string }[];
  readonly problem: number;
}

test('doctor finds nothing in a lab that works, and names what was broken in it', async (t) => {
  t.timeout(180_000);
  const scene = await Scene.lab(t);
  const config = scene.director.configurationFile;
  const [nat, tun] = [vipOf('nat'), vipOf('tun')];
  const well = await scene.fulcrum(`doctor --config ${config} --state-dir ${scene.director.stateDirectory}`);
  t.regex(well, /^0 problems, /m);
  t.notRegex(well, /^problem /m);

  // One server answers by another way than it was asked, one has an address that nobody has, one is out of reach.
  await scene.sh('rs3', 'ip route replace default via 10.0.0.12 dev lan table 100');
  for (const { lan } of servers.slice(0, 2)) await scene.fulcrum(`server edit tcp:${nat}:80 ${lan}:80 --weight 0`);
  for (const { lan } of servers) await scene.fulcrum(`server delete tcp:${tun}:80 ${lan}:80`);
  await scene.fulcrum(`server add tcp:${tun}:80 10.0.0.77:80 --method tun`);
  await scene.sh(
    'client',
    `for i in $(seq 12); do curl -sS -m 0.2 http://${nat}/ http://${tun}/ 2>/dev/null || true; done`,
  );
  await scene.fulcrum(`server add tcp:${tun}:80 192.168.7.7:80 --method tun --weight 0`);
  const report = `doctor --config ${config} --state-dir ${scene.director.stateDirectory} -o json`;
  const text = await scene.sh('director', `${process.cwd()}/bin/fulcrum ${report} || test $? = 1`);
  const { findings, problem } = JSON.parse(text) as Report;
  const problems = findings
    .filter(({ level }) => level === 'problem')
    .map(({ subject, found }) => `${subject}: ${found}`);
  t.is(problem, problems.length);
  t.log(problems.join('\n'));
  const has = (pattern: RegExp): boolean =>
    t.true(
      problems.some((line) => pattern.test(line)),
      `${pattern}`,
    );
  has(/^server 10\.0\.0\.13:80 of tcp:203\.0\.113\.10:80: NAT: \d+ packets in, none back$/);
  has(/^server 10\.0\.0\.77:80 of tcp:203\.0\.113\.30:80: 10\.0\.0\.77 does not answer for its MAC on lan$/);
  has(/^server 192\.168\.7\.7:80 of tcp:203\.0\.113\.30:80: no route leads to 192\.168\.7\.7$/);
  t.is(problems.length, 3);
});
