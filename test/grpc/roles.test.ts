// SPDX-License-Identifier: Apache-2.0
// Who may do what over TCP: every method with every role, what edits may be made of, and roles that change.
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { Operation } from '../../src/generated/fulcrum/v1/Operation.js';
import { roles } from '../../src/grpc/caller.js';
import { FulcrumError } from '../../src/grpc/errors.js';
import { loadDirectorService, projectRoot } from '../../src/grpc/loader.js';
import { directorMethodRoles } from '../../src/manager/access/methods.js';
import { failure, webService } from './support/director.js';
import { outcomeOf, startTlsRig, type TlsRig } from './support/tls.js';

const rolesText = `
admin: [root]
operate: [oncall]
read:
  - viewer
  - "*.monitoring.example.net"
`;
const service = { protocol: 'PROTOCOL_TCP', address: '192.0.2.1', port: 80 } as const;
const key = { address: '10.0.0.1', port: 80 };
const spec = { method: 'FORWARDING_METHOD_NAT', weight: 1 } as const;

const standard = {
  '/grpc.health.v1.Health/Check': 'read',
  '/grpc.health.v1.Health/Watch': 'read',
  '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo': 'read',
  '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': 'read',
} as const;

/** The table of docs/security.md. */
function documentedRoles(): Record<string, string> {
  const text = readFileSync(join(projectRoot, 'docs', 'security.md'), 'utf8');
  return Object.fromEntries([...text.matchAll(/^\| `(\w+)` \| (read|operate|admin) \|$/gm)].map(([, a, b]) => [a, b]));
}

test('the documentation has the least role of every method, and so has the code', (t) => {
  t.deepEqual(documentedRoles(), directorMethodRoles);
  t.deepEqual(Object.keys(documentedRoles()).sort(), Object.keys(loadDirectorService()).sort());
});

test('each role can do exactly its calls; without a role, or a certificate, nothing is readable', async (t) => {
  const { rawClient } = await startTlsRig(t, {
    clients: ['root', 'oncall', 'viewer', 'nobody'],
    roles: rolesText,
  });
  const documented = Object.entries(documentedRoles()).map(([name, role]) => [
    `/fulcrum.v1.DirectorService/${name}`,
    role,
  ]);
  const methods = [...documented, ...Object.entries(standard)] as [string, (typeof roles)[number]][];
  const callers = { root: 'admin', oncall: 'operate', viewer: 'read', nobody: undefined } as const;
  for (const [name, role] of Object.entries(callers)) {
    const client = rawClient(name);
    for (const [path, needed] of methods) {
      const { code, details } = await outcomeOf(client, path);
      const may = role !== undefined && roles.indexOf(role) >= roles.indexOf(needed);
      t.is(code !== 'PERMISSION_DENIED', may, `${name} ${path}: ${code} ${details}`);
      t.not(code, 'UNIMPLEMENTED', path);
      const method = path.split('/').at(-1);
      const has = role === undefined ? 'has no role' : `has the role ${role}`;
      if (!may) t.is(details, `cn:${name} ${has}: ${method} needs ${needed}`);
    }
  }
  const stranger = rawClient();
  for (const [path] of methods) t.is((await outcomeOf(stranger, path)).code, 'UNAVAILABLE', path);
});

const edits: readonly (readonly [string, Operation, 'operate' | 'admin'])[] = [
  ['a weight', { editServer: { service, key, spec: { ...spec, weight: 5 } } }, 'operate'],
  ['quiescence', { editServer: { service, key, spec: { ...spec, weight: 0 } } }, 'operate'],
  ['a drain', { setDrain: { service, key, drain: { atEnd: 'DRAIN_END_KEEP' } } }, 'operate'],
  ['counters', { zero: {} }, 'operate'],
  ['a forwarding method', { editServer: { service, key, spec: { ...spec, method: 'FORWARDING_METHOD_DR' } } }, 'admin'],
  ['a threshold', { editServer: { service, key, spec: { ...spec, upperThreshold: 9 } } }, 'admin'],
  ['another server', { addServer: { service, key: { ...key, port: 81 }, spec } }, 'admin'],
  ['the last server', { deleteServer: { service, key } }, 'admin'],
  ['a scheduler', { editService: { key: service, spec: { scheduler: 'wlc' } } }, 'admin'],
  ['all', { flush: {} }, 'admin'],
  ['timeouts', { setTimeouts: { tcpS: 60 } }, 'admin'],
  ['a tunable', { setTunables: { sloppyTcp: 1 } }, 'admin'],
  ['marks', { setMarkRules: { rules: [] } }, 'admin'],
  ['a VIP', { setVip: { address: '192.0.2.1', state: 'VIP_STATE_STANDBY' } }, 'admin'],
  ['checks', { setHealth: { service, health: { checks: [{ tcp: {} }] } } }, 'admin'],
  ['checks of a server', { setServerHealth: { service, key, health: { checks: [] } } }, 'admin'],
  ['a traffic policy', { setTraffic: { service, traffic: { maxConnections: 5 } } }, 'admin'],
  ['a prefix list', { setPrefixList: { name: 'x', prefixes: ['192.0.2.0/24'] } }, 'admin'],
];

async function revisionOf({ connect }: TlsRig): Promise<string> {
  return (await connect('viewer').getStatus({})).revision;
}

