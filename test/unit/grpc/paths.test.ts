// SPDX-License-Identifier: Apache-2.0
import { statSync } from 'node:fs';
import test from 'ava';
import {
  defaultStateDirectory,
  findManagerSocket,
  networkNamespaceInode,
  networkNamespaceName,
  runPaths,
} from '../../../src/grpc/paths.js';

test('sockets are found by the inode of the network namespace', (t) => {
  const inode = statSync('/proc/self/ns/net').ino;
  t.is(networkNamespaceInode(), inode);
  t.deepEqual(runPaths(), {
    directory: `/run/fulcrum/${inode}`,
    managerSocket: `/run/fulcrum/${inode}/manager.sock`,
    dataplaneSocket: `/run/fulcrum/${inode}/dataplane.sock`,
  });
});

test('a socket that is named goes before FULCRUM_SOCKET, and that before the default', (t) => {
  t.deepEqual(findManagerSocket('/a', { FULCRUM_SOCKET: '/b' }), { path: '/a', byNamespace: false });
  t.deepEqual(findManagerSocket(undefined, { FULCRUM_SOCKET: '/b' }), { path: '/b', byNamespace: false });
  t.deepEqual(findManagerSocket(undefined, { FULCRUM_SOCKET: '' }), {
    path: runPaths().managerSocket,
    byNamespace: true,
  });
});

test('the state is named after the namespace', (t) => {
  t.is(defaultStateDirectory(), `/var/lib/fulcrum/${networkNamespaceName()}`);
});
