// SPDX-License-Identifier: Apache-2.0
// fulcrum trace: packets as they come by, a line each, and as a capture with comments.
import { closeSync, openSync, writeSync } from 'node:fs';
import type { Command } from 'commander';
import { formatEndpoint, formatServerKey, formatServiceKey, protocolName } from '../config/keys.js';
import { verdictMeanings } from '../config/verdict_meanings.js';
import type { Explanation__Output } from '../generated/fulcrum/v1/Explanation.js';
import type { TracedPacket__Output } from '../generated/fulcrum/v1/TracedPacket.js';
import { type Cli, globalOptions, wholeNumber, withDirector } from './cli.js';
import { CommandError } from './exit_codes.js';
import { chunkTypes, costText, explanationView, flagBits, methodOf } from './explain.js';
import { wrongChecksum } from './frame_checksum.js';
import { jsonText, type View, yamlText } from './output.js';
import { interfaceBlock, packetBlock, sectionBlock } from './pcapng.js';

interface Options {
  readonly client?: string;
  readonly vip?: string;
  readonly server?: string;
  readonly verdict?: string;
  readonly count: number;
  readonly pcap?: string;
}

const usualCount = 1_000;
const mostCount = 1_000_000;

export function register(program: Command, cli: Cli): void {
  program
    .command('trace')
    .description('print packets as they come by, and what becomes of them, until Ctrl-C or there are enough')
    .option('--client <prefix>', 'from or to this address, or one of this prefix; all that is given must match')
    .option('--vip <address>', 'from or to this VIP, or of a connection to it')
    .option('--server <address>', 'from or to this real server, or of a connection to it')
    .option('--verdict <verdict>', 'only those that leave by it, as "fulcrum stats verdicts" names it')
    .option('--count <number>', 'end after so many', wholeNumber(1, mostCount), usualCount)
    .option('--pcap <file>', 'write the frames, before and after, to a pcapng file that Wireshark opens')
    .addHelpText(
      'after',
      `
A line says when, by which worker and port, which packet, of which connection or by which choice, to where, and by which
verdict it left. While somebody traces, each packet that matches is handled by itself, of a worker 64 at once and eight a
millisecond at most; what comes faster, or than it can be read, is not held up, but missing in the trace, which says how many. What is
lost between workers (handover_full) is not seen. One trace at a time.
-o json prints one JSON object a line for each packet; frames are in --pcap only. In the capture every frame that came
in has its line as a comment, and what went out for it follows. A packet whose TCP or UDP checksum is wrong is forwarded
as LVS does, and its line says so: on veth, "ethtool -K DEV tx off" where it comes from.

Examples:
  fulcrum trace --client 198.51.100.7 --count 20
  fulcrum trace --vip 203.0.113.10 --pcap flow.pcapng
  fulcrum trace --verdict malformed_ip_checksum -o json`,
    )
    .action((options, command) => trace(cli, command, options));
}

async function trace(cli: Cli, command: Command, options: Options): Promise<void> {
  const { output } = globalOptions(command);
  const { client = '', vip = '', server = '', verdict = '', count } = options;
  const capture = options.pcap === undefined ? undefined : new Capture(options.pcap);
  try {
    await withDirector(cli, command, async (director) => {
      const request = { filter: { client, vip, server, verdict }, count };
      for await (const { packet, lost } of director.trace(request, { signal: cli.signal })) {
        if (packet === null) {
          const missing = `${lost} packets came too fast and are missing here`;
          cli.complain(lost === '0' ? 'tracing; Ctrl-C ends it' : missing);
          continue;
        }
        capture?.add(packet);
        if (output === 'json') await cli.write(`${jsonText(viewOf(packet))}\n`);
        else if (output === 'yaml') await cli.write(`---\n${await yamlText(viewOf(packet))}`);
        else await cli.write(`${lineOf(packet)}\n`);
      }
    });
  } finally {
    capture?.close();
  }
}

function viewOf(packet: TracedPacket__Output): View {
  const { explanation, connection } = packet;
  return {
    time: packet.time,
    worker: packet.worker,
    port: packet.port,
    handed_over: packet.handedOver,
    packet: packetText(packet),
    ...(explanation && { before: explanationView(explanation) }),
    ...(connection && { state: connection.state }),
    bytes: packet.before.length,
    frames_sent: packet.after.length,
    verdict: packet.verdict,
    drop: packet.drop,
    reasons: reasonsOf(packet),
  };
}

function lineOf(packet: TracedPacket__Output): string {
  const time = packet.time.slice(11, -4);
  const at = `worker ${packet.worker}${packet.handedOver ? ' (handed over)' : ''}`;
  const end = packet.verdict === '' ? 'waits' : packet.verdict + (packet.drop ? ' (dropped)' : '');
  const parts = [packetText(packet), knownText(packet), wayText(packet)].filter((text) => text !== '');
  const why = reasonsOf(packet).join('; ');
  return `${time} ${packet.port} ${at}: ${parts.join('; ')}: ${end}${why === '' ? '' : ` (${why})`}`;
}

