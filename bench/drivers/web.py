"""`FOLDER`: a web server of a folder on loopback: GET with ranges and kept connections.

    python -m bench.drivers.web FOLDER        prints its port, serves until its input is closed, prints bytes sent

Both peers read from the same server.
"""

from __future__ import annotations

import os
import re
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = "/"
    sent = 0
    counting = threading.Lock()

    def setup(self) -> None:
        super().setup()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        try:
            with open(os.path.join(self.folder, self.path.lstrip("/")), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                first, last = self._span(size)
                whole = (first, last) == (0, size - 1)
                self.send_response(200 if whole else 206)
                if not whole:
                    self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
                self.send_header("Content-Length", str(last - first + 1))
                self.send_header("Accept-Ranges", "bytes")
                self.end_headers()
                self.wfile.flush()
                while body and first <= last:
                    moved = os.sendfile(self.connection.fileno(), file.fileno(), first, last - first + 1)
                    first += moved
                    with self.counting:
                        _Handler.sent += moved
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the reader has what it wanted
        except (FileNotFoundError, IsADirectoryError):
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _span(self, size: int) -> tuple[int, int]:
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked is None:
            return 0, size - 1
        return int(asked[1]), min(int(asked[2] or size - 1), size - 1)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


def main(folder: str) -> None:
    _Handler.folder = folder
    with _Server(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_port, flush=True)
        sys.stdin.read()
        server.shutdown()
    print(_Handler.sent, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
