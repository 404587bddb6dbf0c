// SPDX-License-Identifier: Apache-2.0
// ipvsadm's grammar: messages and exit statuses of wrong lines, and what right ones ask for. Facts measured on a real
// ipvsadm 1.31.
import test from 'ava';
import { UsageError } from '../../../src/cli/ipvsadm/messages.js';
import { type Command, parse } from '../../../src/cli/ipvsadm/parse.js';
import type { Resolver } from '../../../src/cli/ipvsadm/readers.js';
import { formatServiceKey } from '../../../src/config/keys.js';
import type { Operation } from '../../../src/generated/fulcrum/v1/Operation.js';
import type { ServiceKey__Output } from '../../../src/generated/fulcrum/v1/ServiceKey.js';
import { portNames } from './support/sample_state.js';

const resolver: Resolver = {
  host: async (name) => (name === 'www.example.org' ? '192.0.2.5' : undefined),
  port: (name, protocol) => portNames.number(name, protocol),
};

const words = (line: string): readonly string[] => line.split(' ').filter((word) => word !== '');
const read = (line: string): Promise<Command> => parse(words(line), resolver);

const tryHelp = "Try `ipvsadm -h' or 'ipvsadm --help' for more information.";

const wrong: readonly (readonly [line: string, message: string, status: number])[] = [
  // No command, or none that is known.
  ['-Q', tryHelp, 255],
  ['--bogus', tryHelp, 255],
  ['-n', tryHelp, 255],
  ['-6', tryHelp, 255],
  ['-t 192.0.2.1:80', tryHelp, 255],
  ['extra', tryHelp, 255],
  ['--set=1 2 3', tryHelp, 255],
  ['--list=5', tryHelp, 255],
  ['--start-daemon', tryHelp, 255],
  // Options that cannot be read.
  ['-A -t', '-t: missing argument', 255],
  ['-At', '-At: missing argument', 255],
  ['-A --tcp-service', '--tcp-service: missing argument', 255],
  ['-L -n --bogus', '--bogus: unknown option', 255],
  ['-Lnq', '-Lnq: unknown option', 255],
  ['-L --rate=5', '--rate=5: option does not take an argument', 255],
  // A second command.
  ['-A -E', "invalid option `-E'", 2],
  ['-A -D -t 192.0.2.1:80', "invalid option `-D'", 2],
  ['-ALn', "invalid option `-ALn'", 2],
  ['-A --list', "invalid option `--list'", 2],
  // Words too many, options twice.
  ['-L extra', 'unexpected argument extra', 2],
  ['extra -L', 'unexpected argument extra', 2],
  ['-L -- -n', 'unexpected argument -n', 2],
  ['-A -t 192.0.2.1:80 -t 192.0.2.1:80', "multiple 'service-address' options specified", 2],
  ['-A -t 192.0.2.1:80 -u 192.0.2.1:80', "multiple 'service-address' options specified", 2],
  ['-a -t 192.0.2.1:80 -r 10.0.2.99 -g -m', "multiple 'forwarding-method' options specified", 2],
  ['-Lnn', "multiple 'numeric' options specified", 2],
  // Command and option do not go together.
  ['-A -s rr', "You need to supply the 'service-address' option for the 'add-service' command", 2],
  ['-D', "You need to supply the 'service-address' option for the 'delete-service' command", 2],
  ['-a -t 192.0.2.1:80', "You need to supply the 'real-server' option for the 'add-server' command", 2],
  ['-a -r 10.0.2.11', "You need to supply the 'service-address' option for the 'add-server' command", 2],
  ['-d -t 192.0.2.1:80', "You need to supply the 'real-server' option for the 'delete-server' command", 2],
  ['-Z -n', "Illegal 'numeric' option with the 'zero' command", 2],
  ['-C -n', "Illegal 'numeric' option with the 'flush' command", 2],
  ['-A -t 192.0.2.5:80 -n', "Illegal 'numeric' option with the 'add-service' command", 2],
  ['-L -s rr', "Illegal 'scheduler' option with the 'list' command", 2],
  ['-d -t 192.0.2.1:80 -r 10.0.2.11 -w 1', "Illegal 'weight' option with the 'delete-server' command", 2],
  ['-R -n', "Illegal 'numeric' option with the 'restore' command", 2],
  ['-S --exact', "Illegal 'exact' option with the 'save' command", 2],
  ['-L -c --timeout', "The option 'timeout' conflicts with the 'connection' option in the 'list' command", 2],
  [
    '-L -c -t 192.0.2.1:80',
    "The option 'service-address' conflicts with the 'connection' option in the 'list' command",
    2,
  ],
  ['-L --daemon --timeout', "The option 'daemon' conflicts with the 'timeout' option in the 'list' command", 2],
  ['-L -c --stats', 'options conflicts in the list command', 2],
  ['-L --daemon --rate', 'options conflicts in the list command', 2],
  ['-L --timeout --persistent-conn', 'options conflicts in the list command', 2],
  // Services.
  ['-A -t 192.0.2.5', 'Zero port specified for non-persistent service', 2],
  ['-A -t 192.0.2.5:0', 'Zero port specified for non-persistent service', 2],
  ['-A -t 80', 'illegal virtual server address[:port] specified', 2],
  ['-A -t 192.0.2.5:nosuchport', 'illegal virtual server address[:port] specified', 2],
  ['-A -t 192.0.2.5:99999', 'illegal virtual server address[:port] specified', 2],
  ['-A -t 192.0.2.5:-1', 'illegal virtual server address[:port] specified', 2],
  ['-A -t nosuchhost.invalid:80', 'illegal virtual server address[:port] specified', 2],
  ['-A -t [192.0.2.5]:80', 'illegal virtual server address[:port] specified', 2],
  ['-A -u 192.0.2.5:http', 'illegal virtual server address[:port] specified', 2],
  ['-A -t 192.0.2.5:80 -o', 'One-Packet Scheduling is only for UDP virtual services', 2],
  ['-A -t 192.0.2.5:80 -b sh-port', "incompatible scheduler flag `sh-port'", 2],
  ['-A -t 192.0.2.5:80 -s sh -b mh-port', "incompatible scheduler flag `mh-port'", 2],
  ['-A -t 192.0.2.5:80 -s sh -b bogus', "invalid scheduler flag `bogus'", 2],
  ['-A -t 192.0.2.5:80 -p 0', "invalid timeout value `0' specified", 2],
  ['-A -t 192.0.2.5:80 -p 2678401', "invalid timeout value `2678401' specified", 2],
  ['-A -t 192.0.2.5:80 -p abc', "invalid timeout value `abc' specified", 2],
  ['-A -t 192.0.2.5:80 -M bogus mask', 'illegal virtual server persistent mask specified', 2],
  ['-A -t 192.0.2.5:80 -M 255.0.255.0', 'illegal virtual server persistent mask specified', 2],
  ['-A -t [2001:db8:ff::2]:80 -M 129', 'illegal ipv6 netmask specified', 2],
  ['-A -t [2001:db8:ff::2]:80 -M 0', 'illegal ipv6 netmask specified', 2],
  ['-A -f 0', "invalid fwmark value `0' specified", 2],
  ['-A -f abc', "invalid fwmark value `abc' specified", 2],
  ['-A -f -1', "invalid fwmark value `-1' specified", 2],
  ['-A -f 0x10', "invalid fwmark value `0x10' specified", 2],
  ['-A -f 4294967296', "invalid fwmark value `4294967296' specified", 2],
  ['-A -6 -f 9', '-6 used before -f\n', 2],
  // Real servers.
  ['-a -t 192.0.2.1:80 -r 10.0.2.99 -w -1', 'illegal weight specified', 2],
  ['-a -t 192.0.2.1:80 -r 10.0.2.99 -w abc', 'illegal weight specified', 2],
  ['-a -t 192.0.2.1:80 -r 10.0.2.99 -w 2147483648', 'illegal weight specified', 2],
  ['-a -t 192.0.2.1:80 -r 10.0.2.99 -x -5', 'illegal u_threshold specified', 2],
  ['-a -t 192.0.2.1:80 -r 10.0.2.99 -y 1.5', 'illegal l_threshold specified', 2],
  ['-a -t 192.0.2.1:80 -r 99', 'illegal real server address[:port] specified', 2],
  ['-a -t 192.0.2.1:80 -r 10.0.2.99:65536', 'illegal real server address[:port] specified', 2],
  ['-a -t 192.0.2.1:80 -r [2001:db8:2::b]:80 -g', 'Different address family is allowed only for tunneling servers', 2],
  ['-a -t 192.0.2.1:80 -r 10.0.2.99 -g --tun-type gue', 'Tunnel options conflict with forward method', 2],
  ['-a -t 192.0.2.1:80 -r 10.0.2.99 -i --tun-type bogus', 'illegal tunnel type specified', 2],
  [
    '-a -t 192.0.2.1:80 -r 10.0.2.99 -i --tun-type gue',
    "You need to supply the 'tun-port' option for the 'gue' tunnel type",
    2,
  ],
  [
    '-a -t 192.0.2.1:80 -r 10.0.2.99 -i --tun-type gre --tun-port 5',
    "Illegal 'tun-port' option with the 'gre' tunnel type",
    2,
  ],
  [
    '-a -t 192.0.2.1:80 -r 10.0.2.99 -i --tun-type gre --tun-remcsum',
    "Illegal 'tun-remcsum' option with the 'gre' tunnel type",
    2,
  ],
  [
    '-a -t 192.0.2.1:80 -r 10.0.2.99 -i --tun-type ipip --tun-csum',
    "Illegal 'tun-csum' option with the 'ipip' tunnel type",
    2,
  ],
  [
    '-a -t 192.0.2.1:80 -r 10.0.2.99 -i --tun-type gue --tun-port 6080 --tun-csum --tun-nocsum',
    "The option 'tun-csum' conflicts with the 'tun-nocsum' option in the 'gue' tunnel type",
    2,
  ],
  // Timeouts and daemons.
  ['--set 1 2', '--set option requires 3 timeout values', 2],
  ['--set 1 2 x', "invalid timeout value `x' specified", 2],
  ['--set 1 2 3 4', 'unexpected argument 4', 2],
  ['--set 99999999 1 1', "invalid timeout value `99999999' specified", 2],
  ['--start-daemon foo', 'illegal start-daemon parameter specified', 2],
  ['--start-daemon master --syncid 256', 'illegal syncid specified', 2],
  ['--stop-daemon master --mcast-ttl 1', "Illegal 'mcast-ttl' option with the 'stop-daemon' command", 2],
];

