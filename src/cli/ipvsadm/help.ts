// SPDX-License-Identifier: Apache-2.0
// ipvsadm -h and -v.
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { projectRoot } from '../../grpc/loader.js';

/** Scripts look for "ipvsadm v1.31" and "IPVS v1.2.1": the grammar and the formats are theirs. */
export function versionText(): string {
  const { version } = createRequire(import.meta.url)(join(projectRoot, 'package.json')) as { version: string };
  return `ipvsadm v1.31 (Fulcrum ${version}, compatible with IPVS v1.2.1)`;
}

export const helpText = `Usage: ipvsadm COMMAND [OPTION]...        (the command comes first; without one: -L)

Changes the virtual services of this network namespace's director, and lists them.
A command returns when what it changed is in force.

Virtual services
  -A, --add-service SERVICE       add one
        [-s SCHEDULER] [-p [SECONDS]] [-M MASK] [--pe ENGINE] [-o] [-b FLAGS]
  -E, --edit-service SERVICE      replace its settings; options as for -A, what is left out gets its default
  -D, --delete-service SERVICE    delete it and its real servers
  -C, --clear                     delete all services

Real servers
  -a, --add-server SERVICE -r SERVER     add one
        [-g|-i|-m] [-w WEIGHT] [-x CONNECTIONS] [-y CONNECTIONS] [--tun-type TYPE ...]
  -e, --edit-server SERVICE -r SERVER    replace its settings; options as for -a
  -d, --delete-server SERVICE -r SERVER  delete it

Everything else
  -L, -l, --list [SERVICE]        list services and servers (options below)
  -Z, --zero [SERVICE]            set the counters of one service or of all to zero
  -S, --save [-n]                 print the rules as command lines
  -R, --restore                   read command lines from standard input
  --set TCP TCPFIN UDP            set the timeouts of connections, in seconds; 0 keeps a value
  --start-daemon master|backup    connection synchronisation (not available yet)
  --stop-daemon master|backup
  -h, --help                      this text
  -v, --version                   the version

SERVICE
  -t, --tcp-service HOST[:PORT]   -u, --udp-service HOST[:PORT]   --sctp-service HOST[:PORT]
  -f, --fwmark-service MARK [-6]  all packets that carry this mark; -6: those of IPv6

Options of services
  -s, --scheduler NAME        rr wrr lc wlc lblc lblcr dh sh mh sed nq fo ovf twos none; default wlc
  -p, --persistent [SECONDS]  a client stays with its server; default 360 seconds
  -M, --netmask MASK          clients of one such network count as one (IPv6: a prefix length)
  --pe ENGINE                 persistence engine: sip (not available yet)
  -o, --ops                   schedule every UDP packet on its own
  -b, --sched-flags FLAG,...  sh-fallback sh-port mh-fallback mh-port flag-1 flag-2 flag-3

Options of real servers
  -r, --real-server HOST[:PORT]   without a port: that of the service
  -g, --gatewaying            direct routing (DR), the default
  -i, --ipip                  tunnelling (TUN)
  -m, --masquerading          address translation (NAT)
  -w, --weight NUMBER         default 1; 0 quiesces: no new connections, the old ones go on
  -x, --u-threshold NUMBER    connections at which it is overloaded; 0 for none
  -y, --l-threshold NUMBER    connections below which it is not any more
  --tun-type ipip|gue|gre     --tun-port PORT   --tun-nocsum   --tun-csum   --tun-remcsum

Options of listings
  -n, --numeric               addresses and ports as numbers
  -c, --connection            the connections
  --stats  --rate  --thresholds  --persistent-conn  --tun-info
                              other columns
  -X, --exact                 counters with all their digits
  --nosort                    in the order in which the scheduler meets the servers
  --timeout                   the timeouts that --set sets
  --daemon                    the synchronisation daemons

Options of daemons
  --mcast-interface IF  --mcast-group ADDRESS  --mcast-port PORT  --mcast-ttl TTL  --syncid ID  --sync-maxlen BYTES

Exit status
  0 done, 1 a listing failed, 2 wrong usage or no director answers, 255 refused or not in force

Environment
  FULCRUM_SOCKET              socket of the director; default: that of this network namespace
`;
