# SPDX-License-Identifier: Apache-2.0
# An HTTP server whose answers take their time: slow_http.py NAME PORT. GET /100 is answered with 100 lines NAME, twenty a
# second, GET /any/file with as many until that file is there, and "end". Prints "ready", and "cut" when a reset ends one.
import http.server, itertools, os, socketserver, sys, time

name, port = sys.argv[1], int(sys.argv[2])


class Slowly(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        line, lines = name.encode() + b'\n', int(self.path[1:]) if self.path[1:].isdigit() else None
        self.send_response(200)
        if lines is not None:
            self.send_header('Content-Length', str(len(line) * lines))
        self.end_headers()
        try:
            for _ in itertools.count() if lines is None else range(lines):
                self.wfile.write(line)
                time.sleep(0.05)
                if lines is None and os.path.exists(self.path):
                    self.wfile.write(b'end\n')
                    break
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
