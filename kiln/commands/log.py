"""`kiln log [TARGET|last]`: what a builder wrote, also while it writes."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

from kiln.builds import find_log
from kiln.console import escape
from kiln.context import Context
from kiln.exits import Exit
from kiln.interpreter.sandbox.logs import LogReader, Piece

_PERIOD = 0.1
_PATIENCE = 1.0
"""Seconds after which a line without an end is shown as far as it has come."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "target", nargs="?", default="last", metavar="TARGET", help="the newest build's by default; or a failed build"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the build ends")
    parser.add_argument("--failed", action="store_true", help="the newest build that failed")
    parser.add_argument("--times", action="store_true", help="when each line came, in UTC")
    parser.add_argument("--raw", action="store_true", help="the bytes as they came, control characters and all")


def run(args: argparse.Namespace, context: Context) -> int:
    log = find_log(args.target, context, failed=args.failed)
    console = context.console
    with LogReader(log.path) as reader:
        view = _View(context, reader, raw=args.raw, times=args.times)
        for piece in _pieces(reader, follow=args.follow):
            view.take(piece)
        view.end()
        if not reader.ended:
            console.say(
                "this build goes on: kiln log -f follows it"
                if reader.is_written()
                else "the log ends here: whoever wrote it was killed"
            )
        elif not view.size and not args.raw:
            console.say("the builder wrote nothing")
    text = view.whole.decode("utf-8", "replace")
    console.document("log", {"log": log.path, "ended": reader.ended, "text": text})
    return Exit.OK


def _pieces(reader: LogReader, *, follow: bool) -> Iterator[Piece | None]:
    """What the log holds; None for a moment in which nothing came."""
    while True:
        written = follow and reader.is_written()
        yield from reader.pieces()
        if not written:
            return
        yield None
        time.sleep(_PERIOD)


class _View:
    """Lines as they become whole. In JSON mode everything is kept for the document instead."""

    def __init__(self, context: Context, reader: LogReader, *, raw: bool, times: bool) -> None:
        self._console = context.console
        self._reader = reader
        self._raw = raw
        self._times = times
        self._rest = b""
        self._began = False
        self._since = 0.0
        self._at = 0
        self.size = 0
        self.whole = bytearray()

    def take(self, piece: Piece | None) -> None:
        if piece is None:
            if self._rest and time.monotonic() - self._since > _PATIENCE:
                self._show(self._rest, end="")
                self._rest = b""
            return
        self.size += len(piece.data)
        if self._console.json:
            self.whole += piece.data
        elif self._raw:
            self._console.write_bytes(piece.data)
        else:
            self._at = piece.at
            *lines, self._rest = (self._rest + piece.data).split(b"\n")
            for line in lines:
                self._show(line, end="\n")
            self._since = time.monotonic()

    def end(self) -> None:
        """Show what is left of a line without an end."""
        if self._rest or self._began:
            self._show(self._rest, end="\n")

    def _show(self, line: bytes, end: str) -> None:
        text = escape(line.decode("utf-8", "surrogateescape"))
        if self._times and not self._began:
            text = f"{_time(self._reader.began + self._at)}  {text}"
        self._began = not end
        self._console.write(text + end)


def _time(milliseconds: int) -> str:
    whole = time.strftime("%H:%M:%S", time.gmtime(milliseconds / 1000))
    return f"{whole}.{milliseconds % 1000:03d}"
