// SPDX-License-Identifier: Apache-2.0
// Packets as independent tools see them: tcpdump takes them off a device, tshark judges them.

import { join } from 'node:path';
import { run, type Task } from '../../src/lab/command.js';
import type { Scene } from './scene.js';

/** What tshark says of the checksums in a capture. */
export interface ChecksumVerdict {
  readonly packets: number;
  /** Packets with a wrong IPv4, TCP, UDP or ICMP checksum. */
  readonly wrong: readonly string[];
}

const validation = ['ip', 'tcp', 'udp'].flatMap((protocol) => ['-o', `${protocol}.check_checksum:TRUE`]);
const wrong = ['ip', 'tcp', 'udp', 'icmp'].map((protocol) => `${protocol}.checksum.status == "Bad"`).join(' || ');
/** 0xffff in place of 0x0000 is the same number, but tshark does not like it (RFC 1624). Linux sends it. */
const otherZero = 'tcp.checksum.ffff';

export class Capture {
  readonly #task: Task;
  readonly #file: string;

  private constructor(task: Task, file: string) {
    this.#task = task;
    this.#file = file;
  }

  /** Returns when packets of a device are being taken; the filter is tcpdump's. */
  static async start(scene: Scene, host: string, device: string, filter = ''): Promise<Capture> {
    const file = join(scene.directory, `${host}-${device}-${Date.now()}.pcap`);
    const command = `tcpdump -i ${device} -n -U --immediate-mode -B 65536 -Z root -w ${file} ${filter}`;
    const task = scene.start(host, command);
    await task.line((line) => line.includes('listening on'), 10_000);
    return new Capture(task, file);
  }

  /** Resolves when a packet that tcpdump's filter takes has been seen since the start. */
  static async packet(scene: Scene, host: string, device: string, filter: string, timeoutMs = 10_000) {
    const task = scene.start(host, `tcpdump -i ${device} -n -l --immediate-mode -c 1 -e '${filter}'`);
    await task.line((line) => line.includes('listening on'), 10_000);
    const seen = task.line((line) => / > |ethertype/.test(line), timeoutMs);
    // Whoever waits for it later is told; until then it is nobody's fault.
    seen.catch(() => {});
    return { seen };
  }

  /** Ends it; fails if the kernel could not keep up, because then nobody knows what was missed. */
  async stop(): Promise<void> {
    this.#task.signal('SIGINT');
    await this.#task.ended;
    const dropped = /(\d+) packets dropped by kernel/.exec(this.#task.tail.join('\n'))?.[1];
    if (dropped !== '0') throw new Error(`${this.#file}: the capture missed ${dropped} packets`);
  }

  /** Fields of the packets that tshark's display filter takes, one line a packet. */
  async fields(filter: string, ...fields: readonly string[]): Promise<readonly string[]> {
    const named = fields.flatMap((field) => ['-e', field]);
    const text = await run(['tshark', '-n', '-r', this.#file, ...validation, '-Y', filter, '-T', 'fields', ...named]);
    return text.split('\n').filter((line) => line !== '');
  }

  async count(filter: string): Promise<number> {
    return (await this.fields(filter, 'frame.number')).length;
  }

  /** `hosts` are addresses whose kernels wrote what they sent, as against what the director wrote. */
  async checksums(...hosts: readonly string[]): Promise<ChecksumVerdict> {
    const columns = ['frame.number', 'ip.src', 'ip.dst', '_ws.col.Protocol', '_ws.col.Info'];
    const theirs = hosts.length === 0 ? '' : ` && !(${otherZero} && ip.src in {${hosts.join(', ')}})`;
    return {
      packets: await this.count('tcp || udp || icmp'),
      wrong: await this.fields(`(${wrong})${theirs}`, ...columns),
    };
  }
}
