// SPDX-License-Identifier: Apache-2.0
// Values in 64 bits, as dataplane/net/digest.h makes them: whatever is changed there is changed here.
import { type Family, parseAddress } from '../../config/prefix.js';

const firstStart = 0x243f6a88;
const secondStart = 0x13198a2e;

/** Order counts in what is added, and not between digests that are joined. */
export class Digest {
  #first = firstStart;
  #second = secondStart;

  /** 32 bits. */
  add(word: number): this {
    const first = Math.imul(this.#first ^ word, 0x9e3779b1);
    this.#first = (first ^ (first >>> 15)) >>> 0;
    const second = Math.imul(this.#second ^ ((word << 16) | (word >>> 16)), 0x85ebca6b);
    this.#second = (second ^ (second >>> 13)) >>> 0;
    return this;
  }

  addText(text: string): this {
    const bytes = Buffer.from(text);
    this.add(bytes.length);
    for (const byte of bytes) this.add(byte);
    return this;
  }

  addAddress(text: string): this {
    const { family, words } = addressWords(text);
    return this.#addWords(family, words);
  }

  /** That of a service by mark. */
  addFamily(family: Family): this {
    return this.#addWords(family, noAddress);
  }

  /** "198.51.100.0/24"; an address alone stands for itself, and nothing for any. */
  addPrefix(text: string): this {
    if (text === '') return this.#addWords(0, noAddress).add(0);
    const [address = '', length] = text.split('/');
    const { family, words } = addressWords(address);
    return this.#addWords(family, words).add(length === undefined ? (family === 4 ? 32 : 128) : Number(length));
  }

  addDigest(other: Digest): this {
    return this.add(other.#first).add(other.#second);
  }

  join(other: Digest): this {
    this.#first = (this.#first + other.#first) >>> 0;
    this.#second = (this.#second + other.#second) >>> 0;
    return this;
  }

  /** As a fixed64 comes in messages. */
  text(): string {
    return ((BigInt(this.#first) << 32n) | BigInt(this.#second)).toString();
  }

  #addWords(family: Family | 0, words: Words): this {
    this.add(family);
    for (const word of words) this.add(word);
    return this;
  }
}

type Words = readonly [number, number, number, number];
const noAddress: Words = [0, 0, 0, 0];

function addressWords(text: string): { readonly family: Family; readonly words: Words } {
  if (!text.includes(':')) {
    const [a = 0, b = 0, c = 0, d = 0] = text.split('.').map(Number);
    return { family: 4, words: [((a << 24) | (b << 16) | (c << 8) | d) >>> 0, 0, 0, 0] };
  }
  const value = parseAddress(text)?.value ?? 0n;
  const word = (index: bigint): number => Number((value >> (index * 32n)) & 0xffffffffn);
  return { family: 6, words: [word(3n), word(2n), word(1n), word(0n)] };
}
