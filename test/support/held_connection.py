# SPDX-License-Identifier: Apache-2.0
# held_connection.py ADDRESS NAME: keeps one connection to the server of this name. Says "held", then, for each line of its
# input, what a further request on that connection is answered with: the status, or "no answer".
import http.client
import sys

TIMEOUT = 2


def ask(connection):
    connection.request("GET", "/")
    response = connection.getresponse()
    response.read()
    return response


def hold(address, name):
    while True:
        connection = http.client.HTTPConnection(address, 80, timeout=TIMEOUT)
        connection.connect()
        if ask(connection).getheader("X-Server") == name:
            # Not made again behind our back.
            connection.auto_open = 0
            return connection
        connection.close()


held = hold(sys.argv[1], sys.argv[2])
print("held", flush=True)
for _ in sys.stdin:
    try:
        print(ask(held).status, flush=True)
    except (OSError, http.client.HTTPException):
        print("no answer", flush=True)
