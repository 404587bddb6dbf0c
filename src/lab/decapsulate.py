# SPDX-License-Identifier: Apache-2.0
# Takes IP-in-IP packets off the network for a test host whose kernel has no tunnels: reads them from raw sockets and
# writes the inner packets to a TUN device, so that the kernel receives them as if they had come bare.
# Usage: decapsulate.py DEVICE FAMILY…; families (4, 6) are those of the outer packets, inside may be either. Prints
# "ready" when everything is open. The caller brings the device up.

import errno
import fcntl
import os
import selectors
import socket
import struct
import sys

# What is inside, by the outer packet's protocol: IP version.
INNER_VERSIONS = {socket.IPPROTO_IPIP: 4, socket.IPPROTO_IPV6: 6}
SHORTEST = {4: 20, 6: 40}
TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000


def open_tun(name):
    tun = os.open('/dev/net/tun', os.O_RDWR)
    fcntl.ioctl(tun, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TUN | IFF_NO_PI))
    return tun


def open_raw(family, protocol):
    raw = socket.socket(family, socket.SOCK_RAW, protocol)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    return raw


def inner_packet(packet, family, version):
    """What is behind the outer header, which the kernel shows of IPv4 only; None if it is not of this version."""
    inner = packet[(packet[0] & 0x0F) * 4:] if family == socket.AF_INET else packet
    return inner if len(inner) >= SHORTEST[version] and inner[0] >> 4 == version else None


def hand_over(tun, inner):
    try:
        os.write(tun, inner)
    except OSError as error:
        # Down, or not a packet that the kernel takes: lost, as it would be on any network.
        if error.errno not in (errno.EIO, errno.EINVAL):
            raise


def main():
    tun = open_tun(sys.argv[1])
    families = [{'4': socket.AF_INET, '6': socket.AF_INET6}[word] for word in sys.argv[2:]]
    selector = selectors.DefaultSelector()
    for family in families:
        for protocol, version in INNER_VERSIONS.items():
            selector.register(open_raw(family, protocol), selectors.EVENT_READ, (family, version))
    print('ready', flush=True)
    while True:
        for key, _ in selector.select():
            inner = inner_packet(key.fileobj.recv(65535), *key.data)
            if inner is not None:
                hand_over(tun, inner)


if __name__ == '__main__':
    main()
