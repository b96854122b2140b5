"""A web server on loopback that serves files as any would, and lies, stalls and breaks off on command.

    with LyingServer(folder) as server:
        server.lie(r"p/.*", truncated(100))             # every answer to a path that matches
        server.lie("kiln-cache.json", status(503, retry_after=0), times=2)
        open_backend(server.url)

Without a lie it answers GET and HEAD with one range, and keeps connections open. Files are those of a folder, read
anew for each request, or of `files`, which comes first. The last lie that matches counts. `asked` has every request.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Asked:
    """A request as it came; header names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def span(self) -> tuple[int, int] | None:
        """The range that is asked for: the first byte, and the one behind the last."""
        found = re.fullmatch(r"bytes=([0-9]+)-([0-9]+)", self.headers.get("range", ""))
        return (int(found[1]), int(found[2]) + 1) if found else None


@dataclass
class Line:
    """The way back to who asked. `over` is set when the server ends."""

    connection: socket.socket
    over: threading.Event

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def answer(self, status: int, body: bytes = b"", *, head: bool = False, **headers: str) -> None:
        fields = {
            "content-length": str(len(body)),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        lines = [f"HTTP/1.1 {status} Word", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
        self.send("\r\n".join(lines).encode("latin-1") + (b"" if head else body))

    def wait(self, seconds: float) -> None:
        self.over.wait(seconds)


Lie = Callable[[Asked, "bytes | None", Line], bool]
"""Answers a request for a file's bytes (None: no such file); whether the connection stays open."""


def honest(asked: Asked, data: bytes | None, line: Line) -> bool:
    head = asked.method == "HEAD"
    if data is None:
        line.answer(404, head=head)
    elif asked.span is None:
        line.answer(200, data, head=head)
    else:
        start, end = asked.span
        if start >= len(data):
            line.answer(416, content_range=f"bytes */{len(data)}")
        else:
            piece = data[start:end]
            line.answer(206, piece, head=head, content_range=f"bytes {start}-{start + len(piece) - 1}/{len(data)}")
    return True


def status(code: int, *, retry_after: float | None = None, body: bytes = b"", **headers: str) -> Lie:
    """Always this status."""

    def lie(asked: Asked, data: bytes | None, line: Line) -> bool:
        after = {} if retry_after is None else {"retry_after": f"{retry_after:g}"}
        line.answer(code, body, head=asked.method == "HEAD", **after, **headers)
        return True

    return lie


def redirected(target: str) -> Lie:
    return status(302, location=target)


def missing(asked: Asked, data: bytes | None, line: Line) -> bool:
    """404, whatever there is."""
    return honest(asked, None, line)


def ranges_ignored(asked: Asked, data: bytes | None, line: Line) -> bool:
    """The whole file, whatever was asked for."""
    return honest(Asked(asked.method, asked.path, {}, b""), data, line)


def changed(change: Callable[[bytes], bytes]) -> Lie:
    """Honest about other bytes: flipped, swapped, bombs."""

    def lie(asked: Asked, data: bytes | None, line: Line) -> bool:
        return honest(asked, None if data is None else change(data), line)

    return lie


def flipped(at: int) -> Lie:
    """One byte of the file is another."""
    return changed(lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] if at < len(data) else data)


def truncated(keep: int) -> Lie:
    """The whole length is promised, `keep` bytes come, and the connection ends."""

    def lie(asked: Asked, data: bytes | None, line: Line) -> bool:
        head, _, body = _answer_of(asked, data, line).partition(b"\r\n\r\n")
        line.send(head + b"\r\n\r\n" + body[:keep])
        return False

    return lie


def overlong(more: bytes) -> Lie:
    """Bytes behind the end, in one body without a length."""

    def lie(asked: Asked, data: bytes | None, line: Line) -> bool:
        head, _, body = _answer_of(asked, data, line).partition(b"\r\n\r\n")
        line.send(_without(head, b"content-length") + b"\r\nconnection: close\r\n\r\n" + body + more)
        return False

    return lie


def endless(asked: Asked, data: bytes | None, line: Line) -> bool:
    """Bytes without an end, and without a length."""
    head, _, body = _answer_of(asked, data, line).partition(b"\r\n\r\n")
    line.send(_without(head, b"content-length") + b"\r\nconnection: close\r\n\r\n" + body)
    while not line.over.is_set():
        line.send(b"\0" * 65536)
    return False


def length_off_by(delta: int) -> Lie:
    """A Content-Length that is not the body's."""

    def lie(asked: Asked, data: bytes | None, line: Line) -> bool:
        head, _, body = _answer_of(asked, data, line).partition(b"\r\n\r\n")
        stated = f"\r\ncontent-length: {max(0, len(body) + delta)}\r\n\r\n".encode()
        line.send(_without(head, b"content-length") + stated + body)
        return False

    return lie


def range_off_by(delta: int) -> Lie:
    """A range that begins elsewhere, and says so."""

    def lie(asked: Asked, data: bytes | None, line: Line) -> bool:
        if asked.span is None or data is None:
            return honest(asked, data, line)
        start, end = (place + delta for place in asked.span)
        line.answer(206, data[start:end], content_range=f"bytes {start}-{end - 1}/{len(data)}")
        return True

    return lie


def dripping(piece: int, every: float) -> Lie:
    """The headers at once, then `piece` bytes every so many seconds."""

    def lie(asked: Asked, data: bytes | None, line: Line) -> bool:
        head, _, body = _answer_of(asked, data, line).partition(b"\r\n\r\n")
        line.send(head + b"\r\n\r\n")
        for start in range(0, len(body), piece):
            line.send(body[start : start + piece])
            line.wait(every)
            if line.over.is_set():
                return False
        return True

    return lie


def stalled(asked: Asked, data: bytes | None, line: Line) -> bool:
    """The headers and half of the body, then nothing."""
    head, _, body = _answer_of(asked, data, line).partition(b"\r\n\r\n")
    line.send(head + b"\r\n\r\n" + body[: len(body) // 2])
    line.wait(600)
    return False


def silent(asked: Asked, data: bytes | None, line: Line) -> bool:
    """No answer."""
    line.wait(600)
    return False


def garbage(asked: Asked, data: bytes | None, line: Line) -> bool:
    """Not HTTP."""
    line.send(b"\x1b[31mSSH-2.0-whatever\r\n\r\n")
    return False


class _Kept(Line):
    """A line that leads nowhere."""

    def __init__(self, over: threading.Event) -> None:
        self.sent: list[bytes] = []
        self.over = over

    def send(self, data: bytes) -> None:
        self.sent.append(data)


def _answer_of(asked: Asked, data: bytes | None, line: Line) -> bytes:
    """What an honest answer would be, in bytes."""
    kept = _Kept(line.over)
    honest(asked, data, kept)
    return b"".join(kept.sent)


def _without(head: bytes, name: bytes) -> bytes:
    return b"\r\n".join(row for row in head.split(b"\r\n") if not row.lower().startswith(name + b":"))


@dataclass
class LyingServer:
    """The server; it runs in threads of this process while it is entered."""

    folder: str | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    take: Callable[[Asked], tuple[int, bytes]] | None = None
    """Answers PUT, POST and DELETE: status and body. Without it they are refused, as by a plain web server."""
    delay: float = 0.0
    """Seconds before each answer: a cache far away."""

    def __post_init__(self) -> None:
        self._lies: list[tuple[re.Pattern[str], Lie, list[int]]] = []
        self._over = threading.Event()
        self._guard = threading.Lock()
        self._open: set[socket.socket] = set()  # guarded by _guard
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._socket.getsockname()[1])
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lie(self, pattern: str, how: Lie, *, times: int | None = None) -> None:
        """Answer so wherever the whole path matches; `times` answers, or always."""
        self._lies.append((re.compile(pattern), how, [-1 if times is None else times]))

    def be_honest(self) -> None:
        self._lies.clear()

    def __enter__(self) -> LyingServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        with self._guard:
            for connection in self._open:
                _hang_up(connection)
        _hang_up(self._socket)
        self._socket.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with self._guard:
                self.connections += 1
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                while (asked := _read(stream)) is not None:
                    with self._guard:
                        self.asked.append(asked)
                    if self.delay:
                        self._over.wait(self.delay)
                    if not self._answer(asked, Line(connection, self._over)):
                        return
        except OSError:
            pass  # who asked has hung up
        finally:
            with self._guard:
                self._open.discard(connection)

    def _answer(self, asked: Asked, line: Line) -> bool:
        how = self._chosen(asked.path)
        if how is None and asked.method not in ("GET", "HEAD"):
            code, body = self.take(asked) if self.take is not None else (405, b"")
            line.answer(code, body)
            return True
        return (how or honest)(asked, self._data(asked.path), line)

    def _chosen(self, path: str) -> Lie | None:
        with self._guard:
            for pattern, how, left in reversed(self._lies):
                if left[0] and pattern.fullmatch(path):
                    left[0] -= 1
                    return how
        return None

    def _data(self, path: str) -> bytes | None:
        if path in self.files:
            return self.files[path]
        if self.folder is None:
            return None
        try:
            with open(os.path.join(self.folder, path), "rb") as file:
                return file.read()
        except OSError:
            return None


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _read(stream: object) -> Asked | None:
    first = stream.readline(65536).decode("latin-1").split()  # type: ignore[attr-defined]
    if len(first) != 3:
        return None
    headers: dict[str, str] = {}
    while (row := stream.readline(65536).strip()) != b"":  # type: ignore[attr-defined]
        name, _, value = row.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = stream.read(int(headers.get("content-length", "0")))  # type: ignore[attr-defined]
    return Asked(first[0], first[1].lstrip("/"), headers, body)
