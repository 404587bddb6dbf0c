# SPDX-License-Identifier: Apache-2.0
# damaged_header.py DEVICE MAC SOURCE DESTINATION: sends SYNs whose IP header checksum is wrong, twenty a second, until
# it is ended. The kernel fills that checksum in for whoever does not write whole frames.
import socket
import struct
import sys
import time

device, mac, source, destination = sys.argv[1:]
out = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
out.bind((device, 0))
own = out.getsockname()[4]
ends = socket.inet_aton(source) + socket.inet_aton(destination)
header = struct.pack("!BBHHHBBH", 0x45, 0, 40, 1, 0x4000, 64, 6, 0xDEAD) + ends
syn = struct.pack("!HHIIBBHHH", 40000, 80, 1, 0, 0x50, 2, 64240, 0, 0)
frame = bytes.fromhex(mac.replace(":", "")) + own + b"\x08\x00" + header + syn
while True:
    out.send(frame)
    time.sleep(0.05)
