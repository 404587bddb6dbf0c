// SPDX-License-Identifier: Apache-2.0
// Handlers of the calls about single packets: what would happen to one, and what does.
import type { DirectorServiceDefinition } from '../generated/fulcrum/v1/DirectorService.js';
import type { TraceResponse } from '../generated/fulcrum/v1/TraceResponse.js';
import type { DirectorStreams } from '../grpc/client.js';
import type { CallContext, Handlers } from '../grpc/handlers.js';
import { explainedPool } from './explained_pool.js';
import { realServerMessage, stateWord } from './messages.js';
import { type Server, serviceId } from './nouns.js';
import type { ServiceContext } from './service_context.js';
import { outOfRange, readServiceKey } from './validate.js';

type AllHandlers = Handlers<DirectorServiceDefinition, DirectorStreams>;
export type TraceHandlers = Pick<AllHandlers, 'explain' | 'trace'>;
type RequestOf<M extends keyof TraceHandlers> = Parameters<TraceHandlers[M]>[0];

const usualCount = 1_000;
const mostCount = 1_000_000;
/** How long the dataplane waits for a packet before it answers that there was none. */
const waitMs = 200;
const stopTimeoutMs = 2_000;

export function traceHandlers(context: ServiceContext): TraceHandlers {
  return {
    explain: (request, call) => explain(context, request, call),
    trace: (request, call) => trace(context, request, call),
  };
}

/** With what is known of the pool's servers beside. */
async function explain(
  { director, reconciler, liveOf }: ServiceContext,
  { packet }: RequestOf<'explain'>,
  { signal }: CallContext,
) {
  const { explanation } = await reconciler.dataplane().explain({ packet }, { signal });
  if (!explanation?.service) return { explanation };
  const { model, lineage } = director.state;
  const service = model.services.get(serviceId(readServiceKey(explanation.service, 'service')));
  if (!service) return { explanation };
  const conditionOf = (server: Server): string => {
    const reason = realServerMessage(server, lineage, service, liveOf).condition?.reason ?? '';
    return reason === '' ? '' : `${stateWord(server, service)}: ${reason}`;
  };
  return { explanation: explainedPool(explanation, service, conditionOf) };
}

/** Ends at the dataplane, too, when the caller has gone. */
async function* trace(
  { reconciler, audit }: ServiceContext,
  { filter, count: wanted }: RequestOf<'trace'>,
  call: CallContext,
): AsyncGenerator<TraceResponse> {
  const { signal } = call;
  const count = wanted || usualCount;
  if (count > mostCount) throw outOfRange('count', `${count} is more than ${mostCount}`);
  const dataplane = reconciler.dataplane();
  const { id } = await dataplane.startTrace({ filter, count }, { signal });
  audit.called(call, `trace of ${count} packets, filter ${JSON.stringify(filter)}`);
  try {
    let endings = 0;
    // Neither packet nor loss: from here on packets are seen.
    yield { lost: '0' };
    for (let left = count; left > 0 && !signal.aborted; ) {
      const { packets, lost, done } = await dataplane.readTrace({ id, waitMs }, { signal });
      if (lost !== '0') yield { lost };
      for (const packet of packets) yield { packet };
      left -= packets.length;
      // Of as many as were taken some found no room, or the last one is on its way just now.
      if (done && packets.length === 0 && ++endings > 1) return;
    }
  } finally {
    await dataplane.stopTrace({ id }, { timeoutMs: stopTimeoutMs }).catch(() => {});
  }
}
