// SPDX-License-Identifier: Apache-2.0
// A number in a document: by JSON pointer, and as a sample of Prometheus's text format.
import test from 'ava';
import { numberAt, readPointer } from '../../../../src/manager/load/json_pointer.js';
import { numberOf, readSelector } from '../../../../src/manager/load/prometheus.js';

const document = JSON.stringify({
  load: [0.25, '1.5', 'high', null],
  'a/b': { 'm~n': 7, '': 8 },
  big: 1e3,
});

const at = (pointer: string): number | string => {
  const parts = readPointer(pointer);
  return parts === undefined ? 'not a pointer' : numberAt(document, parts);
};

test('JSON pointers', (t) => {
  t.is(at('/load/0'), 0.25);
  t.is(at('/load/1'), 1.5);
  t.is(at('/a~1b/m~0n'), 7);
  t.is(at('/a~1b/'), 8);
  t.is(at('/big'), 1000);
  t.is(at('/load/2'), '"high" at "/load/2" is not a number');
  t.is(at('/load/3'), 'null at "/load/3" is not a number');
  t.is(at('/load'), '[0.25,"1.5","high",null] at "/load" is not a number');
  t.is(at('/load/01'), 'answer has nothing at "/load/01"');
  t.is(at('/toString'), 'answer has nothing at "/toString"');
  t.is(at('/a~1b/x/y'), 'answer has nothing at "/a~1b/x"');
  t.is(at('load'), 'not a pointer');
  t.is(at('/a~2b'), 'not a pointer');
  t.is(numberAt('17', []), 17);
  t.is(numberAt('{"a":', ['a']), 'answer is not JSON');
  t.is(numberAt('""', []), '"" at "" is not a number');
});

const metrics = `# HELP busy_workers Workers that have something to do.
# TYPE busy_workers gauge
busy_workers{pool="web",host="a"} 12 1700000000000
busy_workers{pool="mail", host="a",} 3
busy_workers_total 99
node_load1 0.75
node_load5  1.5e-1
quoted{path="C:\\\\x \\"y\\" }",line="1\\n2"} 5
strange NaN
endless +Inf
open{metrics="1"} 4 # {trace_id="x"} 0.5
broken{pool="web 1
`;

const of = (text: string): number | string => {
  const selector = readSelector(text);
  return selector === undefined ? 'not a metric' : numberOf(metrics, selector);
};

test("samples of Prometheus's text format", (t) => {
  t.is(of('node_load1'), 0.75);
  t.is(of('node_load5'), 0.15);
  t.is(of('busy_workers{pool="web"}'), 12);
  t.is(of(' busy_workers { pool = "mail" } '), 3);
  t.is(of('busy_workers'), 'answer has 2 samples busy_workers: name more labels');
  t.is(of('busy_workers{host="a"}'), 'answer has 2 samples busy_workers{host="a"}: name more labels');
  t.is(of('busy_workers{pool="ftp"}'), 'answer has no sample busy_workers{pool="ftp"}');
  t.is(of('quoted{path="C:\\\\x \\"y\\" }"}'), 5);
  t.is(of('quoted{line="1\\n2"}'), 5);
  t.is(of('strange'), 'strange is NaN, not a number');
  t.is(of('endless'), 'endless is +Inf, not a number');
  t.is(of('open'), 4);
  t.is(of('broken'), 'answer has no sample broken');
  for (const wrong of ['', '1abc', 'a b', 'a{b}', 'a{b="c"', 'a{b="c"} 1', '{a="b"}'])
    t.is(of(wrong), 'not a metric', wrong);
});
