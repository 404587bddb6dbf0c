// SPDX-License-Identifier: Apache-2.0
// What each verdict means, and what to do where there is something to do. docs/verdicts.md has the same.

export interface Meaning {
  readonly meaning: string;
  /** Empty: it is as it should be. */
  readonly remedy: string;
}

const fine = (meaning: string): Meaning => ({ meaning, remedy: '' });
const look = (meaning: string, remedy: string): Meaning => ({ meaning, remedy });

export const verdictMeanings: Readonly<Record<string, Meaning>> = {
  forwarded_nat: fine('from a client to a real server, by NAT'),
  forwarded_nat_reply: fine('from a NAT server back to its client'),
  forwarded_dr: fine('from a client to a real server, by direct routing'),
  forwarded_tun: fine('from a client to a real server, by a tunnel'),
  forwarded_reply: fine('from a DR or TUN server whose way to the client leads through the director'),
  forwarded_bypass: look(
    'no real server: on to where it was going (cache_bypass)',
    'fulcrum server list: why has nobody weight?',
  ),
  tunnel_error_taken: fine('an ICMP error about a tunnel packet of the director’s own; its path MTU is remembered'),
  fragment_reassembled: fine('became part of a datagram, which has its own verdict'),
  routed: fine('for no address of the director’s: from interface to interface'),
  masqueraded: fine('routed, with an address of the director’s as its source'),
  masqueraded_reply: fine('an answer to that'),
  arp_answered: fine('asked for an address of the director’s'),
  arp_taken: fine('told the director of a neighbour'),
  arp_ignored: fine('asked or told of somebody else'),
  nd_answered: fine('IPv6: asked for an address of the director’s'),
  nd_taken: fine('IPv6: told the director of a neighbour'),
  nd_ignored: fine('IPv6: asked or told of somebody else, or a router’s advertisement'),
  icmp_echo_answered: fine('a ping'),
  tcp_reset_sent: look(
    'TCP to an address of the director’s that no service takes, or of no connection: reset',
    'a service that is missing; or connections that were deleted, or lost with a dataplane (fulcrum explain)',
  ),
  port_unreachable_sent: look('UDP that no service takes: told so', 'a service that is missing (fulcrum explain)'),
  no_server: look(
    'a service without a real server that takes it: told so',
    'fulcrum server list gives the reason of each',
  ),
  time_exceeded_sent: look('its TTL was at its end: told so', 'traceroute, or a routing loop with the director in it'),
  fragmentation_needed_sent: look(
    'longer than the way to the server carries, and not to be cut: told so',
    'normal for a while with tunnels; if clients hang, their ICMP is filtered: set mss: auto (fulcrum service traffic)',
  ),
  host_unreachable_sent: look(
    'no route leads to the real server: told so',
    'fulcrum route list; is the server’s address right?',
  ),
  net_unreachable_sent: look(
    'no route leads to its destination: told so',
    'fulcrum route list: is there a default route?',
  ),
  protocol_unreachable_sent: fine('to an address of the director’s, of a protocol that it does not speak: told so'),
  local_ignored: fine('to an address of the director’s, and nothing is to be said to it, as to a reset'),
  to_kernel: fine('the host’s, by its kernel port'),
  other_host: fine('for another MAC: what a port sees of its segment’s other traffic'),
  unknown_vlan: look('of a VLAN that no interface has', 'the trunk carries more than is configured'),
  multicast_ignored: fine('to a group that nobody here listens to'),
  unknown_ether_type: fine('neither IP nor ARP: LLDP, spanning tree'),
  malformed_truncated: look('shorter than it says', 'a faulty link or a hostile sender'),
  malformed_ip_header: look('its IP header contradicts itself', 'a faulty link or a hostile sender'),
  malformed_ip_checksum: look(
    'its IP header is damaged',
    'a faulty link; on veth, checksum offload: ethtool -K DEV tx off',
  ),
  malformed_transport: look(
    'its TCP, UDP or SCTP header is cut short, or what was to be answered arrived damaged',
    'a hostile sender; on veth, checksum offload: ethtool -K DEV tx off',
  ),
  malformed_arp: look('an ARP packet that contradicts itself', 'a faulty or hostile neighbour'),
  malformed_nd: look(
    'a neighbour discovery packet that contradicts itself (RFC 4861)',
    'a faulty or hostile neighbour',
  ),
  fragment_malformed: look('a fragment that cannot be part of a datagram', 'a hostile sender'),
  fragment_duplicate: fine('a fragment that had come already'),
  fragment_overlap: look('a fragment that overlaps others: its datagram is given up (RFC 5722)', 'a hostile sender'),
  martian_address: look('from or to an address that no host has', 'spoofed sources: filter them before the director'),
  server_gone: look(
    'of a connection whose real server was deleted',
    'as LVS has it; expire_nodest_conn=1 lets it begin anew, or drain servers before they go (fulcrum server drain)',
  ),
  drop_packet: look(
    'every n-th first packet while drop_packet is in force',
    'memory is short: memory.connections; or a flood',
  ),
  tunnel_mtu_too_small: look(
    'the link to the server leaves a tunnel less than every link carries',
    'the MTU of that interface',
  ),
  fragment_timeout: look('its datagram did not become whole in time', 'fragments are lost, or a hostile sender'),
  error_withheld: look('it cannot go on, and no error may be sent about it', 'fulcrum explain for what it would be'),
  error_rate_limited: look('an ICMP error was due, beyond so many a second', 'icmp_msgs_per_sec; what are they about?'),
  forwarding_off: look(
    'for no address of the director’s, and routing is switched off',
    'forwarding: true, if it is to route',
  ),
  route_blackhole: fine('a route says that it is to be dropped in silence'),
  client_denied: fine('the service’s traffic policy does not take this client'),
  connection_limit: look('the service has as many connections as it may', 'fulcrum service traffic: max_connections'),
  connection_rate_limit: look(
    'the service gets more new connections than it may',
    'fulcrum service traffic: connections_per_second',
  ),
  masquerade_no_flow: look(
    'would leave by a masquerading interface, and belongs to no flow',
    'a server’s connection that was too long idle',
  ),
  masquerade_protocol: fine('would leave by a masquerading interface, and has no ports'),
  connection_table_full: look(
    'no room for another connection',
    'raise memory.connections, or shorten timeouts (fulcrum timeout); a flood: fulcrum connection list',
  ),
  masquerade_ports_full: look(
    'no port of the director’s is free towards that far end',
    'more ports, or another address, in the rule',
  ),
  new_connection_budget: look('more new connections than new_connections_per_second', 'raise it, or a flood'),
  handover_full: look(
    'the worker that owns its flow did not come after',
    'that worker is saturated: fulcrum stats workers',
  ),
  transmit_full: look('the port did not come after', 'the link is saturated, or tx_descriptors are too few'),
  no_buffer: look('no packet buffer was left', 'packet_buffers, memory'),
  fragment_memory: look('no room to keep another fragment', 'a flood of fragments'),
  neighbor_queue_full: look(
    'too many packets wait for the MAC of its next hop',
    'that neighbour does not answer: fulcrum neighbor list',
  ),
  neighbor_failed: look('its next hop does not answer for its MAC', 'is the real server up? fulcrum neighbor list'),
  neighbor_table_full: look('no room for another neighbour', 'a scan of a directly connected network'),
  no_headroom: look('no room for the tunnel’s header in its buffer', 'report it: this should not happen'),
  kernel_rate_limited: look(
    'the host’s, but more of its class than the kernel port lets pass',
    'a flood to the host; ports.….kernel limits',
  ),
  kernel_queue_full: look('the host’s, and its kernel did not come after', 'the housekeeping CPUs are busy'),
  stopped: fine('it was on its way when the director stopped'),
};
