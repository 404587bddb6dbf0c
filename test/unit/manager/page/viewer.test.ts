// SPDX-License-Identifier: Apache-2.0
// What one open page is sent: everything once, then what is different; and what becomes of one that does not read.
import type { ServerResponse } from 'node:http';
import { Writable } from 'node:stream';
import test from 'ava';
import type { Frame } from '../../../../src/manager/page/frame.js';
import { readParameters } from '../../../../src/manager/page/parameters.js';
import { Viewer } from '../../../../src/manager/page/viewer.js';
import { EventParser } from '../../../../src/web/event_parser.js';

const parameters = readParameters(new URLSearchParams());

/** A frame with these sections. */
function frame(sections: Readonly<Record<string, unknown>>, second = 0): Frame {
  const texts = Object.entries(sections).map(([name, value]) => [name, JSON.stringify(value)] as const);
  return {
    sections: () => new Map(texts),
    plots: () => '{"end":0}',
    point: () => (second === 0 ? undefined : { second, text: `{"second":${second}}` }),
  } as unknown as Frame;
}

function reader(isDeaf = false) {
  const texts: string[] = [];
  const response = new Writable({
    decodeStrings: false,
    write: (text, _encoding, done) => {
      texts.push(text);
      if (!isDeaf) done();
    },
  });
  return { texts, response: response as unknown as ServerResponse };
}

test('first everything, then what has changed; that nothing has is told as well', (t) => {
  const { texts, response } = reader();
  const viewer = new Viewer(parameters, response, 1_000);
  t.true(viewer.tell(frame({ head: 1, totals: null }, 10)));
  t.true(viewer.tell(frame({ head: 1, totals: null }, 10)));
  t.true(viewer.tell(frame({ head: 1, totals: { a: 2 } }, 11)));
  t.true(viewer.tell(frame({ head: 1, totals: { a: 2 } }, 12)));
  const parser = new EventParser();
  t.deepEqual(
    parser.push(texts.join('')).map(({ data }) => JSON.parse(data)),
    [
      { head: 1, totals: null, plots: { end: 0 } },
      { totals: { a: 2 }, point: { second: 11 } },
      { point: { second: 12 } },
    ],
  );
  t.is(parser.retryMs, 1000);
  t.true(texts.includes(': nothing new\n\n'));
});

test('who does not read gets so much and no more', (t) => {
  const { response } = reader(true);
  const viewer = new Viewer(parameters, response, 1_000);
  let told = 0;
  while (viewer.tell(frame({ head: `${told} ${'x'.repeat(100)}` }))) told++;
  t.true(told >= 5 && told <= 9, `${told}`);
  t.true(response.destroyed);
});
