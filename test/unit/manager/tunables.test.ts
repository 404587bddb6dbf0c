// SPDX-License-Identifier: Apache-2.0
import { join } from 'node:path';
import test from 'ava';
import protobuf from 'protobufjs';
import { timeouts } from '../../../src/config/timeouts.js';
import { tunables, withDefaults } from '../../../src/config/tunables.js';
import { projectRoot } from '../../../src/grpc/loader.js';
import { applyOperations, emptyModel } from '../../../src/manager/model.js';
import { refusal, setTunables } from './support/operations.js';

// What Linux 6.1 has below net.ipv4.vs, and net.ipv4 for the rest, in a namespace that nobody has touched.
const linuxDefaults: Readonly<Record<string, number>> = {
  expire_nodest_conn: 0,
  expire_quiescent_template: 0,
  conn_reuse_mode: 1,
  sloppy_tcp: 0,
  sloppy_sctp: 0,
  schedule_icmp: 0,
  nat_icmp_send: 0,
  snat_reroute: 1,
  pmtu_disc: 1,
  cache_bypass: 0,
  ignore_tunneled: 0,
  backup_only: 0,
  conntrack: 0,
  lblc_expiration: 86_400,
  lblcr_expiration: 86_400,
  secure_tcp: 0,
  drop_entry: 0,
  drop_packet: 0,
  amemthresh: 1_024,
  am_droprate: 10,
  run_estimation: 1,
  icmp_msgs_per_sec: 1_000,
  icmp_msgs_burst: 50,
  ipfrag_high_thresh: 4_194_304,
  ipfrag_time: 30,
  ip6frag_time: 60,
};

// LVS has no overload but a full memory.
const ownDefaults: Readonly<Record<string, number>> = {
  new_connections_per_second: 0,
  stateless_spread: 1,
  stateless_grace: 1,
};

test('names and defaults are those of Linux, but for what Linux has not', (t) => {
  const defaults = withDefaults({});
  t.deepEqual(Object.fromEntries(tunables.map(({ name, field }) => [name, defaults[field]])), {
    ...linuxDefaults,
    ...ownDefaults,
  });
});

test('tables and messages have the same fields', (t) => {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => join(projectRoot, 'proto', target);
  const types = root.loadSync('fulcrum/v1/types.proto');
  const fields = (message: string) => types.lookupType(`fulcrum.v1.${message}`).fieldsArray.map(({ name }) => name);
  t.deepEqual(
    tunables.map(({ field }) => field),
    fields('Tunables'),
  );
  t.deepEqual(
    timeouts.map(({ field }) => field),
    fields('Timeouts'),
  );
});

test('the model keeps what is not at its default', (t) => {
  const first = applyOperations(emptyModel, [setTunables({ sloppyTcp: 1, connReuseMode: 1 })]);
  t.deepEqual(first.model.tunables, { sloppyTcp: 1 });
  t.deepEqual(first.carriedOut, [{ setTunables: { sloppyTcp: 1, connReuseMode: 1 } }]);
  t.true(first.touched.tunables);
  t.is(first.model.revision, emptyModel.revision + 1);
  const second = applyOperations(first.model, [setTunables({ sloppyTcp: 0, pmtuDisc: 0 })]);
  t.deepEqual(second.model.tunables, { pmtuDisc: 0 });
});

test('who writes 2 means the automatic mode, 1', (t) => {
  const { model } = applyOperations(emptyModel, [setTunables({ secureTcp: 2, dropEntry: 3, dropPacket: 2 })]);
  t.deepEqual(model.tunables, { secureTcp: 1, dropEntry: 3, dropPacket: 1 });
});

for (const { name, field, minimum, maximum, initial, unsupported } of tunables) {
  test(`${name}: its range, both ends in it`, (t) => {
    const at = (value: number) => () => applyOperations(emptyModel, [setTunables({ [field]: value })]);
    for (const end of [minimum, maximum]) {
      const expected =
        unsupported === undefined || end === initial
          ? 'not refused'
          : `REASON_NOT_SUPPORTED operations[0].set_tunables.${name}`;
      t.is(refusal(at(end)), expected);
    }
    t.is(refusal(at(maximum + 1)), `REASON_OUT_OF_RANGE operations[0].set_tunables.${name}`);
    if (minimum > 0) t.is(refusal(at(minimum - 1)), `REASON_OUT_OF_RANGE operations[0].set_tunables.${name}`);
  });
}

test('what is not supported says why', (t) => {
  t.throws(() => applyOperations(emptyModel, [setTunables({ conntrack: 1 })]), { message: /no netfilter connection/ });
  t.throws(() => applyOperations(emptyModel, [setTunables({ backupOnly: 1 })]), {
    message: /no connection synchronisation/,
  });
});
