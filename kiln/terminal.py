"""A terminal between the user's and a program that may not have the user's own: a pseudo-terminal (pty(7)).

The user's terminal passes everything on as it comes (raw mode), so that Ctrl-C is the inner terminal's to understand;
its size is the inner one's, from the beginning and whenever it changes.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import termios
import tty
from types import FrameType, TracebackType
from typing import Protocol, Self

_CHUNK = 1 << 16


class Running(Protocol):
    """A program that uses the inner terminal."""

    def fileno(self) -> int: ...

    def read(self) -> int | None:
        """Called when `fileno` is ready; what it ended with, once it has."""
        ...


class Terminal:
    """`inner` is the descriptor for the program. Leaving the `with` block gives the user's terminal back."""

    def __init__(self) -> None:
        self._outer, self.inner = os.openpty()
        self._mode = termios.tcgetattr(0)
        self._handler = signal.getsignal(signal.SIGWINCH)

    def __enter__(self) -> Self:
        self._resize()
        signal.signal(signal.SIGWINCH, self._resize)
        tty.setraw(0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        termios.tcsetattr(0, termios.TCSADRAIN, self._mode)
        signal.signal(signal.SIGWINCH, self._handler)
        os.close(self._outer)
        if self.inner >= 0:
            os.close(self.inner)

    def serve(self, running: Running) -> int:
        """Pass on what is typed and what is written, until the program has ended; what it ended with."""
        events = select.poll()
        for descriptor in (0, self._outer, running.fileno()):
            events.register(descriptor, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in events.poll()}
            if 0 in ready and not self._pass_on(0, self._outer):
                events.unregister(0)
            if self._outer in ready:
                self._pass_on(self._outer, 1)
            if running.fileno() in ready:
                ended = running.read()
                if ended is not None:
                    self._drain()
                    return ended

    def _drain(self) -> None:
        """What was written last: with our own end closed, it stops where the program's output does."""
        os.close(self.inner)
        self.inner = -1
        while self._pass_on(self._outer, 1):
            pass

    @staticmethod
    def _pass_on(source: int, target: int) -> bool:
        try:
            data = os.read(source, _CHUNK)
        except OSError as error:
            if error.errno != errno.EIO:  # what reading a terminal gives whose other end is closed
                raise
            return False
        view = memoryview(data)
        while view:
            view = view[os.write(target, view) :]
        return bool(data)

    def _resize(self, number: int = 0, frame: FrameType | None = None) -> None:
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8))
            fcntl.ioctl(self._outer, termios.TIOCSWINSZ, size)
