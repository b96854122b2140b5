"""kiln repl on a terminal: prompts, completion, history, and Ctrl-C, which ends what runs and not the session."""

from __future__ import annotations

import os
import pty
import select
import sys
from pathlib import Path

import pytest

PATIENCE = 60.0
"""Seconds without a byte, on the slowest machine, before a test gives up."""


class Terminal:
    """A session on a pseudo-terminal."""

    def __init__(self, home: Path) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            env = {**os.environ, "TERM": "xterm", "HOME": str(home), "XDG_CACHE_HOME": str(home), "NO_COLOR": "1"}
            os.execve(sys.executable, [sys.executable, "-m", "kiln", "repl"], env)

    def until(self, mark: str) -> str:
        """What is printed, up to `mark`."""
        seen = b""
        while mark.encode() not in seen:
            assert self._ready(PATIENCE), f"nothing more came before {mark!r}: {seen.decode()}"
            seen += self._read(mark, seen)
        return seen.decode()

    def interrupted(self) -> None:
        """Press Ctrl-C until it is answered: readline drops what comes while it changes the terminal's mode."""
        seen = b""
        for _ in range(int(PATIENCE)):
            self.type("\x03")
            while self._ready(1.0):
                seen += self._read("interrupted", seen)
                if b"interrupted\r\n> " in seen:
                    return
        raise AssertionError(f"Ctrl-C ended nothing: {seen.decode()}")

    def _ready(self, seconds: float) -> bool:
        return bool(select.select([self.fd], [], [], seconds)[0])

    def _read(self, mark: str, seen: bytes) -> bytes:
        try:
            data = os.read(self.fd, 4096)
        except OSError:  # Linux says so where the other side is closed
            data = b""
        assert data, f"the session ended before {mark!r}: {seen.decode()}"
        return data

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def end(self) -> int:
        """Close the input; the exit code."""
        self.type("\x04")
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    session = Terminal(tmp_path)
    session.until("> ")
    return session


def test_a_session(terminal: Terminal, tmp_path: Path) -> None:
    terminal.type("let longname = 5\n")
    assert "longname: Int" in terminal.until("\n> ")
    terminal.type("longn\t+ 1\n")
    assert "6 : Int" in terminal.until("\n> ")
    terminal.type("[1,\n")
    terminal.until("… ")
    terminal.type("2]\n")
    assert "[1, 2] : List(Int)" in terminal.until("\n> ")
    assert terminal.end() == 0
    history = (tmp_path / "kiln" / "repl-history").read_text("utf-8")
    assert history.splitlines()[:2] == ["let longname = 5", "longname+ 1"]


def test_an_interrupt_ends_what_runs_and_not_the_session(terminal: Terminal) -> None:
    terminal.type("unfinished(")
    terminal.until("unfinished(")  # Ctrl-C before readline reads would flush what was typed
    terminal.interrupted()
    # Some minutes' worth: only an interrupt brings the prompt back.
    terminal.type("fold(range(1000000), 0, fn(a, b) => fold(range(10000), a, fn(c, d) => c + d))\n")
    terminal.until("c + d))\r\n")
    terminal.interrupted()
    terminal.type("1 + 1\n")
    assert "2 : Int" in terminal.until("\n> ")
    assert terminal.end() == 0
