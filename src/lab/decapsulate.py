# SPDX-License-Identifier: Apache-2.0
# Takes IPIP packets off the network for a test host whose kernel has no ipip: reads them from a raw socket and writes
# the inner packet to a TUN device, so that the kernel receives it as if it had come bare.
# Usage: decapsulate.py DEVICE; prints "ready" when both ends are open. The caller brings the device up.

import errno
import fcntl
import os
import socket
import struct
import sys

IPPROTO_IPIP = 4
TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000


def open_tun(name):
    tun = os.open('/dev/net/tun', os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def open_raw():
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, IPPROTO_IPIP)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    return raw


def inner_packet(packet):
    """What is behind the outer IPv4 header; None if it is not IPv4."""
    inner = packet[(packet[0] & 0x0F) * 4:]
    return inner if len(inner) >= 20 and inner[0] >> 4 == 4 else None


def main():
    tun = open_tun(sys.argv[1])
    raw = open_raw()
    print('ready', flush=True)
    while True:
        inner = inner_packet(raw.recv(65535))
        if inner is None:
            continue
        try:
            os.write(tun, inner)
        except OSError as error:
            # Down, or not a packet that the kernel takes: lost, as it would be on any network.
            if error.errno not in (errno.EIO, errno.EINVAL):
                raise


if __name__ == '__main__':
    main()
