// SPDX-License-Identifier: Apache-2.0
// What wrk says at its end, and what is made of it.
import test from 'ava';
import { parseWrk } from '../../../src/bench/end_to_end.js';

const output = (p99: string, more = '') => `Running 3s test @ http://203.0.113.40/
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.70ms    1.10ms  23.51ms   89.67%
    Req/Sec    19.01k     1.75k   22.54k    70.00%
  Latency Distribution
     50%    1.47ms
     75%    2.01ms
     90%    2.75ms
     99%    ${p99}
  56743 requests in 3.00s, 9.96MB read
${more}Requests/sec:  18912.25
Transfer/sec:      3.32MB
`;

test('requests, requests per second, p99 in every unit that wrk has', (t) => {
  t.deepEqual(parseWrk(output('6.78ms')), { requests: 56_743, requestsPerS: 18_912.25, p99Ms: 6.78, errors: 0 });
  t.is(parseWrk(output('780.00us')).p99Ms, 0.78);
  t.is(parseWrk(output('1.25s')).p99Ms, 1250);
  t.is(parseWrk(output('0.50m')).p99Ms, 30_000);
});

test('every kind of error counts', (t) => {
  const socket = '  Socket errors: connect 1, read 2, write 3, timeout 4\n';
  t.is(parseWrk(output('1.00ms', socket)).errors, 10);
  t.is(parseWrk(output('1.00ms', `${socket}  Non-2xx or 3xx responses: 5\n`)).errors, 15);
});

test('a window in which nothing was answered is no figure', (t) => {
  const nothing = output('0.00us').replace('56743 requests', '0 requests');
  t.throws(() => parseWrk(nothing), { message: /^wrk measured nothing:\nRunning 3s test/ });
  t.throws(() => parseWrk('unable to connect to 203.0.113.40:http Connection refused\n'));
});
