# SPDX-License-Identifier: Apache-2.0
"""Clients of the management API that behave badly: over TLS with raw HTTP/2 frames, or with Python's grpcio.

api_abuse.py PORT DIRECTORY CLIENT WHAT; prints one JSON document, and with a line "ready" before it when it only waits.
"""

import json
import socket
import ssl
import struct
import sys
import time

port, directory, client, what = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
GET_STATUS = "/fulcrum.v1.DirectorService/GetStatus"


def tls():
    context = ssl.create_default_context(cafile=f"{directory}/ca.crt")
    context.load_cert_chain(f"{directory}/{client}.crt", f"{directory}/{client}.key")
    context.set_alpn_protocols(["h2"])
    raw = socket.create_connection(("127.0.0.1", port), timeout=20)
    return context.wrap_socket(raw, server_hostname="localhost")


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """HPACK: a literal without indexing, no Huffman code."""

    def text(of):
        if len(of) < 127:
            return bytes([len(of)]) + of
        rest, out = len(of) - 127, bytes([127])
        while rest >= 128:
            out += bytes([rest % 128 + 128])
            rest //= 128
        return out + bytes([rest]) + of

    return b"\0" + text(name.encode()) + text(value.encode())


def request(path, *extra):
    fields = [(":method", "POST"), (":scheme", "https"), (":path", path), (":authority", "localhost")]
    fields += [("content-type", "application/grpc"), ("te", "trailers"), *extra]
    return b"".join(literal(name, value) for name, value in fields)


def until_closed(connection, seconds):
    """Reads on; how long it took until the other side closed, and what a GOAWAY said, or None."""
    begun, received, goaway = time.monotonic(), b"", None
    connection.settimeout(seconds)
    try:
        while True:
            piece = connection.recv(65536)
            if not piece:
                break
            received += piece
            while len(received) >= 9 and len(received) >= 9 + int.from_bytes(received[:3], "big"):
                size = int.from_bytes(received[:3], "big")
                if received[3] == GOAWAY:
                    goaway = int.from_bytes(received[13:17], "big")
                received = received[9 + size :]
    except TimeoutError:
        return {"closed": False, "goaway": goaway}
    except OSError:
        pass
    return {"closed": True, "seconds": time.monotonic() - begun, "goaway": goaway}


def reset_flood():
    """Requests, each taken back at once: as many as go in three seconds."""
    connection = tls()
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
    header, sent, stream, end = request(GET_STATUS), 0, 1, time.monotonic() + 3
    try:
        while time.monotonic() < end:
            batch = b""
            for _ in range(100):
                batch += frame(HEADERS, 4, stream, header) + frame(RST_STREAM, 0, stream, struct.pack(">I", 8))
                stream += 2
            connection.sendall(batch)
            sent += 100
    except OSError:
        pass
    return {"sent": sent, **until_closed(connection, 5)}


def call_flood():
    """Whole requests, without waiting for answers."""
    connection = tls()
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
    header, sent, stream, end = request(GET_STATUS), 0, 1, time.monotonic() + 3
    try:
        while time.monotonic() < end:
            batch = b""
            for _ in range(50):
                batch += frame(HEADERS, 4, stream, header) + frame(DATA, 1, stream, bytes(5))
                stream += 2
            connection.sendall(batch)
            sent += 50
    except OSError:
        pass
    return {"sent": sent, **until_closed(connection, 5)}


def ping_flood():
    connection = tls()
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
    sent, end = 0, time.monotonic() + 3
    try:
        while time.monotonic() < end:
            connection.sendall(frame(PING, 0, 0, bytes(8)) * 200)
            sent += 200
    except OSError:
        pass
    return {"sent": sent, **until_closed(connection, 5)}


def large_header():
    connection = tls()
    block = request(GET_STATUS, ("x-large", "y" * 200_000))
    frames = [block[at : at + 16_000] for at in range(0, len(block), 16_000)]
    try:
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 1, 1, frames[0]))
        for at, piece in enumerate(frames[1:]):
            connection.sendall(frame(9, 4 if at == len(frames) - 2 else 0, 1, piece))
    except OSError:
        pass
    return until_closed(connection, 2)


