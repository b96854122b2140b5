"""What a person sees: stdout is the result and nothing else, everything else goes to stderr.

Text from outside is escaped here, before it meets a terminal.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from kiln.exits import Exit, exit_of

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "dim": "2", "bold": "1"}


def escape(text: str) -> str:
    """Text with every control and direction-changing character made visible."""
    if text.isprintable() and text.isascii():
        return text
    return "".join(char if _harmless(char) else _visible(char) for char in text)


def _harmless(char: str) -> bool:
    return char == "\t" or (char.isprintable() and not 0x2066 <= ord(char) <= 0x2069)


def _visible(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that was not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{{{code:x}}}"


class Console:
    """Where messages and results go, and in what form."""

    def __init__(
        self,
        *,
        json: bool = False,
        quiet: bool = False,
        verbose: bool = False,
        colour: str = "auto",
        command: str = "",
    ) -> None:
        self.command = command
        self.json = json
        self.quiet = quiet
        self.verbose = verbose
        self.tty = sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb")
        wanted = self.tty and "NO_COLOR" not in os.environ and "CI" not in os.environ
        self.colour = wanted if colour == "auto" else colour == "always"

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if self.colour else text

    def say(self, text: str) -> None:
        """A line for people; nothing with `-q`."""
        if not self.quiet:
            self.tell(text)

    def tell(self, text: str) -> None:
        """A line for people, whatever was asked for."""
        try:
            print(text, file=sys.stderr, flush=True)
        except OSError:  # The reader has gone, or what stderr is written to is full: the exit code still tells.
            self._detach(2)

    def warn(self, text: str) -> None:
        self.tell(f"{self.paint('warning', 'yellow')}: {escape(text)}")

    def result(self, line: str) -> None:
        """A line of the result, on stdout; nothing in JSON mode, where `document` gives the whole."""
        if not self.json:
            self.write(line + "\n")

    def write(self, text: str) -> None:
        """The result itself, as it is."""
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except UnicodeEncodeError:  # a path that is no text, or a stream of another encoding
            self.write_bytes(text.encode("utf-8", "surrogateescape"))
        except BrokenPipeError:
            self._detach(1)
        except OSError:
            self._detach(1)  # what is buffered would fail again at exit, with a traceback
            raise

    def write_bytes(self, data: bytes) -> None:
        try:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            self._detach(1)
        except OSError:
            self._detach(1)
            raise

    def document(self, schema: str, data: Any, *, error: dict[str, Any] | None = None) -> None:
        """In JSON mode, the one document that stdout holds."""
        if self.json:
            import json

            whole = {"schema": f"kiln.{schema}/1", "ok": error is None, "data": data, "error": error}
            self.write(json.dumps(whole, ensure_ascii=True, sort_keys=False) + "\n")

    def document_of(self, schema: str, data: str) -> None:
        """The same for data that is JSON text already: it may be nested deeper than a parser goes."""
        if self.json:
            self.write(f'{{"schema": "kiln.{schema}/1", "ok": true, "data": {data}, "error": null}}\n')

    @staticmethod
    def _detach(stream: int) -> None:
        """The reader has gone: write the rest to nowhere, and let the command end as it would have."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream)
        os.close(null)


class Stop(Exception):
    """A command's own end: a code, a message, one next step."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        help: str | None = None,
        exit: Exit | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.expected = expected
        self.found = found
        self.help = help
        self.exit = exit_of(code) if exit is None else exit
