// SPDX-License-Identifier: Apache-2.0

import test from 'ava';
import { type Outcome, readJunit, TapReader } from '../../support/report.js';

function readTap(text: string): readonly Outcome[] {
  const outcomes: Outcome[] = [];
  const reader = new TapReader((outcome) => outcomes.push(outcome));
  for (const line of text.split('\n')) reader.line(line);
  reader.end();
  return outcomes;
}

test('TAP: passed and failed tests, with the block of the failed one', (t) => {
  const outcomes = readTap(`TAP version 13
ok 1 - a › fine
not ok 2 - a › bad # x
#   a log line
  ---
    name: AssertionError
    message: not so
  ...
ok 3 - b › fine too
not ok 4 - c.test.ts exited with a non-zero exit code: 1

1..4
# tests 4
# pass 2
# fail 2
`);
  t.deepEqual(outcomes, [
    { title: 'a › fine', passed: true },
    {
      title: 'a › bad # x',
      passed: false,
      detail: '#   a log line\n    name: AssertionError\n    message: not so',
    },
    { title: 'b › fine too', passed: true },
    { title: 'c.test.ts exited with a non-zero exit code: 1', passed: false },
  ]);
});

test('TAP: the end of the text ends the last test', (t) => {
  t.deepEqual(readTap('not ok 1 - a'), [{ title: 'a', passed: false }]);
});

test('JUnit: cases of doctest, with the text of failures', (t) => {
  const outcomes = readJunit(`<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite name="dataplane_test" errors="0" failures="1" tests="2">
    <testcase classname="../test/checksum_test.cc" name="sum of &quot;nothing&quot; &lt;0&gt;" status="run"/>
    <testcase classname="../test/table_test.cc" name="a table&lt;V4>" time="0" status="run"/>
    <testcase classname="../test/table_test.cc" name="a table&lt;V6>" time="0" status="run"/>
    <testcase classname="../test/nat_test.cc" name="rewrites" time="0.000001" status="run">
      <failure message="1 == 2" type="CHECK"><![CDATA[nat_test.cc:7: CHECK( a == b )]]></failure>
      <failure message="x &lt; y" type="CHECK"/>
    </testcase>
  </testsuite>
</testsuites>`);
  t.deepEqual(outcomes, [
    { title: 'checksum_test.cc › sum of "nothing" <0>', passed: true },
    { title: 'table_test.cc › a table<V4>', passed: true },
    { title: 'table_test.cc › a table<V6>', passed: true },
    { title: 'nat_test.cc › rewrites', passed: false, detail: 'nat_test.cc:7: CHECK( a == b )\nx < y' },
  ]);
});
