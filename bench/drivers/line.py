"""`PORT DELAY`: a proxy on loopback that is a line of DELAY ms there and back, to what listens at PORT.

    python -m bench.drivers.line 8000 40        prints its port, and serves until its input is closed

Bytes arrive half the delay after they were sent, in both directions, and as fast as they were sent; the first
bytes of a connection a whole delay later, which is what setting it up would take. So a reader who asks for things one
after another pays for each, and one who asks for many at once pays once.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import sys
import threading
import time

_CHUNK = 1 << 16
_HELD = 256
"""Chunks that are under way in one direction at the most."""


def main(port: str, delay: str) -> None:
    late = float(delay) / 1000
    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        threading.Thread(target=_accept, args=(server, int(port), late), daemon=True).start()
        print(server.getsockname()[1], flush=True)
        sys.stdin.read()


def _accept(server: socket.socket, port: int, late: float) -> None:
    with contextlib.suppress(OSError):
        while True:
            near, _ = server.accept()
            far = socket.create_connection(("127.0.0.1", port))
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _carry(near, far, late / 2, late)
            _carry(far, near, late / 2, 0.0)


def _carry(source: socket.socket, sink: socket.socket, late: float, first: float) -> None:
    """Begin to carry bytes from one end to the other."""
    under_way: queue.Queue[tuple[float, bytes]] = queue.Queue(_HELD)
    threading.Thread(target=_receive, args=(source, under_way, late, first), daemon=True).start()
    threading.Thread(target=_deliver, args=(sink, under_way), daemon=True).start()


def _receive(source: socket.socket, under_way: queue.Queue[tuple[float, bytes]], late: float, first: float) -> None:
    data = b"begin"
    while data:
        try:
            data = source.recv(_CHUNK)
        except OSError:
            data = b""
        under_way.put((time.monotonic() + late + first, data))
        first = 0.0


def _deliver(sink: socket.socket, under_way: queue.Queue[tuple[float, bytes]]) -> None:
    while True:
        due, data = under_way.get()
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            sink.sendall(data)
        except OSError:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
