// SPDX-License-Identifier: Apache-2.0
// Two ends of one connection, in this process.
import { Duplex } from 'node:stream';

export function duplexPair(): readonly [Duplex, Duplex] {
  const ends: Duplex[] = [];
  const end = (other: () => Duplex | undefined): Duplex =>
    new Duplex({
      read() {},
      write(bytes, _encoding, done) {
        other()?.push(bytes);
        done();
      },
    });
  ends.push(end(() => ends[1]));
  ends.push(end(() => ends[0]));
  return ends as [Duplex, Duplex];
}
