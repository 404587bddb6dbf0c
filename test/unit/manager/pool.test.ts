// SPDX-License-Identifier: Apache-2.0
// What becomes of a pool when checks fail and pass: keepalived's outcomes, from edits and findings alone.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import type { Check__Output } from '../../../src/generated/fulcrum/v1/Check.js';
import type { HealthPolicy__Output } from '../../../src/generated/fulcrum/v1/HealthPolicy.js';
import type { Operation, Operation__Output } from '../../../src/generated/fulcrum/v1/Operation.js';
import { recordText, replay } from '../../../src/manager/journal.js';
import { firstLoad, type Load } from '../../../src/manager/load/load.js';
import { type Applied, applyConditions, applyOperations, emptyModel, type Model } from '../../../src/manager/model.js';
import { type ServerKey, serverId } from '../../../src/manager/nouns.js';
import type { Condition } from '../../../src/manager/pool.js';
import { parseState, serializeState } from '../../../src/manager/state_file.js';
import {
  addServer,
  addService,
  deleteServer,
  editServer,
  server,
  serverSpec,
  service,
  setDrain,
} from './support/operations.js';

const web = 'tcp 192.0.2.1:80';
const [one, two, three] = ['10.0.0.1:80', '10.0.0.2:80', '10.0.0.3:80'] as const;
const sorry = { key: server('10.0.0.9:80'), spec: serverSpec() };

const policy: HealthPolicy__Output = {
  checks: [commandCheck('/bin/true')],
  alpha: false,
  inhibitOnFailure: false,
  quorum: 0,
  hysteresis: 0,
  quorumUp: [],
  quorumDown: [],
  sorryServer: null,
  sorryServerInhibit: false,
  slowStartMs: 0,
  mostOutPercent: 0,
  notifyUp: [],
  notifyDown: [],
  omega: false,
  load: null,
  passive: null,
};

function commandCheck(program: string): Check__Output {
  return {
    name: '',
    intervalMs: 0,
    timeoutMs: 0,
    rise: 0,
    fall: 0,
    retryIntervalMs: 0,
    address: '',
    port: 0,
    source: '',
    via: 'CHECK_VIA_UNSPECIFIED',
    kind: 'command',
    command: { command: [program], dynamicWeight: false },
  };
}

function setHealth(given: Partial<HealthPolicy__Output> | null): Operation__Output {
  const health = given === null ? null : { ...policy, ...given };
  return { action: 'setHealth', setHealth: { service: service(web), health } };
}

/** A model as it goes on, and what the dataplane was told. */
class Story {
  model: Model = emptyModel;
  told: string[] = [];
  readonly #records: string[] = [];
  #clock = 0;

  edit(...operations: Operation__Output[]): string[] {
    return this.#take(applyOperations(this.model, operations));
  }

  find(key: string, found: Partial<Condition>): string[] {
    const since = new Date(++this.#clock * 1000).toISOString();
    const condition: Condition = { up: true, checked: true, reason: '', since, weight: null, share: 100, ...found };
    return this.#take(applyConditions(this.model, [{ service: service(web), key: server(key), condition }]));
  }

  #take({ model, effects, carriedOut, conditions }: Applied): string[] {
    this.model = model;
    const generation = this.#records.length + 2;
    this.#records.push(recordText({ generation, operations: carriedOut, conditions }, 'l'));
    return effects.map(effectText);
  }

  /** In LVS's order, with the weights in force. */
  get list(): string {
    const pool = this.model.services.get('TCP 192.0.2.1:80')?.pool;
    return [...(pool?.servers.values() ?? [])]
      .reverse()
      .map(({ key, spec }) => `${serverId(key)}*${spec.weight}`)
      .join(' ');
  }

