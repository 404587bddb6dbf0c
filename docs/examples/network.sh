#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The example network of the documentation, in network namespaces of this machine: network.sh up | prepare | down. Needs root.
# "prepare" does to the real servers what docs/real-servers.md says.
#
#   client 198.51.100.7 ── 198.51.100.0/24 ── router ── 203.0.113.0/24 ──┬── director ── 10.0.0.0/24 ──┬── rs1 .11
#                                               │           .254         ├── rs3 .13   wan .1, lan .1  └── rs2 .12
#                                               │                        └── rs4 .14
#                                               └── 192.0.2.0/24 ── rs5 .15
set -eu

# Every host's web server says which host it is; /big is 100,000 bytes.
files=/run/fulcrum-example
hosts='client router director rs1 rs2 rs3 rs4 rs5'
# veth leaves checksums and segments for later, and nobody would come later.
offloads='tx off rx off tso off gso off gro off'

# leg HOST DEVICE SEGMENT MAC ADDRESS: plugs a host into a segment, which is a bridge in the namespace "net".
leg() {
  ip -n net link show dev "$3" >/dev/null 2>&1 || {
    ip -n net link add name "$3" type bridge forward_delay 0 mcast_snooping 0
    ip -n net link set dev "$3" up
  }
  ip link add name "$2" address "$4" netns "$1" type veth peer name "$3-$1" netns net
  # shellcheck disable=SC2086
  ip netns exec "$1" ethtool -K "$2" $offloads >/dev/null
  # shellcheck disable=SC2086
  ip netns exec net ethtool -K "$3-$1" $offloads >/dev/null
  ip -n net link set dev "$3-$1" master "$3" up
  ip -n "$1" address add "$5" dev "$2"
  ip -n "$1" link set dev "$2" up
}

web_server() {
  mkdir -p "$files/$1"
  echo "$1" >"$files/$1/index.html"
  head -c 100000 /dev/zero | tr '\0' 'x' >"$files/$1/big"
  ip netns exec "$1" python3 -m http.server --directory "$files/$1" 80 >/dev/null 2>&1 &
}

up() {
  for host in net $hosts; do
    ip netns add "$host"
    ip -n "$host" link set dev lo up
  done
  leg client eth0 clients 02:00:00:00:00:07 198.51.100.7/24
  leg router clients clients 02:00:00:00:00:fd 198.51.100.254/24
  leg router wan wan 02:00:00:00:00:fe 203.0.113.254/24
  leg router far far 02:00:00:00:00:ff 192.0.2.254/24
  leg director wan0 wan 02:00:00:00:01:01 203.0.113.1/24
  leg director lan0 lan 02:00:00:00:02:01 10.0.0.1/24
  for number in 1 2; do leg rs$number eth0 lan 02:00:00:00:00:1$number 10.0.0.1$number/24; done
  for number in 3 4; do leg rs$number eth0 wan 02:00:00:00:00:1$number 203.0.113.1$number/24; done
  leg rs5 eth0 far 02:00:00:00:00:15 192.0.2.15/24
  ip netns exec router sysctl -q -w net.ipv4.ip_forward=1
  ip -n client route add default via 198.51.100.254
  for host in rs3 rs4; do ip -n "$host" route add default via 203.0.113.254; done
  ip -n rs5 route add default via 192.0.2.254
  for host in rs1 rs2 rs3 rs4 rs5; do web_server "$host"; done
  for host in rs1 rs2 rs3 rs4 rs5; do
    ip netns exec "$host" curl -s --retry 50 --retry-connrefused --retry-delay 0 -o "$files/answer" http://127.0.0.1/
  done
}

prepare() {
  for host in rs1 rs2; do ip -n "$host" route add default via 10.0.0.1; done
  for host in rs3 rs4 rs5; do
    ip netns exec "$host" sysctl -q -w net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2
  done
  for host in rs3 rs4; do ip -n "$host" address add 203.0.113.20/32 dev lo; done
  ip -n rs5 address add 203.0.113.30/32 dev lo
  ip netns exec rs5 python3 "$(dirname "$0")/../../src/lab/decapsulate.py" tunl0 4 >"$files/decapsulate" 2>&1 &
  until ip -n rs5 link set dev tunl0 up 2>/dev/null; do sleep 0.1; done
  ip netns exec rs5 sysctl -q -w net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.tunl0.rp_filter=0
}

down() {
  for host in $hosts net; do
    pids=$(ip netns pids "$host" 2>/dev/null || true)
    # shellcheck disable=SC2086
    [ -z "$pids" ] || kill $pids
    ip netns delete "$host" 2>/dev/null || true
  done
  rm -rf "$files"
}

case "${1:-}" in
  up) up ;;
  prepare) prepare ;;
  down) down ;;
  *)
    echo "usage: $0 up | prepare | down" >&2
    exit 2
    ;;
esac
