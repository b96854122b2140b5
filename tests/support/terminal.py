"""A terminal for tests: a pseudo-terminal for the command, and pyte's screen that reads what it writes."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Mapping
from typing import NamedTuple

import pyte

from tests.support.home import Home


class Shown(NamedTuple):
    """How a command on a terminal ended. `above` is all that scrolled or stands there, line by line."""

    code: int
    raw: bytes
    title: str
    above: list[str]
    frames: list[list[str]]
    """The screen after each piece that was read."""


def on_terminal(
    home: Home, *words: str, columns: int = 100, rows: int = 40, env: Mapping[str, str] | None = None
) -> Shown:
    """`kiln …`, whose three streams are a terminal of a size."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    screen = pyte.HistoryScreen(columns, rows, history=10_000, ratio=1)
    stream = pyte.ByteStream(screen)
    raw, frames = b"", []
    running = home.start(*words, env=env, stdout=theirs, stderr=theirs)
    os.close(theirs)
    while data := _read(ours):
        raw += data
        stream.feed(data)
        frames.append([line.rstrip() for line in screen.display])
    os.close(ours)
    code = running.wait()
    scrolled = ["".join(line[column].data for column in range(columns)).rstrip() for line in screen.history.top]
    return Shown(code, raw, screen.title, [line for line in (*scrolled, *frames[-1]) if line], frames)


def _read(descriptor: int) -> bytes:
    """What is there; nothing when the other side is closed, which a terminal tells by an error."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""
