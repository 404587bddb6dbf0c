# SPDX-License-Identifier: Apache-2.0
# A switch with one trunk and access ports, for kernels without VLAN support: what comes in by an access port leaves by
# the trunk with the port's tag, and the other way round.
# Usage: vlan_switch.py TRUNK ACCESS=VLAN...; prints "ready" when all ports are open. All devices are in this namespace.

import selectors
import socket
import struct
import sys

ETH_P_ALL = 3
SOL_PACKET = 263
PACKET_AUXDATA = 8
PACKET_OUTGOING = 4
TP_STATUS_VLAN_VALID = 1 << 4


def open_port(device):
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    port.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    port.bind((device, 0))
    return port


def receive(port):
    """A frame and its tag (0: none), which the kernel has taken out of the frame; None for what was sent here."""
    frame, ancillary, _, address = port.recvmsg(65536, 64)
    if address[2] == PACKET_OUTGOING:
        return None
    vlan = 0
    for level, kind, data in ancillary:
        if level == SOL_PACKET and kind == PACKET_AUXDATA:
            status, _, _, _, _, tag, _ = struct.unpack('IIIHHHH', data[:20])
            if status & TP_STATUS_VLAN_VALID:
                vlan = tag & 0x0FFF
    return frame, vlan


def tagged(frame, vlan):
    return frame[:12] + struct.pack('!HH', 0x8100, vlan) + frame[12:]


def main():
    trunk = open_port(sys.argv[1])
    access = {}
    for word in sys.argv[2:]:
        device, vlan = word.split('=')
        access[int(vlan)] = open_port(device)
    selector = selectors.DefaultSelector()
    selector.register(trunk, selectors.EVENT_READ, None)
    for vlan, port in access.items():
        selector.register(port, selectors.EVENT_READ, vlan)
    print('ready', flush=True)
    while True:
        for key, _ in selector.select():
            received = receive(key.fileobj)
            if received is None:
                continue
            frame, vlan = received
            if key.data is not None:
                trunk.send(tagged(frame, key.data))
            elif vlan in access:
                access[vlan].send(frame)


if __name__ == '__main__':
    main()
