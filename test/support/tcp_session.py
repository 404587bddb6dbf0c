# SPDX-License-Identifier: Apache-2.0
# One TCP connection on which somebody types: tcp_session.py ADDRESS PORT LINES INTERVAL. Sends a line every INTERVAL
# seconds and waits for its echo; prints how many came back, and the median and the longest wait in milliseconds.
import socket, statistics, sys, time

address, port, lines, interval = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
waits = []
with socket.create_connection((address, port), timeout=20) as session:
    session.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    echo = session.makefile('rb')
    print('connected', flush=True)
    for number in range(lines):
        line = b'line %d\n' % number
        start = time.monotonic()
        session.sendall(line)
        if echo.readline() != line:
            sys.exit(f'line {number} did not come back')
        waits.append((time.monotonic() - start) * 1000)
        time.sleep(interval)
print(f'{len(waits)} lines, median {statistics.median(waits):.2f} ms, longest {max(waits):.2f} ms')