/** Why it left as it did, if that needs saying; and what is wrong with the packet though it went on. */
function reasonsOf({ explanation, verdict, drop, before }: TracedPacket__Output): readonly string[] {
  const { meaning = '', remedy = '' } = verdictMeanings[verdict] ?? {};
  const meant = remedy === '' ? meaning : `${meaning}: ${remedy}`;
  const reason = explanation?.reason || (drop ? meant : '');
  const damage = drop ? undefined : wrongChecksum(before);
  const damaged = damage && `its ${damage} checksum is wrong: who receives it will drop it in silence`;
  return [reason, damaged ?? ''].filter((text) => text !== '');
}

/** "TCP 198.51.100.7:40000 > 203.0.113.10:80 SYN 60 bytes". */
function packetText({ packet, before }: TracedPacket__Output): string {
  if (packet === null) return `${before.length} bytes`;
  const { source, sourcePort, destination, destinationPort, tcpFlags, sctpChunk, length } = packet;
  const flags = Object.entries(flagBits).filter(([, bit]) => ((tcpFlags ?? 0) & bit) !== 0);
  const chunks = Object.entries(chunkTypes).filter(([, type]) => type === sctpChunk);
  const names = [...flags, ...chunks].map(([name]) => name.toUpperCase()).join(',');
  const ends = `${formatEndpoint(source, sourcePort)} > ${formatEndpoint(destination, destinationPort)}`;
  return `${protocolName(packet.protocol).toUpperCase()} ${ends}${names === '' ? '' : ` ${names}`} ${length} bytes`;
}

/** Of which connection it is, or what made it begin one. */
function knownText({ explanation, connection: after }: TracedPacket__Output): string {
  if (explanation === null) return '';
  const { connection, service, scheduler, fwmark, byTemplate, server } = explanation;
  if (connection) {
    const moved = after && after.state !== connection.state ? ` → ${after.state}` : '';
    return `${connection.state}${moved}${explanation.isReply ? ', from its server' : ''}`;
  }
  if (!service) return '';
  const mark = fwmark === 0 ? '' : ` by mark ${fwmark}`;
  const why = byTemplate ? 'its template has' : `${scheduler} takes`;
  const chosen = server ? `, ${why} ${formatServerKey(server)}${byTemplate ? '' : costsText(explanation)}` : '';
  return `${formatServiceKey(service)}${mark}${chosen}${after ? `, → ${after.state}` : ''}`;
}

/** " (cost 0.5; 10.0.0.12:80 256, 10.0.0.13:80 257)": the chosen one's, and those of the others. */
function costsText({ candidates, server }: Explanation__Output): string {
  const key = server ? formatServerKey(server) : '';
  const costs = candidates.flatMap((one) =>
    one.key && one.cost !== undefined ? [[formatServerKey(one.key), costText(one.cost)] as const] : [],
  );
  const own = costs.find(([name]) => name === key)?.[1];
  const others = costs.filter(([name]) => name !== key).map(([name, cost]) => `${name} ${cost}`);
  if (own === undefined) return '';
  return others.length === 0 ? ` (cost ${own})` : ` (cost ${own}; ${others.join(', ')})`;
}

function wayText({ explanation }: TracedPacket__Output): string {
  if (explanation === null || explanation.neighbor === '') return '';
  const { server, serverPort, neighbor, interface: by, mac } = explanation;
  const to = server ? `${methodOf(explanation)} to ${formatEndpoint(server.address, serverPort)}, ` : '';
  return `${to}next hop ${neighbor} by ${by}${mac === '' ? '' : ` at ${mac}`}`;
}

/** The pcapng file: an interface for each port as it is met, and one for what goes out. */
class Capture {
  readonly #file: number;
  readonly #interfaces = new Map<string, number>();

  constructor(path: string) {
    try {
      this.#file = openSync(path, 'w', 0o600);
    } catch (error) {
      throw new CommandError(`--pcap ${path}: ${(error as Error).message}`);
    }
    writeSync(this.#file, sectionBlock('fulcrum trace'));
  }

  add(packet: TracedPacket__Output): void {
    const at = nanosecondsOf(packet.time);
    const by = this.#interface(packet.port);
    const frame = { interface: by, at, bytes: packet.before, direction: 'in', comment: lineOf(packet) } as const;
    writeSync(this.#file, packetBlock(frame));
    const out = this.#interface('out');
    for (const bytes of packet.after)
      writeSync(this.#file, packetBlock({ interface: out, at, bytes, direction: 'out', comment: packet.verdict }));
  }

  close(): void {
    closeSync(this.#file);
  }

  #interface(name: string): number {
    const known = this.#interfaces.get(name);
    if (known !== undefined) return known;
    writeSync(this.#file, interfaceBlock(name));
    this.#interfaces.set(name, this.#interfaces.size);
    return this.#interfaces.size - 1;
  }
}

/** RFC 3339 with nine digits of a second. */
function nanosecondsOf(time: string): bigint {
  const seconds = Date.parse(`${time.slice(0, 19)}Z`) / 1000;
  return BigInt(seconds) * 1_000_000_000n + BigInt(time.slice(20, 29));
}
