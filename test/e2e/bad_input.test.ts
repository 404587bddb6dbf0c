// SPDX-License-Identifier: Apache-2.0
// Mistakes of operators: each gets an error that says where it is, and nothing has changed.

import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { CommandError } from '../../src/lab/command.js';
import { vipOf } from '../../src/lab/plan.js';
import { Scene } from '../support/scene.js';

/** What a command that has to fail says. */
async function complaint(attempt: Promise<string>): Promise<string> {
  try {
    return `it was accepted: ${await attempt}`;
  } catch (error) {
    if (error instanceof CommandError) return error.message;
    throw error;
  }
}

const wrongChecks: readonly (readonly [check: string, message: RegExp])[] = [
  [
    '{ type: http, body_regex: "a(" }',
    /checks\.yaml:5:37: services\[0\]\.health\.checks\[0\]\.body_regex: "a\(" is not a regular expression of RE2: missing closing \)/,
  ],
  [
    '{ type: https, tls: { ca_file: /nonexistent/ca.pem } }',
    /checks\.yaml:5:\d+: services\[0\]\.health\.checks\[0\]\.tls\.ca_file: "\/nonexistent\/ca\.pem" cannot be read: no such file/,
  ],
  [
    '{ type: command, command: [/nonexistent/check, -v] }',
    /checks\.yaml:5:\d+: services\[0\]\.health\.checks\[0\]\.command\[0\]: "\/nonexistent\/check" cannot be run: no such file/,
  ],
];

test.serial('a running director refuses what is wrong, and stays as it is', async (t) => {
  const scene = await Scene.lab(t);
  const service = `tcp:${vipOf('nat')}:80`;
  const before = await scene.ipvsadm('-Sn');
  const refused: readonly (readonly [string, RegExp])[] = [
    ['service add tcp:203.0.113.40:80 --scheduler wwr', /scheduler.*wwr/],
    [`service add ${service}`, /exists/],
    ['service add tcp:203.0.113.40:70000', /70000.*0 to 65535/],
    [`server add ${service} 0.0.0.0:80 --method nat`, /0\.0\.0\.0/],
    [`server add ${service} 10.0.0.14:80 --method nat --weight -1`, /weight/],
    ['server add tcp:203.0.113.41:80 10.0.0.14:80', /203\.0\.113\.41|no such|not found/i],
    ['servce list', /unknown command.*servce/],
  ];
  for (const [command, message] of refused) {
    const said = await complaint(scene.fulcrum(command));
    t.regex(said, message, command);
    t.regex(said, /exit code [12]\b/, command);
  }
  const file = join(scene.directory, 'checks.yaml');
  for (const [check, message] of wrongChecks) {
    writeFileSync(file, `services:\n  - address: ${service}\n    health:\n      checks:\n        - ${check}\n`);
    t.regex(await complaint(scene.fulcrum(`config apply --file ${file}`)), message, check);
  }
  t.is(await scene.ipvsadm('-Sn'), before);
});

test.serial('a configuration file with mistakes starts nothing', async (t) => {
  const scene = await Scene.empty(t);
  await scene.host('director', { device: 'wan0', segment: 'wan' });
  const file = join(scene.directory, 'director.yaml');
  const start = (text: string) => {
    writeFileSync(file, text);
    return complaint(scene.fulcrum(`up --config ${file}`));
  };
  t.regex(
    await start('ports:\n  wan: { device: "net_af_packet0,iface=wan9" }\n'),
    /director\.yaml:2:18: ports\.wan\.device: there is no kernel interface "wan9".*did you mean "wan0"\?/,
  );
  t.regex(
    await start('ports:\n  wan: { device: "net_af_packet0,iface=wan0", interfases: [] }\n'),
    /director\.yaml:2:47: ports\.wan\.interfases: unknown key "interfases"; did you mean "interfaces"\?/,
  );
  t.regex(
    await start('ports:\n  wan: { device: "net_nosuchdriver0" }\n'),
    /failed to parse device "net_nosuchdriver0"/,
  );
});

test.serial('a damaged state file is refused and left as it is', async (t) => {
  const scene = await Scene.lab(t);
  const { director } = scene;
  const { stateDirectory, configurationFile } = director;
  await director.stop();
  const file = join(stateDirectory, 'state.json');
  const bytes = readFileSync(file);
  truncateSync(file, bytes.length - 7);

  const said = await complaint(scene.fulcrum(`up --config ${configurationFile} --state-dir ${stateDirectory}`));
  t.regex(said, /state\.json.*(damaged|cut|checksum|not JSON|incomplete)/i);
  t.deepEqual(readFileSync(file), bytes.subarray(0, bytes.length - 7));

  writeFileSync(file, bytes);
  await scene.startDirector('director', readFileSync(configurationFile, 'utf8'));
  t.regex(await scene.sh('client', `curl -sS -m 3 http://${vipOf('nat')}/`), /^rs/);
});
