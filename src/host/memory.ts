// SPDX-License-Identifier: Apache-2.0
// How much memory in huge pages a director takes: packet buffers and DPDK's own tables, and each worker's connection
// tables. The dataplane takes the same measures (dataplane/core/start_plan.cc, dataplane/conn/connection_table.cc); a
// test holds the two together.

import type { StartConfig } from '../generated/fulcrum/dataplane/v1/StartConfig.js';

export const hugepageMb = 2;

const megabyte = 2 ** 20;
const cacheLine = 64;
const usualConnections = 1_000_000;
/** More than its share, for flows are not dealt out evenly. */
const shareHeadroomPercent = 10;
const kernelQueuePackets = 5 * 256;

export interface MemoryNeed {
  /** Packet buffers, routes, rings: from DPDK's heap. */
  readonly dpdkMb: number;
  /** Of one worker's connection tables. */
  readonly workerMb: number;
  readonly workers: number;
  /** Pages of all. */
  readonly pages: number;
}

export function memoryNeed(config: StartConfig): MemoryNeed {
  const workers = config.workerCpus?.length ?? 1;
  const dpdkMb = config.memoryMb || dpdkMegabytes(config, workers);
  const tables = tablePages(Number(config.connections) || usualConnections, workers);
  const pages = Math.ceil(dpdkMb / hugepageMb) + workers * tables;
  return { dpdkMb, workerMb: tables * hugepageMb, workers, pages };
}

function dpdkMegabytes({ ports = [], interfaces = [], packetBuffers = 0 }: StartConfig, workers: number): number {
  const withKernel = ports.filter(({ kernel }) => kernel);
  const names = new Set(withKernel.map(({ name }) => name));
  const kernelInterfaces = interfaces.filter(({ port }) => names.has(port)).length;
  const estimated =
    ports.length * workers * 2048 + workers * 8192 + kernelInterfaces * workers * kernelQueuePackets + 4096;
  const kernelBuffers = withKernel.reduce((sum, port) => sum + 2048 + Math.max(port.txDescriptors ?? 0, 1024), 0);
  const largest = ports.reduce((most, { mtu = 0 }) => Math.max(most, mtu), 1500);
  // Room for Ethernet, a VLAN tag and 128 bytes before them, but what DPDK has at least; rte_mbuf and the pool's own.
  const bufferBytes = Math.max(2048 + 128, largest + 18 + 4 + 128) + 5 * cacheLine;
  const pools = Math.floor((((packetBuffers || estimated) + kernelBuffers) * bufferBytes) / megabyte);
  return pools + 1 + 288 + (withKernel.length > 0 ? 152 : 0) + 8 * workers;
}

/** A worker's tables of both families. */
function tablePages(connections: number, workers: number): number {
  const share = Math.floor(connections / workers);
  const capacity = workers === 1 ? share : share + Math.floor((share * shareHeadroomPercent) / 100) + 16;
  const home = Math.floor((capacity * 2 + 5) / 6) + 1;
  const buckets = (home + Math.floor(home / 8) + 16) * cacheLine;
  // A hot line, or two, and a record of 32 bytes for each; the arena's header and alignment.
  const bytes = (line: number): number => (line + 32) * capacity + buckets + 5 * cacheLine;
  const pages = (line: number): number => Math.ceil(bytes(line) / megabyte / hugepageMb);
  return pages(64) + pages(128);
}