for (const [line, message, status] of wrong) {
  test(`wrong: ipvsadm ${line}`, async (t) => {
    const error = await t.throwsAsync(read(line), { instanceOf: UsageError });
    t.is(error?.message, message);
    t.is(error?.status, status);
  });
}

async function operation(line: string): Promise<Operation> {
  const command = await read(line);
  if (command.kind !== 'edit') throw new Error(`${line} is no edit but ${command.kind}`);
  return command.operation;
}

/** The service and the settings of an -A or -E, the settings that are not the default ones. */
async function service(line: string): Promise<readonly [string, object]> {
  const change = await operation(line);
  const { key, spec } = change.addService ?? change.editService ?? {};
  const plain = {
    scheduler: 'wlc',
    schedulerFlags: 0,
    persistenceTimeoutS: 0,
    persistencePrefix: 0,
    persistenceEngine: '',
    onePacket: false,
  };
  const changed = Object.entries(spec ?? {}).filter(([name, value]) => value !== plain[name as keyof typeof plain]);
  return [formatServiceKey(key as ServiceKey__Output), Object.fromEntries(changed)];
}

const services: readonly (readonly [line: string, key: string, settings: object])[] = [
  ['-A -t 192.0.2.5:http', 'tcp:192.0.2.5:80', {}],
  ['-At 192.0.2.11:80', 'tcp:192.0.2.11:80', {}],
  ['-A -t192.0.2.11:80', 'tcp:192.0.2.11:80', {}],
  ['-A -t www.example.org:80', 'tcp:192.0.2.5:80', {}],
  ['-A --sctp-service 192.0.2.2:36412 -s lc', 'sctp:192.0.2.2:36412', { scheduler: 'lc' }],
  ['-A -t 192.0.2.5:80 -p -s rr', 'tcp:192.0.2.5:80', { scheduler: 'rr', persistenceTimeoutS: 360 }],
  ['-A -t 192.0.2.5:80 -p', 'tcp:192.0.2.5:80', { persistenceTimeoutS: 360 }],
  ['-A -t 192.0.2.5:80 -p50', 'tcp:192.0.2.5:80', { persistenceTimeoutS: 50 }],
  ['-A -t 192.0.2.6:80 --persistent=50 -s=rr', 'tcp:192.0.2.6:80', { scheduler: 'rr', persistenceTimeoutS: 50 }],
  ['-A -t 192.0.2.13:80 -p 2678400', 'tcp:192.0.2.13:80', { persistenceTimeoutS: 2678400 }],
  ['-A -t 2001:db8::1 -p', 'tcp:[2001:db8::1]:0', { persistenceTimeoutS: 360 }],
  // -M before an IPv6 service is overwritten by it.
  ['-A -M 64 -t [2001:db8::2]:80 -p 5', 'tcp:[2001:db8::2]:80', { persistenceTimeoutS: 5 }],
  ['-A -t [2001:db8::2]:80 -p 5 -M 64', 'tcp:[2001:db8::2]:80', { persistenceTimeoutS: 5, persistencePrefix: 64 }],
  ['-A -t 192.0.2.9:80 -p 5 -M 255.255.0.0', 'tcp:192.0.2.9:80', { persistenceTimeoutS: 5, persistencePrefix: 16 }],
  ['-A -M 255.255.255.252 -t 192.0.2.9:80 -p 5', 'tcp:192.0.2.9:80', { persistenceTimeoutS: 5, persistencePrefix: 30 }],
  ['-A -t 192.0.2.9:80 -p 5 -M 255.255.255.255', 'tcp:192.0.2.9:80', { persistenceTimeoutS: 5 }],
  ['-A -s sh -b sh-port -t 192.0.2.7:80', 'tcp:192.0.2.7:80', { scheduler: 'sh', schedulerFlags: 2 }],
  ['-A -b sh-port -s sh -t 192.0.2.8:80', 'tcp:192.0.2.8:80', { scheduler: 'sh', schedulerFlags: 2 }],
  ['-A -u 192.0.2.12:80 -s mh -b flag-1,flag-2,flag-3', 'udp:192.0.2.12:80', { scheduler: 'mh', schedulerFlags: 7 }],
  ['-A -u 192.0.2.5:80 -o', 'udp:192.0.2.5:80', { onePacket: true }],
  ['-A -f 7 -o', 'fwmark:7', { onePacket: true }],
  ['-A -f 4294967295', 'fwmark:4294967295', {}],
  ['-A --fwmark-service 5 --ipv6 -p 5', 'fwmark:5:ipv6', { persistenceTimeoutS: 5 }],
  ['-A -f 5 -6 -p 5 -M 64', 'fwmark:5:ipv6', { persistenceTimeoutS: 5, persistencePrefix: 64 }],
  // -6 sets the full mask again.
  ['-A -f 5 -M 255.255.0.0 -6 -p 5', 'fwmark:5:ipv6', { persistenceTimeoutS: 5 }],
  [
    '-A -u 192.0.2.1:5060 -s rr -p 60 --pe sip',
    'udp:192.0.2.1:5060',
    { scheduler: 'rr', persistenceTimeoutS: 60, persistenceEngine: 'sip' },
  ],
  // -E is a full replacement: what is left out gets its default.
  ['-E -t 192.0.2.5:80', 'tcp:192.0.2.5:80', {}],
];

