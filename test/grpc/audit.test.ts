// SPDX-License-Identifier: Apache-2.0
// Who did what: a line for each edit, deletion, trace and refusal; and no secret in anything that is told of an edit.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { AuditEntry } from '../../src/manager/audit/audit.js';
import { failure, webService } from './support/director.js';
import { startTlsRig, type TlsRig } from './support/tls.js';

const service = { protocol: 'PROTOCOL_TCP', address: '192.0.2.1', port: 80 } as const;
const key = { address: '10.0.0.1', port: 8080 };
const roles = 'admin: [root]\noperate: [oncall]\nread: [viewer]\n';

/** The whole audit, after the manager has ended. */
async function auditOf({ manager, directory }: TlsRig): Promise<readonly AuditEntry[]> {
  await manager.stop();
  return readFileSync(join(directory, 'state', 'audit.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

test('a line for each: who, from where, what, from which revision to which, and what came of it', async (t) => {
  const rig = await startTlsRig(t, { clients: ['root', 'oncall', 'viewer', 'nobody'], roles });
  const [root, oncall, viewer] = [rig.connect('root'), rig.connect('oncall'), rig.connect('viewer')];
  const watching = viewer.watch({})[Symbol.asyncIterator]();
  await watching.next();
  await root.createVirtualService({ service: webService(service.address, key.address) });
  const server = { key, spec: { weight: 5 } };
  await oncall.updateRealServer({ service, server, updateMask: { paths: ['spec.weight'] } });
  await root.apply({ operations: { operations: [{ flush: {} }] }, validateOnly: true });
  await failure(root.deleteVirtualService({ key: { ...service, port: 81 } }));
  await failure(oncall.apply({ operations: { operations: [{ flush: {} }] } }));
  for (let time = 0; time < 3; time++) await failure(viewer.setTunables({}));
  await failure(rig.connect('nobody').getStatus({}));
  await root.deleteConnections({ all: true });
  await viewer.listVirtualServices({});
  const told: string[] = [];
  while (told.length < 2) {
    const { value } = await watching.next();
    if (value?.happened?.kind === 'applied') told.push(value.happened.message);
  }
  await watching.return?.();
  const audit = await auditOf(rig);
  for (const { time, peer } of audit) {
    t.is(new Date(time).toISOString(), time);
    t.regex(peer ?? '', /^127\.0\.0\.1:\d+$/);
  }
  const outline = audit.map(({ identity, role, method, code }) => `${identity} ${role} ${method} ${code}`);
  t.deepEqual(outline, [
    'cn:root admin CreateVirtualService OK',
    'cn:oncall operate UpdateRealServer OK',
    'cn:root admin Apply OK',
    'cn:root admin DeleteVirtualService NOT_FOUND',
    'cn:oncall operate Apply PERMISSION_DENIED',
    'cn:viewer read SetTunables PERMISSION_DENIED',
    'cn:nobody undefined GetStatus PERMISSION_DENIED',
    'cn:root admin DeleteConnections OK',
    'cn:viewer read SetTunables PERMISSION_DENIED',
  ]);
  const [created, changed, validated] = audit;
  t.is(created?.count, 2);
  t.regex(created?.changes?.[0] ?? '', /^\+ add_service service=tcp:192\.0\.2\.1:80/);
  t.deepEqual(changed?.changes, ['~ edit_server service=tcp:192.0.2.1:80 server=10.0.0.1:8080 weight=1→5']);
  t.is(changed?.revisionBefore, created?.revision);
  t.not(changed?.revision, created?.revision);
  t.deepEqual([validated?.validateOnly, validated?.revision], [true, undefined]);
  t.is(audit[4]?.error, 'cn:oncall has the role operate: Apply needs admin for flush');
  t.is(audit.at(-1)?.repeated, 2);
  t.is(told[1], `by cn:oncall, UpdateRealServer: ${changed?.changes?.[0]}: revision ${changed?.revision}`);
  t.true(rig.logged.some(({ kind, msg }) => kind === 'applied' && msg === told[1]));
});

const secret = 'hunter2';

test('secrets of a configuration are in no log, audit, event or history', async (t) => {
  const rig = await startTlsRig(t, { clients: ['root'], roles });
  const root = rig.connect('root');
  const watching = root.watch({})[Symbol.asyncIterator]();
  await watching.next();
  const program = ['/bin/true', '--password', secret];
  const headers = [`Authorization: Bearer ${secret}`, `X-Token:${secret}`];
  const common = { intervalMs: 86_400_000, warmupMs: 86_400_000 };
  const health = {
    checks: [
      { ...common, http: { path: `/status?token=${secret}`, headers } },
      { ...common, command: { command: program } },
      {
        ...common,
        udp: {
          requireReply: true,
          payload: Buffer.from(secret).toString('hex'),
          reply: Buffer.from(secret).toString('hex'),
        },
      },
    ],
    quorumUp: program,
    quorumDown: program,
    notifyUp: program,
    notifyDown: ['/bin/false', secret],
    load: { port: 1, intervalMs: 86_400_000, agent: { send: secret } },
  };
  await root.createVirtualService({ service: webService(service.address, key.address) });
  await root.apply({ operations: { operations: [{ setHealth: { service, health } }] } });
  const ofServer = { checks: health.checks, notifyUp: program, notifyDown: program };
  await root.apply({ operations: { operations: [{ setServerHealth: { service, key, health: ofServer } }] } });
  const number = { path: `/n?${secret}`, headers, jsonPointer: '/a' };
  const load = { intervalMs: 86_400_000, number };
  await root.apply({ operations: { operations: [{ setHealth: { service, health: { load } } }] } });
  // What is refused must not be quoted to others either.
  for (const bad of [
    { http: { headers: [`Authorization ${secret}`] } },
    { http: { path: `${secret} x` } },
    { udp: { payload: `zz${secret}` } },
    { command: { command: ['/bin/true', `${secret}\0`] } },
    { command: { command: [secret] } },
  ]) {
    const failed = await failure(
      root.apply({ operations: { operations: [{ setHealth: { service, health: { checks: [bad] } } }] } }),
    );
    t.regex(failed, /^INVALID_ARGUMENT/, JSON.stringify(bad));
  }
  const { revisions } = await root.listRevisions({});
  const seen: unknown[] = [];
  await root.deleteVirtualService({ key: service });
  for (;;) {
    const { value } = await watching.next();
    if (value?.happened) seen.push(value.happened);
    if (value?.happened?.kind === 'applied' && /delete_service/.test(value.happened.message)) break;
  }
  await watching.return?.();
  const audit = await auditOf(rig);
  t.is(audit.filter(({ code }) => code === 'INVALID_ARGUMENT').length, 5);
  t.true(JSON.stringify(audit).includes('Authorization: ***'));
  const hex = Buffer.from(secret).toString('hex');
  for (const [name, text] of Object.entries({
    audit: JSON.stringify(audit),
    events: JSON.stringify(seen),
    log: JSON.stringify(rig.logged),
    revisions: JSON.stringify(revisions),
  })) {
    t.true(text.length > 100, name);
    for (const word of [secret, hex]) t.false(text.includes(word), `${name} ${word}`);
  }
  // Where they must be, only the owner reads.
  t.true(readdirSync(join(rig.directory, 'state')).length > 2);
});
