# SPDX-License-Identifier: Apache-2.0
# new_connections.py PER_SECOND ADDRESS...: GET / by a connection of its own, at a steady rate whatever becomes of the ones
# before, to each address in turn. A line each: address, when it was begun (seconds since 1970), who answered or what went wrong.
import http.client
import os
import sys
import threading
import time

TIMEOUT = 2


def ask(address):
    begun = time.time()
    connection = http.client.HTTPConnection(address, 80, timeout=TIMEOUT)
    try:
        connection.request("GET", "/", headers={"Connection": "close"})
        response = connection.getresponse()
        answer = response.read().decode().strip() if response.status == 200 else f"status-{response.status}"
    except OSError as error:
        answer = f"error-{type(error).__name__}"
    except http.client.HTTPException as error:
        answer = f"error-{type(error).__name__}"
    connection.close()
    os.write(1, f"{address} {begun:.3f} {answer}\n".encode())


per_second = float(sys.argv[1])
addresses = sys.argv[2:]
due = time.monotonic()
while True:
    for address in addresses:
        threading.Thread(target=ask, args=(address,), daemon=True).start()
        due += 1 / per_second
        time.sleep(max(0, due - time.monotonic()))
