# SPDX-License-Identifier: Apache-2.0
# UDP for stories. `udp_echo.py serve NAME PORT` answers every datagram with NAME; `udp_echo.py ask ADDRESS PORT COUNT
# [nosum]` asks from one socket and prints the answers, one a line; with nosum without a UDP checksum.

import socket
import sys

SO_NO_CHECK = 11


def serve(name, port):
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(('', port))
    print('ready', flush=True)
    while True:
        _, client = server.recvfrom(2048)
        server.sendto(name.encode(), client)


def ask(address, port, count, options):
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if 'nosum' in options:
        client.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
    client.settimeout(5)
    client.connect((address, port))
    for _ in range(count):
        client.send(b'who are you?')
        print(client.recv(2048).decode())


if __name__ == '__main__':
    if sys.argv[1] == 'serve':
        serve(sys.argv[2], int(sys.argv[3]))
    else:
        ask(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5:])
