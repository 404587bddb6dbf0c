// SPDX-License-Identifier: Apache-2.0
// The shrinker against oracles that are known: what is left is what the oracle asks for.
import test from 'ava';
import { everyFeature, generate } from '../../conformance/live/generate/script.js';
import type { Script } from '../../conformance/live/record.js';
import { shrink } from '../../conformance/live/shrink.js';

const script: Script = {
  name: 'made up',
  ipv6: false,
  guePorts: [],
  config: [
    '-A -t 192.0.2.1:80 -s wrr',
    '-a -t 192.0.2.1:80 -r 10.0.2.11:80 -m -w 3 -x 5 -y 2',
    '-a -t 192.0.2.1:80 -r 10.0.2.12:80 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum',
    '-A -u 192.0.2.1:53 -s rr -p 300 -M 255.255.255.0',
    '-a -u 192.0.2.1:53 -r 10.0.2.13:53 -g -w 1',
  ],
  events: [
    { op: 'conns', n: 23, client: '198.51.100.1:1024', dst: '192.0.2.1:80', finish: 'est' },
    { op: 'list' },
    { op: 'pkt', src: '198.51.100.1:5', dst: '192.0.2.1:80', flags: 'S', tos: 8, ttl: 1, payload_len: 700 },
    { op: 'ipvsadm', args: '-e -t 192.0.2.1:80 -r 10.0.2.11:80 -m -w 7 -x 9' },
    { op: 'conntab' },
  ],
};

test('only the event that matters is left, with only the field that matters', async (t) => {
  const smallest = await shrink(script, async ({ events }) => events.some(({ ttl }) => ttl === 1), 500);
  t.deepEqual(smallest.config, []);
  t.deepEqual(smallest.events, [{ op: 'pkt', src: '198.51.100.1:5', dst: '192.0.2.1:80', ttl: 1 }]);
});

test('the number of connections falls to the least that does it', async (t) => {
  const smallest = await shrink(script, async ({ events }) => events.some(({ n }) => Number(n) >= 5), 500);
  t.deepEqual(smallest.events, [{ op: 'conns', n: 5, client: '198.51.100.1:1024', dst: '192.0.2.1:80' }]);
});

test('two events that only matter together both stay, in their order', async (t) => {
  const needsBoth = async ({ events }: Script): Promise<boolean> => {
    const first = events.findIndex(({ op }) => op === 'conns');
    return first >= 0 && events.slice(first).some(({ op }) => op === 'conntab');
  };
  const smallest = await shrink(script, needsBoth, 500);
  t.deepEqual(
    smallest.events.map(({ op }) => op),
    ['conns', 'conntab'],
  );
});

test('services go with their servers, options go with their values', async (t) => {
  const consistent = ({ config }: Script): boolean =>
    config.every(
      (line) => line.startsWith('-A') || config.includes(`-A ${line.split(' ').slice(1, 3).join(' ')} -s wrr`),
    );
  const hasGue = async (candidate: Script): Promise<boolean> =>
    consistent(candidate) && candidate.config.some((line) => line.includes('-i') && line.includes('10.0.2.12'));
  const { config, events } = await shrink(script, hasGue, 500);
  t.deepEqual(config, ['-A -t 192.0.2.1:80 -s wrr', '-a -t 192.0.2.1:80 -r 10.0.2.12:80 -i']);
  t.deepEqual(events, []);
});

test('what a random scenario was found for stays true of the smallest', async (t) => {
  for (let number = 0; number < 30; number++) {
    const wishes = { seed: 11, features: everyFeature, only: ['mixed'] as const, workers: 1 };
    const whole = generate(wishes, number);
    const isWanted = ({ events, config }: Script): boolean =>
      config.some((line) => line.startsWith('-A')) && events.some(({ op }) => op === 'pkt' || op === 'conns');
    if (!isWanted(whole)) continue;
    const smallest = await shrink(whole, async (candidate) => isWanted(candidate), 2_000);
    t.is(smallest.config.length, 1);
    t.is(smallest.events.length, 1);
  }
});

test('it gives up after so many tries, with the best so far', async (t) => {
  let tries = 0;
  const smallest = await shrink(
    script,
    async ({ events }) => {
      tries++;
      return events.length > 0;
    },
    3,
  );
  t.is(tries, 3);
  t.true(smallest.events.length < script.events.length);
});

test('a scenario of which nothing can go stays as it is', async (t) => {
  t.is(await shrink(script, async () => false, 500), script);
});