def garbage():
    connection = tls()
    connection.sendall(bytes(range(256)) * 100)
    return until_closed(connection, 10)


def http1():
    connection = tls()
    connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
    return until_closed(connection, 10)


def silent_tls():
    """A handshake, then nothing."""
    return until_closed(tls(), 10)


def settings_only():
    connection = tls()
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
    return until_closed(connection, 10)


def half_handshakes():
    """Connections that never send a byte, as many as DIRECTORY's manager takes at a time and then some."""
    sockets = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(200)]
    print("ready", flush=True)
    return {"closed": sum(until_closed(each, 10)["closed"] for each in sockets)}


def half_request():
    """A request whose message never comes to its end."""
    connection = tls()
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0) + frame(HEADERS, 4, 1, request(GET_STATUS)))
    connection.sendall(frame(DATA, 0, 1, b"\0\0\0\0\x10ab"))
    connection.settimeout(10)
    received = b""
    begun = time.monotonic()
    while not has_trailers(received):
        piece = connection.recv(65536)
        if not piece:
            return {"seconds": None}
        received += piece
    return {"seconds": time.monotonic() - begun}


def has_trailers(received):
    """Whether there is a HEADERS frame that ends stream 1."""
    at = 0
    while len(received) >= at + 9:
        size = int.from_bytes(received[at : at + 3], "big")
        if received[at + 3] == HEADERS and received[at + 4] & 1:
            return True
        at += 9 + size
    return False


def deaf_watch():
    """Watches, and reads nothing any more: its windows stay closed. Waits until standard input ends."""
    connection = tls()
    connection.sendall(PREFACE + frame(SETTINGS, 0, 0))
    header = request("/fulcrum.v1.DirectorService/Watch")
    for stream in range(1, 9, 2):
        connection.sendall(frame(HEADERS, 4, stream, header) + frame(DATA, 1, stream, bytes(5)))
    print("ready", flush=True)
    sys.stdin.read()
    return {}


def grpc_channel():
    import grpc

    def read(name):
        with open(f"{directory}/{name}", "rb") as file:
            return file.read()

    credentials = grpc.ssl_channel_credentials(read("ca.crt"), read(f"{client}.key"), read(f"{client}.crt"))
    return grpc.secure_channel(f"localhost:{port}", credentials)


def call(channel, path, message, **settings):
    """Name of the status, and when to try again."""
    import grpc

    try:
        channel.unary_unary(path, request_serializer=None, response_deserializer=None)(message, timeout=20, **settings)
        return "OK", None
    except grpc.RpcError as error:
        metadata = dict(error.trailing_metadata() or ())
        return error.code().name, metadata.get("grpc-retry-pushback-ms")


def oversized():
    """Five MiB, and fifty that are small on the wire; a message that is none; then an ordinary one."""
    import grpc

    channel = grpc_channel()
    apply = "/fulcrum.v1.DirectorService/Apply"
    return {
        "large": call(channel, apply, bytes(5 * 1024 * 1024))[0],
        "bomb": call(channel, apply, bytes(50 * 1024 * 1024), compression=grpc.Compression.Gzip)[0],
        "malformed": call(channel, apply, b"\xff" * 100)[0],
        "ordinary": call(channel, GET_STATUS, b"")[0],
    }


def rate():
    """As many calls as go, one after the other, until one is refused or there were 5,000."""
    channel = grpc_channel()
    answers = []
    for _ in range(5_000):
        answers.append(call(channel, GET_STATUS, b""))
        if answers[-1][0] != "OK":
            break
    refused, pushback = answers[-1]
    if pushback is not None:
        time.sleep(int(pushback) / 1000)
    return {"calls": len(answers), "refused": refused, "pushback": pushback, "after": call(channel, GET_STATUS, b"")[0]}


print(json.dumps(globals()[what]()), flush=True)
