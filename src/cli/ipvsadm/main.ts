// SPDX-License-Identifier: Apache-2.0
// The ipvsadm executable.
import { openDirector } from '../../grpc/client.js';
import { processStreams } from '../streams.js';
import { systemPortNames, systemResolver, systemReverseLookup } from './names.js';
import { type Host, ipvsadm } from './run.js';

const portNames = systemPortNames();

const host: Host = {
  ...processStreams(),
  connect: () => openDirector(),
  portNames,
  resolver: systemResolver(portNames),
  reverseLookup: () => systemReverseLookup(),
};

process.exitCode = await ipvsadm(process.argv.slice(2), host);
