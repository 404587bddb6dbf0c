// SPDX-License-Identifier: Apache-2.0
// Server-sent events as the page reads them: the standard's rules, whatever pieces the network makes of them.
import test from 'ava';
import { comment, message, retry } from '../../../src/manager/page/server_sent_events.js';
import { EventParser } from '../../../src/web/event_parser.js';

test('what the manager writes is read, in whatever pieces it comes', (t) => {
  const text = retry(1500) + message('update', '{"a":1}') + comment('nothing new') + message('other', 'two\nlines');
  for (let size = 1; size <= text.length; size++) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...parser.push(text.slice(at, at + size)));
    t.deepEqual(
      events,
      [
        { event: 'update', data: '{"a":1}' },
        { event: 'other', data: 'two\nlines' },
      ],
      `pieces of ${size}`,
    );
    t.is(parser.retryMs, 1500);
  }
});

test('lines end with LF, CR or both, also between two pieces', (t) => {
  for (const end of ['\n', '\r', '\r\n']) {
    const text = `event: x${end}data: 1${end}data:2${end}data${end}${end}data: y${end}${end}`;
    for (let cut = 0; cut <= text.length; cut++) {
      const parser = new EventParser();
      const events = [...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))];
      const expected = [
        { event: 'x', data: '1\n2\n' },
        { event: 'message', data: 'y' },
      ];
      t.deepEqual(events, expected, `${JSON.stringify(end)} cut at ${cut}`);
    }
  }
});

test('what has no data is no event, and unknown fields are passed over', (t) => {
  const parser = new EventParser();
  t.deepEqual(parser.push('event: nothing\n\nid: 7\nretry: soon\n: a comment\nspam\n\n'), []);
  t.is(parser.retryMs, undefined);
  // The name of the event before does not stay.
  t.deepEqual(parser.push('data: a: b\n\n'), [{ event: 'message', data: 'a: b' }]);
  // What is not ended by an empty line has not come.
  t.deepEqual(parser.push('data: half'), []);
});
