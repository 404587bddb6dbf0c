// SPDX-License-Identifier: Apache-2.0
// One serial line to an agent in the guest: requests one after another, each with its answer. See guest/agent.c.
import type { Duplex } from 'node:stream';
import { type Device, type Frame, splitFrame } from '../frames.js';

export interface Ran {
  readonly rc: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** The guest has ended, or it does not answer. Whoever asked may start another one. */
export class GuestLost extends Error {}

interface Answer {
  /** 0: done, 1: refused, 2: the next piece is asked for. */
  readonly status: number;
  readonly microseconds: number;
  readonly body: Buffer;
}

interface Waiter {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

const devices: readonly Device[] = ['cl', 'rs'];
/** Beyond what it waits for by itself. */
const patienceMs = 20_000;
/** A line closes a little before the end of the guest is known. */
const graceMs = 500;
/** Of a long request, see receive() of the agent. */
const pieceBytes = 2048;
const askForMore = 2;

export class AgentLine {
  readonly #stream: Duplex;
  #received: Buffer = Buffer.alloc(0);
  #waiter: Waiter | undefined;
  #lost: GuestLost | undefined;
  #microseconds = 0;

  constructor(stream: Duplex) {
    this.#stream = stream;
    stream.on('data', (bytes: Buffer) => this.#receive(bytes));
    for (const event of ['error', 'close', 'end']) {
      // Whoever knows why says so first.
      stream.on(event, () => setTimeout(() => this.lose(new GuestLost('its line is closed')), graceMs).unref());
    }
  }

  /** The guest's clock at the last answer, in milliseconds. */
  get now(): number {
    return this.#microseconds / 1000;
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /** Nothing is answered any more, for this reason. */
  lose(reason: GuestLost): void {
    this.#lost ??= reason;
    this.#waiter?.reject(this.#lost);
    this.#waiter = undefined;
  }

  /** The agent says once, by itself, that it is there. */
  async hello(): Promise<void> {
    await this.#answer(patienceMs);
  }

  /** An empty network namespace with the two taps. */
  async newWorld(): Promise<void> {
    await this.#ask('N', []);
  }

  async loadModule(path: string): Promise<void> {
    await this.#ask('M', [string(path)]);
  }

  async writeFile(path: string, content: string): Promise<void> {
    await this.#ask('W', [string(path), string(content)]);
  }

  /** Frames into a port; those that came out of both. */
  async inject(dev: Device, frames: readonly Buffer[]): Promise<readonly Frame[]> {
    return readFrames(await this.#ask('I', [Buffer.from([devices.indexOf(dev)]), ...frames.map(string)]));
  }

  /** What came out by itself, after that time. */
  async wait(milliseconds: number): Promise<readonly Frame[]> {
    return readFrames(await this.#ask('D', [number(milliseconds)], milliseconds));
  }

  async run(words: readonly string[], stdin = ''): Promise<Ran> {
    const body = await this.#ask('R', [number(words.length), ...words.map(string), string(stdin)]);
    const outSize = body.readUInt32LE(4);
    return {
      rc: body.readUInt32LE(0),
      stdout: body.toString('utf8', 8, 8 + outSize),
      stderr: body.toString('utf8', 12 + outSize),
    };
  }

  async #ask(operation: string, parts: readonly Buffer[], willWaitMs = 0): Promise<Buffer> {
    if (this.#lost !== undefined) throw this.#lost;
    if (this.#waiter !== undefined) throw new Error('a line takes one request at a time');
    const request = Buffer.concat([Buffer.from(operation), ...parts]);
    this.#stream.write(number(request.length));
    let answer: Answer | undefined;
    for (let at = 0; at < request.length; at += pieceBytes) {
      const answered = this.#answer(willWaitMs + patienceMs);
      this.#stream.write(request.subarray(at, at + pieceBytes));
      answer = await answered;
    }
    if (answer === undefined || answer.status === askForMore) throw new GuestLost('the agent answers out of turn');
    if (answer.status !== 0) throw new Error(`the guest refuses: ${answer.body.toString()}`);
    return answer.body;
  }

  async #answer(patience: number): Promise<Answer> {
    if (this.#lost !== undefined) throw this.#lost;
    const timer = setTimeout(() => this.lose(new GuestLost(`no answer within ${patience} ms`)), patience);
    try {
      const answer = await new Promise<Answer>((resolve, reject) => {
        this.#waiter = { resolve, reject };
      });
      this.#microseconds = answer.microseconds;
      return answer;
    } finally {
      clearTimeout(timer);
    }
  }

  #receive(bytes: Buffer): void {
    this.#received = this.#received.length === 0 ? bytes : Buffer.concat([this.#received, bytes]);
    if (this.#received.length < 4) return;
    const size = this.#received.readUInt32LE(0);
    if (this.#received.length < 4 + size) return;
    const whole = this.#received.subarray(4, 4 + size);
    this.#received = this.#received.subarray(4 + size);
    const waiter = this.#waiter;
    this.#waiter = undefined;
    waiter?.resolve({
      status: whole[0] ?? 1,
      microseconds: Number(whole.readBigUInt64LE(1)),
      body: whole.subarray(9),
    });
  }
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function string(content: string | Buffer): Buffer {
  const bytes = Buffer.from(content);
  return Buffer.concat([number(bytes.length), bytes]);
}

function readFrames(body: Buffer): readonly Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < body.length; ) {
    const size = body.readUInt32LE(at + 1);
    frames.push(splitFrame(devices[body[at] ?? 0] ?? 'cl', body.subarray(at + 5, at + 5 + size)));
    at += 5 + size;
  }
  return frames;
}
