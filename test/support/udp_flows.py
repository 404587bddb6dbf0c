# SPDX-License-Identifier: Apache-2.0
# Datagrams of many flows from one host: udp_flows.py DESTINATION PORT FIRST_SOURCE FLOWS SECONDS RATE. Sources are
# consecutive addresses with 50,000 ports each, in turn; RATE datagrams a second (0: as fast as it goes), for SECONDS or,
# with SECONDS 0, once through all flows. Prints the rate that it reached.
import ipaddress, socket, struct, sys, time

destination, port, first = sys.argv[1], int(sys.argv[2]), int(ipaddress.ip_address(sys.argv[3]))
flows, seconds, rate = int(sys.argv[4]), float(sys.argv[5]), float(sys.argv[6])
ports_each = 50000

raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
to = (destination, 0)
target = socket.inet_aton(destination)
# The kernel fills in the checksum of the IP header; UDP goes without one.
head = struct.pack('!BBHHHBBH', 0x45, 0, 28, 0, 0, 64, 17, 0)
packets = [
    head + (first + flow // ports_each).to_bytes(4, 'big') + target
    + struct.pack('!HHHH', 10000 + flow % ports_each, port, 8, 0)
    for flow in range(flows)
]

start = time.monotonic()
sent = 0
while True:
    for packet in packets:
        raw.sendto(packet, to)
        sent += 1
        if sent % 64 == 0:
            elapsed = time.monotonic() - start
            if seconds and elapsed >= seconds:
                print(int(sent / elapsed))
                sys.exit()
            if rate and sent / rate > elapsed:
                time.sleep(sent / rate - elapsed)
    if not seconds:
        print(int(sent / (time.monotonic() - start)))
        sys.exit()