for (const [line, key, settings] of services) {
  test(`service: ipvsadm ${line}`, async (t) => {
    t.deepEqual(await service(line), [key, settings]);
  });
}

async function server(line: string): Promise<readonly [string, number, object]> {
  const change = await operation(line);
  const { key, spec } = change.addServer ?? change.editServer ?? {};
  return [key?.address ?? '', key?.port ?? -1, spec ?? {}];
}

const direct = { method: 'FORWARDING_METHOD_DR', weight: 1, upperThreshold: 0, lowerThreshold: 0 };
const masqueraded = { ...direct, method: 'FORWARDING_METHOD_NAT' };
const ipip = {
  ...direct,
  method: 'FORWARDING_METHOD_TUN',
  tunnelType: 'TUNNEL_TYPE_IPIP',
  tunnelPort: 0,
  tunnelChecksum: 'TUNNEL_CHECKSUM_UNSPECIFIED',
};
const gue = { ...ipip, tunnelType: 'TUNNEL_TYPE_GUE', tunnelPort: 6080, tunnelChecksum: 'TUNNEL_CHECKSUM_CSUM' };

const servers: readonly (readonly [line: string, address: string, port: number, spec: object])[] = [
  ['-a -t 192.0.2.9:80 -r 10.0.2.1', '10.0.2.1', 80, direct],
  ['-a -t 192.0.2.9:80 -m -r 10.0.2.1', '10.0.2.1', 80, masqueraded],
  ['-a -t 192.0.2.9:80 -m -r 10.0.2.1:8080', '10.0.2.1', 8080, masqueraded],
  ['-a -t 192.0.2.9:80 -m -r 10.0.2.1:http-alt', '10.0.2.1', 8080, masqueraded],
  // -r before the service finds no port to copy.
  ['-a -r 10.0.2.2 -t 192.0.2.9:80 -m', '10.0.2.2', 0, masqueraded],
  // DR and TUN keep the service's port whatever is asked for, except with a mark.
  ['-a -r 10.0.2.2 -t 192.0.2.9:80', '10.0.2.2', 80, direct],
  ['-a -t 192.0.2.1:80 -r 10.0.2.99:81 -g', '10.0.2.99', 80, direct],
  ['-a -t 192.0.2.1:80 -r 10.0.2.99:81 -i', '10.0.2.99', 80, ipip],
  ['-a -f 7 -r 10.0.2.11', '10.0.2.11', 0, direct],
  ['-a -f 7 -r 10.0.2.11:81 -g', '10.0.2.11', 81, direct],
  ['-a -t 192.0.2.1:80 -r [2001:db8:2::b]:80 -i', '2001:db8:2::b', 80, ipip],
  ['-a -t 192.0.2.1:80 -r 10.0.2.3 -w 2147483647', '10.0.2.3', 80, { ...direct, weight: 2147483647 }],
  [
    '-a -t 192.0.2.1:80 -r 10.0.2.3 -w 0 -x 1000 -y 800',
    '10.0.2.3',
    80,
    { ...direct, weight: 0, upperThreshold: 1000, lowerThreshold: 800 },
  ],
  ['-a -t 192.0.2.1:80 -r 10.0.3.10 -i --tun-type gue --tun-port 6080 --tun-csum', '10.0.3.10', 80, gue],
  // -e is a full replacement.
  ['-e -t 192.0.2.1:80 -r 10.0.2.3', '10.0.2.3', 80, direct],
];

