# SPDX-License-Identifier: Apache-2.0
# An HTTP server whose answers take their time: slow_http.py NAME PORT. GET /100 is answered with 100 lines NAME, twenty a
# second. Prints "ready", and "cut" whenever an answer ends by a reset.
import http.server, socketserver, sys, time

name, port = sys.argv[1], int(sys.argv[2])


class Slowly(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        line, lines = name.encode() + b'\n', int(self.path[1:])
        self.send_response(200)
        self.send_header('Content-Length', str(len(line) * lines))
        self.end_headers()
        try:
            for _ in range(lines):
                self.wfile.write(line)
                time.sleep(0.05)
        except ConnectionResetError:
            print('cut', flush=True)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


with Server(('', port), Slowly) as server:
    print('ready', flush=True)
    server.serve_forever()
