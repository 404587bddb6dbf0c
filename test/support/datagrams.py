# SPDX-License-Identifier: Apache-2.0
# UDP echoes that are compared byte for byte. `datagrams.py serve PORT ADDRESS…` sends back what comes to these addresses
# and prints "ready"; `datagrams.py ask PORT ADDRESS SIZE SOCKETS` sends random datagrams, the first socket's alone, then
# those of all others at once, and prints how often one had to be sent again because the path's MTU was learnt. Anything
# but an equal answer is an error.

import errno
import os
import selectors
import socket
import sys

# Not in Python's socket module: queue ICMP errors to the socket, so that they are seen at once.
RECEIVE_ERRORS = {socket.AF_INET: (socket.IPPROTO_IP, 11), socket.AF_INET6: (socket.IPPROTO_IPV6, 25)}
TIMEOUT_S = 5
# Several long datagrams, with the kernel's own overhead for their pieces, beyond what the machine allows by default.
SO_RCVBUFFORCE = 33
BUFFER_BYTES = 8 << 20


def open_socket(address):
    opened = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)
    opened.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_BYTES)
    return opened


def serve(port, addresses):
    selector = selectors.DefaultSelector()
    for address in addresses:
        server = open_socket(address)
        server.bind((address, port))
        selector.register(server, selectors.EVENT_READ)
    print('ready', flush=True)
    while True:
        for key, _ in selector.select():
            data, client = key.fileobj.recvfrom(65535)
            key.fileobj.sendto(data, client)


class Question:
    def __init__(self, address, port, size):
        self.data = os.urandom(size)
        self.socket = open_socket(address)
        self.socket.setsockopt(*RECEIVE_ERRORS[self.socket.family], 1)
        self.socket.settimeout(TIMEOUT_S)
        self.socket.connect((address, port))
        self.sent = 0

    def send(self):
        self.socket.send(self.data)
        self.sent += 1

    def check_answer(self):
        while True:
            try:
                answer = self.socket.recv(65535)
            except OSError as error:
                # Packet too big: the kernel knows the path's MTU now.
                if error.errno != errno.EMSGSIZE:
                    raise
                self.send()
                continue
            if answer != self.data:
                sys.exit(f'sent {len(self.data)} bytes, received {len(answer)} others')
            return


def ask(port, address, size, count):
    questions = [Question(address, port, size) for _ in range(count)]
    for group in (questions[:1], questions[1:]):
        for question in group:
            question.send()
        for question in group:
            question.check_answer()
    print(sum(question.sent for question in questions) - count)


if __name__ == '__main__':
    if sys.argv[1] == 'serve':
        serve(int(sys.argv[2]), sys.argv[3:])
    else:
        ask(int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