test('Apply: what an operation does says who may do it; with another one, nothing is done', async (t) => {
  const rig = await startTlsRig(t, { clients: ['root', 'oncall', 'viewer'], roles: rolesText });
  const [root, oncall, viewer] = [rig.connect('root'), rig.connect('oncall'), rig.connect('viewer')];
  await root.createVirtualService({ service: { ...webService(service.address), servers: [{ key, spec }] } });
  for (const [name, operation, needed] of edits) {
    const apply = { operations: { operations: [operation] }, validateOnly: true };
    t.is(await failure(root.apply(apply)), 'no failure', name);
    const denied = 'PERMISSION_DENIED REASON_UNSPECIFIED';
    t.is(await failure(oncall.apply(apply)), needed === 'operate' ? 'no failure' : denied, name);
    t.is(await failure(viewer.apply(apply)), denied, name);
  }
  const before = await revisionOf(rig);
  const operations = [edits[0]?.[1] as Operation, edits[4]?.[1] as Operation];
  for (const mode of ['APPLY_MODE_ATOMIC', 'APPLY_MODE_RESTORE'] as const) {
    const error = await t.throwsAsync(oncall.apply({ operations: { operations }, mode }), { instanceOf: FulcrumError });
    const what = 'edit_server TCP 192.0.2.1:80 10.0.0.1:80';
    t.is(error?.message, `cn:oncall has the role operate: Apply needs admin for ${what}`);
  }
  t.is(await revisionOf(rig), before);
});

test('UpdateRealServer: operate may change the weight, by a mask or as a whole, and create nothing', async (t) => {
  const { connect } = await startTlsRig(t, { clients: ['root', 'oncall'], roles: rolesText });
  const [root, oncall] = [connect('root'), connect('oncall')];
  await root.createVirtualService({ service: { ...webService(service.address), servers: [{ key, spec }] } });
  const update = (server: object, paths: readonly string[]) =>
    oncall.updateRealServer({ service, server: { key, ...server }, updateMask: { paths: [...paths] } });
  t.is((await update({ spec: { weight: 7 } }, ['spec.weight'])).server?.spec?.weight, 7);
  t.is((await update({ spec: { ...spec, weight: 3 } }, [])).server?.spec?.weight, 3);
  const denied = 'PERMISSION_DENIED REASON_UNSPECIFIED';
  t.is(await failure(update({ spec: { upperThreshold: 7 } }, ['spec.upper_threshold'])), denied);
  const missing = { key: { address: '10.0.0.9', port: 1 }, spec };
  t.is(await failure(oncall.updateRealServer({ service, server: missing, allowMissing: true })), denied);
});

test('names: the common name as it is, DNS names, and what names end with', async (t) => {
  const rig = await startTlsRig(t, { clients: ['Viewer', 'x.monitoring.example.net'], roles: rolesText });
  await rig.authority.sign('by-dns', '/O=somebody', ['DNS:Probe.Monitoring.example.net']);
  await rig.authority.sign('suffix', '/CN=monitoring.example.net');
  await rig.authority.sign('several', '/CN=root/CN=viewer');
  await rig.authority.sign('unnamed', '/O=somebody');
  const status = (name: string) => failure(rig.connect(name).getStatus({}, { timeoutMs: 5_000 }));
  t.is(await status('x.monitoring.example.net'), 'no failure');
  t.is(await status('by-dns'), 'no failure');
  for (const name of ['Viewer', 'suffix']) t.regex(await status(name), /^PERMISSION_DENIED/, name);
  // Who has no name at all gets no connection.
  for (const name of ['several', 'unnamed']) t.regex(await status(name), /^UNAVAILABLE/, name);
});

test('without a roles file every client of the authority is an administrator, and the log says so', async (t) => {
  const { connect, logged } = await startTlsRig(t, { clients: ['anybody'] });
  await connect('anybody').createVirtualService({ service: webService(service.address) });
  t.is(logged.filter(({ msg }) => /every client .* is an administrator/.test(String(msg))).length, 1);
});

/** Replaced as a whole, as an editor does. */
function replace(file: string, text: string): void {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

/** Reads events until one is of a kind; returns its message. */
async function event(watching: AsyncIterator<{ happened?: { kind: string; message: string } | null }>, kind: string) {
  for (;;) {
    const { value, done } = await watching.next();
    if (done) throw new Error('the stream has ended');
    if (value.happened?.kind === kind) return value.happened.message;
  }
}

test('roles are read again when the file changes; a bad file is refused with its place, and the old roles stay', async (t) => {
  const rig = await startTlsRig(t, { clients: ['root', 'viewer'], roles: rolesText });
  const file = join(rig.directory, 'roles.yaml');
  const [root, viewer] = [rig.connect('root'), rig.connect('viewer')];
  const watching = root.watch({})[Symbol.asyncIterator]();
  const viewed = viewer.watch({})[Symbol.asyncIterator]();
  await viewed.next();
  replace(file, 'admin: [root]\nread:\n  - viewer\n  - "a b"\n');
  t.regex(await event(watching, 'roles_refused'), /roles\.yaml:4:5: read\[1\]: "a b" is not what is needed/);
  await viewer.getStatus({});
  replace(file, 'admin: [root, viewer]\nread: [viewer]\n');
  t.regex(await event(watching, 'roles_refused'), /roles\.yaml:1:\d+: admin\[1\]: "viewer" has the role read already/);
  await viewer.getStatus({});
  replace(file, 'admin: [root]\n');
  await event(watching, 'roles_reloaded');
  t.regex(await failure(viewer.getStatus({})), /^PERMISSION_DENIED/);
  // What it had open ends.
  const error = await t.throwsAsync(event(viewed, 'never'), { instanceOf: FulcrumError });
  t.is(error?.message, 'cn:viewer has no role: Watch needs read');
  t.true(rig.logged.some(({ kind, msg }) => kind === 'roles_refused' && /roles\.yaml:4:5/.test(String(msg))));
  await watching.return?.();
});
