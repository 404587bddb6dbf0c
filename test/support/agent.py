# SPDX-License-Identifier: Apache-2.0
# An agent for HAProxy's agent-check: answers each connection to 127.0.0.1:PORT with what is in FILE.
import socket
import sys

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("ready", flush=True)
while True:
    connection, _ = listener.accept()
    with connection, open(sys.argv[2], "rb") as answer:
        connection.sendall(answer.read())
