"""A web server under a test's control: what each path answers, and what was asked.

A path has a list of behaviours; each request takes the next, and the last one stays. A behaviour is a
function of the handler, free to break the protocol.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

Behaviour = Callable[["Handler"], None]


class Asked(NamedTuple):
    path: str
    headers: dict[str, str]


class Web:
    """`url(path)` is where it listens; `over` is set when the test ends, and frees what stalls."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.asked: list[Asked] = []
        self.routes: dict[str, list[Behaviour]] = {}
        self.otherwise: Behaviour = status(404)
        self.over = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.web = self
        self.scheme = "http"
        if context is not None:
            self.scheme = "https"
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def url(self, path: str) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def serve(self, path: str, *behaviours: Behaviour) -> str:
        self.routes[path] = list(behaviours)
        return self.url(path)

    def next(self, path: str) -> Behaviour:
        with self._lock:
            behaviours = self.routes.get(path, [self.otherwise])
            return behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]

    def close(self) -> None:
        self.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        web = self.server.web
        web.asked.append(Asked(self.path, dict(self.headers.items())))
        try:
            web.next(self.path)(self)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass

    def answer(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.head(code, len(body), **headers)
        self.wfile.write(body)

    def head(self, code: int, length: int | None, **headers: str) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True

    def wanted_from(self, etag: str | None) -> int:
        """Where the wanted range begins; 0 when the whole file is wanted, or If-Range names another."""
        wanted = self.headers.get("Range", "")
        if not wanted.startswith("bytes=") or self.headers.get("If-Range", etag) != etag:
            return 0
        return int(wanted[len("bytes=") :].partition("-")[0])


def body(data: bytes, *, etag: str | None = '"1"', ranges: bool = True, **headers: str) -> Behaviour:
    """A server that does it right; with `ranges=False` one that knows no ranges."""
    return sent(data, len(data), etag=etag, ranges=ranges, **headers)


def sent(data: bytes, until: int, *, etag: str | None = '"1"', ranges: bool = True, **headers: str) -> Behaviour:
    """As `body`, but the connection ends once the file's byte `until` was to be sent."""

    def behave(handler: Handler) -> None:
        begin = handler.wanted_from(etag) if ranges else 0
        extra = dict(headers)
        if etag is not None:
            extra["ETag"] = etag
        if begin:
            extra["Content_Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        handler.head(206 if begin else 200, len(data) - begin, **extra)
        handler.wfile.write(data[begin : max(begin, until)])
        if until < len(data):
            handler.hang_up()

    return behave


def status(code: int, text: bytes = b"", **headers: str) -> Behaviour:
    return lambda handler: handler.answer(code, text, **headers)


def redirect(to: str, code: int = 302) -> Behaviour:
    return lambda handler: handler.answer(code, Location=to)


def stalled(data: bytes, after: int) -> Behaviour:
    """The whole length is promised, `after` bytes come, and then nothing, with the connection open."""

    def behave(handler: Handler) -> None:
        handler.head(200, len(data), ETag='"1"')
        handler.wfile.write(data[:after])
        handler.wfile.flush()
        handler.server.web.over.wait(60)
        handler.close_connection = True

    return behave


def dripping(data: bytes) -> Behaviour:
    """A byte at a time, without end."""

    def behave(handler: Handler) -> None:
        handler.head(200, len(data), ETag='"1"')
        for byte in data:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            if handler.server.web.over.wait(0.01):
                break
        handler.close_connection = True

    return behave


def wrong_range(data: bytes, begin: int) -> Behaviour:
    """A 206 for a range that nobody asked for."""
    return lambda handler: handler.answer(
        206, data[begin:], Content_Range=f"bytes {begin}-{len(data) - 1}/{len(data)}"
    )


def chunked(data: bytes, *, complete: bool = True) -> Behaviour:
    """Without a length, in chunks; incomplete, the last chunk is missing."""

    def behave(handler: Handler) -> None:
        handler.head(200, None, Transfer_Encoding="chunked")
        for at in range(0, len(data), 1000):
            piece = data[at : at + 1000]
            handler.wfile.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
        if complete:
            handler.wfile.write(b"0\r\n\r\n")
        else:
            handler.hang_up()

    return behave


def raw(data: bytes) -> Behaviour:
    """Bytes that need not be HTTP."""

    def behave(handler: Handler) -> None:
        handler.wfile.write(data)
        handler.hang_up()

    return behave