  /** What a manager knows that reads the journal, and one that reads the state file. */
  get restarted(): readonly Model[] {
    const begin = { lineage: 'l', generation: 1, model: emptyModel };
    const { state } = replay(begin, Buffer.from(this.#records.join('')));
    return [state.model, parseState(Buffer.from(serializeState({ ...state, model: this.model }))).model];
  }
}

function effectText(effect: Operation): string {
  const kind = effect.addServer ? 'add' : effect.editServer ? 'edit' : effect.deleteServer ? 'delete' : undefined;
  const change = effect.addServer ?? effect.editServer ?? effect.deleteServer;
  if (kind === undefined || !change) return Object.keys(effect).join();
  const weight = effect.deleteServer ? '' : `*${(effect.addServer ?? effect.editServer)?.spec?.weight}`;
  return `${kind} ${serverId(change.key as ServerKey)}${weight}`;
}

function withServers(health: Partial<HealthPolicy__Output>, weights = [2, 2]): Story {
  const story = new Story();
  const keys = [one, two, three];
  story.edit(
    addService(web, { scheduler: 'wrr' }),
    setHealth(health),
    ...weights.map((weight, index) => addServer(web, keys[index] as string, { weight })),
  );
  return story;
}

const down = { up: false, reason: 'connection refused' };

test('a server that fails goes, and comes back at the head of the list', (t) => {
  const story = withServers({});
  t.is(story.list, `${two}*2 ${one}*2`);
  t.deepEqual(story.find(one, {}), []);
  t.deepEqual(story.find(one, down), [`delete ${one}`]);
  t.is(story.list, `${two}*2`);
  t.deepEqual(story.find(one, {}), [`add ${one}*2`]);
  t.is(story.list, `${one}*2 ${two}*2`);
});

test('inhibit_on_failure: it stays with weight 0', (t) => {
  const story = withServers({ inhibitOnFailure: true });
  t.deepEqual(story.find(one, down), [`edit ${one}*0`]);
  t.deepEqual(story.find(one, {}), [`edit ${one}*2`]);
});

test('alpha: in when it has passed, and not before', (t) => {
  const story = withServers({ alpha: true });
  t.is(story.list, '');
  t.deepEqual(story.find(two, {}), [`add ${two}*2`]);
  t.is(story.list, `${two}*2`);
});

test('the sorry server serves below quorum - hysteresis, and until quorum + hysteresis', (t) => {
  const story = withServers({ quorum: 3, hysteresis: 1, sorryServer: sorry });
  // 10 of one and nothing of two are enough.
  t.deepEqual(story.find(one, { weight: 10 }), [`edit ${one}*10`]);
  t.deepEqual(story.find(two, down), [`delete ${two}`]);
  t.deepEqual(story.find(one, { weight: 1 }), [`delete ${one}`, 'add 10.0.0.9:80*1']);
  // 3 is not yet 4.
  t.deepEqual(story.find(two, {}), []);
  t.deepEqual(story.find(one, { weight: 2 }), ['delete 10.0.0.9:80', `add ${one}*2`, `add ${two}*2`]);
  // 2 is still 3 - 1.
  t.deepEqual(story.find(one, down), [`delete ${one}`]);
});

test('without a sorry server nothing more is taken out when the quorum is lost', (t) => {
  const story = withServers({ quorum: 4 });
  t.deepEqual(story.find(one, down), [`delete ${one}`]);
  t.is(story.list, `${two}*2`);
  t.false(story.model.services.get('TCP 192.0.2.1:80')?.pool?.quorumUp);
});

test('checks take out no more than they may: who failed first is out', (t) => {
  const story = withServers({ mostOutPercent: 50 }, [1, 1, 1]);
  t.deepEqual(story.find(two, down), [`delete ${two}`]);
  t.deepEqual(story.find(one, down), []);
  t.deepEqual(story.find(two, {}), [`add ${two}*1`].toSpliced(0, 0, `delete ${one}`));
});

test('slow start: a share of the weight, at least 1', (t) => {
  const story = withServers({ slowStartMs: 1000 }, [20, 1]);
  t.deepEqual(story.find(one, down), [`delete ${one}`]);
  t.deepEqual(story.find(one, { share: 10 }), [`add ${one}*2`]);
  t.deepEqual(story.find(one, { share: 50 }), [`edit ${one}*10`]);
  t.deepEqual(story.find(two, { share: 10 }), []);
});

test('edits of servers that are checked: one that is out is edited in silence, weight 0 stays 0', (t) => {
  const story = withServers({});
  t.deepEqual(story.edit(editServer(web, one, { weight: 2 })), [`edit ${one}*2`]);
  story.find(one, down);
  t.deepEqual(story.edit(editServer(web, one, { weight: 7 })), []);
  t.deepEqual(story.find(one, {}), [`add ${one}*7`]);
  t.deepEqual(story.edit(editServer(web, one, { weight: 0 })), [`edit ${one}*0`]);
  t.deepEqual(story.find(one, { weight: 9 }), []);
  t.deepEqual(story.edit(deleteServer(web, one), addServer(web, one)), [`delete ${one}`, `add ${one}*1`]);
  t.deepEqual(story.edit(deleteServer(web, two)), [`delete ${two}`]);
});

test('without health again: all servers, in the order in which they were added', (t) => {
  const story = withServers({});
  story.find(one, down);
  story.find(one, {});
  t.deepEqual(story.edit(setHealth(null)), [`delete ${two}`, `delete ${one}`, `add ${one}*2`, `add ${two}*2`]);
  t.is(story.model.services.get('TCP 192.0.2.1:80')?.pool, null);
});

test('findings are no edits: revision and etags stay', (t) => {
  const story = withServers({});
  const before = story.model;
  story.find(one, down);
  t.is(story.model.revision, before.revision);
  t.is(story.model.services.get('TCP 192.0.2.1:80')?.version, before.services.get('TCP 192.0.2.1:80')?.version);
});

test('findings about what is gone are passed over', (t) => {
  const story = withServers({});
  t.deepEqual(story.find('10.0.0.7:80', down), []);
  story.edit(setHealth(null));
  t.deepEqual(story.find(one, down), []);
});

test('after a restart all is as it was', (t) => {
  const story = withServers({ quorum: 3, hysteresis: 1, sorryServer: sorry, mostOutPercent: 80 }, [2, 2, 5]);
  story.find(one, down);
  story.find(three, { weight: 4 });
  story.find(two, down);
  story.edit(editServer(web, three, { weight: 6 }));
  for (const { services } of story.restarted) {
    t.deepEqual(services.get('TCP 192.0.2.1:80')?.pool, story.model.services.get('TCP 192.0.2.1:80')?.pool);
    t.deepEqual(
      services.get('TCP 192.0.2.1:80')?.servers.get(one)?.condition,
      story.model.services.get('TCP 192.0.2.1:80')?.servers.get(one)?.condition,
    );
  }
});

test('a server that nobody checks any more serves, and so does the sorry server that is one of them', (t) => {
  const story = withServers({});
  story.find(one, down);
  t.deepEqual(story.edit(setHealth({ checks: [] })), [`add ${one}*2`]);
  t.is(withServers({ alpha: true, checks: [] }).list, `${two}*2 ${one}*2`);
  const own = { sorryServer: { key: server(one), spec: serverSpec() }, sorryServerInhibit: true };
  t.is(withServers(own).list, `${two}*2 ${one}*2`);
});

test('a check whose program has gone is no reason not to start', (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'fulcrum-pool-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const program = join(directory, 'check');
  writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
  const story = withServers({ checks: [commandCheck(program)] });
  rmSync(program);
  t.is(story.restarted[0]?.services.size, 1);
  const refused = t.throws(() => story.edit(setHealth({ checks: [commandCheck(program)] })));
  t.is((refused as unknown as { field: string }).field, 'operations[0].set_health.health.checks[0].command.command[0]');
});

test('a policy that cannot be is refused, by the name of its field', (t) => {
  const story = withServers({});
  const refusal = (health: Partial<HealthPolicy__Output>) =>
    (t.throws(() => story.edit(setHealth(health))) as unknown as { field: string }).field;
  t.is(refusal({ quorum: 2, hysteresis: 2 }), 'operations[0].set_health.health.hysteresis');
  t.is(refusal({ mostOutPercent: 101 }), 'operations[0].set_health.health.most_out_percent');
  t.is(refusal({ sorryServerInhibit: true }), 'operations[0].set_health.health.sorry_server_inhibit');
  t.is(refusal({ notifyUp: [''] }), 'operations[0].set_health.health.notify_up[0]');
  t.is(
    refusal({ sorryServer: { key: server('2001:db8::1:80'), spec: serverSpec({ method: 'FORWARDING_METHOD_NAT' }) } }),
    'operations[0].set_health.health.sorry_server.key.address',
  );
});

function drainsIn({ services }: Model) {
  const { pool, servers } = services.get('TCP 192.0.2.1:80') ?? {};
  const weights = [...(pool?.servers.values() ?? [])].map(({ key, spec }) => `${serverId(key)}*${spec.weight}`);
  return { weights, drains: [...(servers?.values() ?? [])].map(({ drain }) => drain) };
}

test('a drain is weight 0 whatever checks say, and quorum and dynamic weights follow', (t) => {
  const story = withServers({ quorum: 3, sorryServer: sorry });
  t.deepEqual(story.edit(setDrain(web, one, {})), [`edit ${one}*0`]);
  t.is(story.list, `${two}*2 ${one}*0`);
  // What is left of the wanted weights is 2: the quorum cannot be more.
  t.true(story.model.services.get('TCP 192.0.2.1:80')?.pool?.quorumUp);
  t.deepEqual(story.find(one, { weight: 7 }), []);
  t.deepEqual(story.find(one, { share: 10 }), []);
  // It may fail, too, and comes back drained.
  t.deepEqual(story.find(one, down), [`delete ${one}`]);
  t.deepEqual(story.find(one, {}), [`add ${one}*0`]);
  t.deepEqual(story.edit(editServer(web, one, { weight: 5 })), [`edit ${one}*0`]);
  t.deepEqual(story.edit(setDrain(web, one, null)), [`edit ${one}*5`]);
  for (const model of story.restarted) t.deepEqual(drainsIn(model), drainsIn(story.model));
});

test('a drain begins and ends with checks, or goes on without them', (t) => {
  const story = withServers({});
  story.edit(setDrain(web, one, { timeoutMs: 60_000 }));
  t.deepEqual(story.edit(setHealth(null)), [`edit ${one}*0`, `edit ${two}*2`]);
  t.deepEqual(story.edit(setHealth({})), []);
  t.is(story.list, `${two}*2 ${one}*0`);
  for (const model of story.restarted) t.deepEqual(drainsIn(model), drainsIn(story.model));
  t.deepEqual(story.edit(deleteServer(web, one)), [`delete ${one}`]);
});

test('what is drained keeps its connections when the sorry server comes', (t) => {
  const story = withServers({ sorryServer: sorry }, [2]);
  t.deepEqual(story.edit(setDrain(web, one, {})), [`edit ${one}*0`, 'add 10.0.0.9:80*1']);
  t.deepEqual(story.edit(setDrain(web, one, null)), ['delete 10.0.0.9:80', `edit ${one}*2`]);
});

const agentLoad = (found: Partial<Load> = {}): Load => ({ ...firstLoad('agent'), reading: 'said', ...found });
const agent = {
  intervalMs: 0,
  timeoutMs: 0,
  address: '',
  port: 8081,
  source: '',
  kind: 'agent',
  agent: { send: '' },
} as const;

test('a share of the load: of the weight, or of what a check says, rounded down and at least 1', (t) => {
  const story = withServers({ load: agent }, [10, 2]);
  t.deepEqual(story.find(one, { load: agentLoad({ percent: 35 }) }), [`edit ${one}*3`]);
  t.deepEqual(story.find(one, { load: agentLoad({ percent: 35 }), weight: 100 }), [`edit ${one}*35`]);
  t.deepEqual(story.find(one, { load: agentLoad({ percent: 35 }), weight: 100, share: 10 }), [`edit ${one}*3`]);
  t.deepEqual(story.find(two, { load: agentLoad({ percent: 1 }) }), [`edit ${two}*1`]);
  t.deepEqual(story.find(two, { load: agentLoad({ percent: 400 }) }), [`edit ${two}*8`]);
  t.deepEqual(story.find(two, { load: agentLoad({ percent: 0 }) }), [`edit ${two}*0`]);
  t.deepEqual(story.edit(editServer(web, one, { weight: 0 })), [`edit ${one}*0`]);
  t.deepEqual(story.find(one, { load: agentLoad({ percent: 200 }) }), []);
});

test('a weight does not grow beyond the largest', (t) => {
  const story = withServers({ load: agent }, [2_000_000_000]);
  t.deepEqual(story.find(one, { load: agentLoad({ percent: 25_600 }) }), [`edit ${one}*2147483647`]);
});

test('an agent drains with weight 0, takes out for maintenance, and says that it is down', (t) => {
  const story = withServers({ load: agent });
  t.deepEqual(story.find(one, { load: agentLoad({ admin: 'drain' }) }), [`edit ${one}*0`]);
  t.deepEqual(story.find(one, { load: agentLoad({ admin: 'maint' }) }), [`delete ${one}`]);
  t.deepEqual(story.find(one, { load: agentLoad() }), [`add ${one}*2`]);
  t.deepEqual(story.find(one, { load: agentLoad({ down: 'agent: down' }) }), [`delete ${one}`]);
  // Who is up for its agent is not up for its checks.
  t.deepEqual(story.find(one, { ...down, load: agentLoad() }), []);
  t.deepEqual(story.find(one, { load: agentLoad() }), [`add ${one}*2`]);
  const kept = withServers({ load: agent, inhibitOnFailure: true });
  t.deepEqual(kept.find(one, { load: agentLoad({ admin: 'maint' }) }), [`edit ${one}*0`]);
  t.deepEqual(kept.find(one, { load: agentLoad({ down: 'agent: fail' }) }), []);
});

test('who may be taken out: a failure that an agent tells counts, maintenance does not', (t) => {
  const story = withServers({ load: agent, mostOutPercent: 40 }, [1, 1, 1]);
  t.deepEqual(story.find(one, { load: agentLoad({ down: 'agent: down', since: '2026-01-01T00:00:01Z' }) }), [
    `delete ${one}`,
  ]);
  t.deepEqual(story.find(two, { load: agentLoad({ down: 'agent: down', since: '2026-01-01T00:00:02Z' }) }), []);
  t.deepEqual(story.find(three, { load: agentLoad({ admin: 'maint' }) }), [`delete ${three}`]);
  t.is(story.list, `${two}*1`);
});

test('a busy pool does not lose its quorum, a drained one does', (t) => {
  const story = withServers({ load: agent, quorum: 40, sorryServer: sorry }, [20, 20]);
  t.deepEqual(story.find(one, { load: agentLoad({ percent: 10 }) }), [`edit ${one}*2`]);
  t.deepEqual(story.find(two, { load: agentLoad({ percent: 10 }) }), [`edit ${two}*2`]);
  t.deepEqual(story.find(two, { load: agentLoad({ percent: 0 }) }), [
    `delete ${one}`,
    `delete ${two}`,
    'add 10.0.0.9:80*1',
  ]);
});

test('maxconn is the upper threshold, and takes the lower one along where it would be above', (t) => {
  const story = withServers({ load: agent });
  const spec = () => story.model.services.get('TCP 192.0.2.1:80')?.pool?.servers.get(one)?.spec;
  story.edit(editServer(web, one, { weight: 2, upperThreshold: 100, lowerThreshold: 80 }));
  t.deepEqual(story.find(one, { load: agentLoad({ maxConnections: 90 }) }), [`edit ${one}*2`]);
  t.like(spec(), { weight: 2, upperThreshold: 90, lowerThreshold: 80 });
  t.deepEqual(story.find(one, { load: agentLoad({ maxConnections: 50 }) }), [`edit ${one}*2`]);
  t.like(spec(), { upperThreshold: 50, lowerThreshold: 0 });
  t.deepEqual(story.find(one, { load: agentLoad({ maxConnections: 50 }) }), []);
  story.find(one, { load: agentLoad() });
  t.like(spec(), { upperThreshold: 100, lowerThreshold: 80 });
});

const passive = {
  windowMs: 10_000,
  leastConnections: 20,
  unansweredPercent: 50,
  resetPercent: 0,
  ejectionMs: 30_000,
  mostEjectedPercent: 10,
};
const ejection = { since: '2026-01-01T00:00:01Z', until: '2026-01-01T00:00:31Z', reason: 'silent', times: 1 };

test('who is ejected has weight 0 and counts for the quorum; it comes back as any server', (t) => {
  const story = withServers({ passive, quorum: 4, sorryServer: sorry, slowStartMs: 1000 }, [2, 2]);
  t.deepEqual(story.find(one, { ejection }), [`edit ${one}*0`]);
  t.deepEqual(story.find(one, { ...down, ejection }), [`delete ${one}`, `delete ${two}`, 'add 10.0.0.9:80*1']);
  t.deepEqual(story.find(one, { ejection }), ['delete 10.0.0.9:80', `add ${one}*0`, `add ${two}*2`]);
  t.deepEqual(story.find(one, {}), [`edit ${one}*2`]);
});

test('an ejection holds through edits and restarts as long as somebody looks', (t) => {
  const story = withServers({ passive });
  story.find(one, { ejection });
  const known = (model: Model) => model.services.get('TCP 192.0.2.1:80')?.servers.get(one)?.condition?.ejection;
  for (const model of story.restarted) t.deepEqual(known(model), ejection);
  t.deepEqual(story.edit(setHealth({ passive: { ...passive, windowMs: 5_000 } })), []);
  t.deepEqual(known(story.model), ejection);
  t.deepEqual(story.edit(setHealth({ passive: { ...passive, windowMs: 5_000 }, checks: [] })), []);
  t.deepEqual(known(story.model), ejection);
  t.deepEqual(story.edit(setHealth({})), [`edit ${one}*2`]);
  t.is(known(story.model), undefined);
});

test('what was said holds through edits and restarts, until there is another kind of source', (t) => {
  const story = withServers({ load: agent, checks: [] });
  const found = agentLoad({ percent: 50, admin: 'drain' });
  story.find(one, { checked: false, load: found });
  const known = (model: Model) => model.services.get('TCP 192.0.2.1:80')?.servers.get(one)?.condition?.load;
  for (const model of story.restarted) t.deepEqual(known(model), found);
  story.edit(setHealth({ load: { ...agent, intervalMs: 500 }, checks: [] }));
  t.deepEqual(known(story.model), found);
  story.edit(setHealth({ load: { ...agent, intervalMs: 500 } }));
  t.deepEqual(known(story.model), found);
  const { agent: _agent, ...rest } = agent;
  t.deepEqual(story.edit(setHealth({ load: { ...rest, kind: 'orca', orca: { metric: '', tls: null } } })), [
    `edit ${one}*2`,
  ]);
  t.is(known(story.model), undefined);
});

test('a source that cannot be asked is refused, by the name of its field', (t) => {
  const story = withServers({});
  const refused = t.throws(() => story.edit(setHealth({ load: { ...agent, port: 0 } })));
  t.is((refused as unknown as { field: string }).field, 'operations[0].set_health.health.load.port');
});