for (const [line, address, port, spec] of servers) {
  test(`server: ipvsadm ${line}`, async (t) => {
    t.deepEqual(await server(line), [address, port, spec]);
  });
}

test('deleting a server does not force its port', async (t) => {
  const { deleteServer } = await operation('-d -t 192.0.2.1:80 -r 10.0.2.99:81');
  t.deepEqual(deleteServer?.key, { address: '10.0.2.99', port: 81 });
});

test('the other edits', async (t) => {
  t.deepEqual(await operation('-C'), { flush: {} });
  t.deepEqual(await operation('-Z'), { zero: {} });
  t.is((await operation('-Z -t 192.0.2.5:80')).zero?.service?.address, '192.0.2.5');
  t.is((await operation('-D -u 192.0.2.5:53')).deleteService?.protocol, 'PROTOCOL_UDP');
  t.deepEqual(await operation('--set 1 2 3'), { setTimeouts: { tcpS: 1, tcpFinS: 2, udpS: 3 } });
  t.deepEqual(await operation('--set 0 0 2678400'), { setTimeouts: { tcpS: 0, tcpFinS: 0, udpS: 2678400 } });
});

const plainList = {
  kind: 'list',
  what: 'services',
  service: undefined,
  columns: 'plain',
  persistentConnections: false,
  numeric: false,
  exact: false,
  sorted: true,
};

