// SPDX-License-Identifier: Apache-2.0
// The grammar of agent-check: a line, what it means, and what is said of the rest.
import test from 'ava';
import { type AgentWords, readAgentLine } from '../../../../src/manager/load/agent_words.js';

const lines: readonly (readonly [line: string, meaning: Partial<AgentWords>])[] = [
  ['', {}],
  [' \t, ', {}],
  ['30%', { percent: 30 }],
  ['0%', { percent: 0 }],
  ['030%', { percent: 30 }],
  ['99999%', { percent: 25_600 }],
  ['99999999999999999999%', { percent: 25_600 }],
  ['75%x', { problem: '"75%x" is not a percentage' }],
  ['7x5%', { problem: '"7x5%" is not a percentage' }],
  // It begins with no digit: a word of no kind.
  ['-5%', { problem: 'does not know "-5%"' }],
  ['50', { problem: 'does not know "50"' }],
  ['drain', { admin: 'drain' }],
  ['MAINT', { admin: 'maint' }],
  ['Ready', { admin: 'ready' }],
  ['up 100%', { health: 'up', percent: 100 }],
  ['100% , up', { health: 'up', percent: 100 }],
  ['ready,up\t20%', { admin: 'ready', health: 'up', percent: 20 }],
  // Of a kind the last one counts.
  ['up down', { health: 'down' }],
  ['10% 20%', { percent: 20 }],
  ['10% 20%x', { problem: '"20%x" is not a percentage' }],
  ['drain ready', { admin: 'ready' }],
  ['maxconn:50', { maxConnections: 50 }],
  ['MAXCONN:50 up', { maxConnections: 50, health: 'up' }],
  ['maxconn:0', { maxConnections: 0 }],
  ['maxconn:', { problem: '"maxconn:" is not a number of connections' }],
  ['maxconn:5k', { problem: '"maxconn:5k" is not a number of connections' }],
  ['maxconn:99999999999', { problem: '"maxconn:99999999999" is not a number of connections' }],
  // A description begins with "#" at the start of a word.
  ['down # the database is away ', { health: 'down', description: 'the database is away' }],
  ['fail #disk', { health: 'fail', description: 'disk' }],
  ['#down', { description: 'down' }],
  ['stopped,#30%', { health: 'stopped', description: '30%' }],
  ['up#x', { problem: 'does not know "up#x"' }],
  ['hello world up', { health: 'up', problem: 'does not know "hello"' }],
  ['75%x hello', { problem: '"75%x" is not a percentage; does not know "hello"' }],
  ['\x00\x01', { problem: 'does not know "\\u0000\\u0001"' }],
];

for (const [line, meaning] of lines) {
  test(JSON.stringify(line), (t) => {
    t.deepEqual(readAgentLine(line), { description: '', problem: '', ...meaning });
  });
}
