// SPDX-License-Identifier: Apache-2.0
import type { MessageTypeDefinition } from '@grpc/proto-loader';
import test from 'ava';
import { parseStartConfig } from '../../../src/dataplane/start_config.js';
import { FulcrumError } from '../../../src/grpc/errors.js';
import { loadDataplaneServices } from '../../../src/grpc/loader.js';

const { definitions } = loadDataplaneServices();
const startConfig = definitions['fulcrum.dataplane.v1.StartConfig'] as MessageTypeDefinition<object, object>;

function parse(json: object | string) {
  const text = typeof json === 'string' ? json : JSON.stringify(json);
  return parseStartConfig(text, definitions);
}

test('every kind of field arrives', (t) => {
  const json = {
    housekeepingCpus: [0, 1],
    hugepages: 'HUGEPAGES_OFF',
    connections: '18446744073709551615',
    memory_mb: 64,
    forwarding: false,
    ports: [{ name: 'wan', device: 'net_af_packet0,iface=wan' }],
    interfaces: [{ name: 'wan', port: 'wan', addresses: [{ prefix: '10.0.0.1/24' }] }],
    idle: 2,
    routes: null,
  };
  t.like(startConfig.deserialize(parse(json).bytes), {
    housekeepingCpus: [0, 1],
    hugepages: 'HUGEPAGES_OFF',
    connections: '18446744073709551615',
    memoryMb: 64,
    forwarding: false,
    idle: 'IDLE_POLICY_POLL',
    ports: [{ name: 'wan', device: 'net_af_packet0,iface=wan' }],
  });
});

test('a kernel port arrives with the limits that are given, 0 among them', (t) => {
  const kernel = { name: 'fk0', driver: 'KERNEL_DRIVER_TAP', limits: { connect: 0, rest: 7 } };
  const { bytes } = parse({ ports: [{ name: 'wan', kernel }, { name: 'lan' }] });
  const { ports } = startConfig.deserialize(bytes) as { ports: readonly { kernel?: { limits?: object } }[] };
  t.like(ports[0]?.kernel, { name: 'fk0', driver: 'KERNEL_DRIVER_TAP', limits: { connect: 0, rest: 7 } });
  t.false('_control' in (ports[0]?.kernel?.limits ?? {}));
  t.is(ports[1]?.kernel ?? undefined, undefined);
});

test('the host learns only whether it is a test', (t) => {
  t.true(parse({ testing: true }).testing);
  t.false(parse({}).testing);
});

const wrong: readonly (readonly [string, object | string, string])[] = [
  ['no JSON', '{', 'REASON_INVALID '],
  ['a list', [], 'REASON_INVALID '],
  ['an unknown field', { portz: [] }, 'REASON_INVALID portz'],
  ['an unknown field further down', { ports: [{}, { nam: 'x' }] }, 'REASON_INVALID ports[1].nam'],
  ['a field under both its names', { memoryMb: 1, memory_mb: 2 }, 'REASON_INVALID memory_mb'],
  ['text for a list', { ports: 'wan' }, 'REASON_INVALID ports'],
  ['text for a number', { memoryMb: 'much' }, 'REASON_INVALID memoryMb'],
  ['half a number', { memoryMb: 0.5 }, 'REASON_INVALID memoryMb'],
  ['a negative number', { workerCpus: [-1] }, 'REASON_OUT_OF_RANGE workerCpus[0]'],
  ['a number too large', { memoryMb: 4_294_967_296 }, 'REASON_OUT_OF_RANGE memoryMb'],
  ['a number for text', { ports: [{ name: 1 }] }, 'REASON_INVALID ports[0].name'],
  ['text for true', { testing: 'true' }, 'REASON_INVALID testing'],
  ['an unknown limit', { ports: [{ kernel: { limits: { bgp: 1 } } }] }, 'REASON_INVALID ports[0].kernel.limits.bgp'],
  ['an unknown enum value', { idle: 'IDLE_POLICY_NAP' }, 'REASON_INVALID idle'],
];

for (const [name, json, expected] of wrong) {
  test(`refused with its path: ${name}`, (t) => {
    const error = t.throws(() => parse(json), { instanceOf: FulcrumError });
    t.is(`${error?.reason} ${error?.field}`, expected);
  });
}