const lists: readonly (readonly [line: string, changes: object])[] = [
  ['', {}],
  ['-L', {}],
  ['-ln', { numeric: true }],
  ['-L -n --sort --sort', { numeric: true }],
  ['-Lnc', { numeric: true, what: 'connections' }],
  ['-L -nc --syncid 5', { numeric: true, what: 'connections' }],
  [
    '-Lnc --persistent-conn',
    { numeric: true, what: 'connections', columns: 'persistent-conn', persistentConnections: true },
  ],
  ['-Ln --stats --exact', { numeric: true, columns: 'stats', exact: true }],
  ['-Ln --rate --stats', { numeric: true, columns: 'stats' }],
  ['-LnX --thresholds --rate', { numeric: true, columns: 'rate', exact: true }],
  ['-Ln --tun-info --thresholds', { numeric: true, columns: 'thresholds' }],
  ['--list --nosort', { sorted: false }],
  ['-L --timeout', { what: 'timeouts' }],
  ['-L --daemon', { what: 'daemons' }],
];

for (const [line, changes] of lists) {
  test(`list: ipvsadm ${line}`, async (t) => {
    t.deepEqual(await read(line), { ...plainList, ...changes } as Command);
  });
}

test('one service is listed with its key', async (t) => {
  const command = await read('-Ln -f 8 -6');
  t.is(command.kind === 'list' && command.service && formatServiceKey(command.service), 'fwmark:8:ipv6');
});

test('commands without more', async (t) => {
  t.deepEqual(await read('-S -n'), { kind: 'save', numeric: true });
  t.deepEqual(await read('-R'), { kind: 'restore' });
  t.deepEqual(await read('-h -whatever'), { kind: 'help' });
  t.deepEqual(await read('--version'), { kind: 'version' });
  t.deepEqual(await read('--start-daemon master --mcast-interface rs --syncid 5'), { kind: 'start-daemon' });
  t.deepEqual(await read('--stop-daemon backup --syncid 5'), { kind: 'stop-daemon' });
});
