# SPDX-License-Identifier: Apache-2.0
"""service_manager.py SOCKET: prints every datagram that comes to a unix socket, as systemd would read it, on a line."""
import socket
import sys

listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
listener.bind(sys.argv[1])
print("listening", flush=True)
while True:
    print(listener.recv(4096).decode(), flush=True)
