// SPDX-License-Identifier: Apache-2.0
// A connection to the dataplane for one attempt: a client of its own, without grpc-js's shared subchannels, whose own
// backoff would keep a dataplane that is back from being found for a second and more.
import type { DataplaneServiceDefinition } from '../generated/fulcrum/dataplane/v1/DataplaneService.js';
import { type DataplaneClient, promiseClient, socketTarget } from '../grpc/client.js';

export type { DataplaneClient };

/** Returns a function that makes a new client for the socket. */
export function dataplaneConnector(socket: string, dataplane: DataplaneServiceDefinition): () => DataplaneClient {
  const target = socketTarget(socket);
  return () =>
    promiseClient<DataplaneServiceDefinition, 'WatchEvents'>(target, dataplane, {
      'grpc.use_local_subchannel_pool': 1,
    });
}
