"""The stream of events as a person reads it.

On a terminal a few live lines at the bottom are repainted ten times a second, and verdicts scroll above them;
elsewhere each event is one line. Painting happens on a thread of its own, from a snapshot, so that a slow
terminal never slows a build.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from unicodedata import combining, east_asian_width

from kiln.console import Console, escape
from kiln.interpreter.events import (
    Event,
    LogLine,
    Planned,
    StepFailed,
    StepFinished,
    StepInterrupted,
    StepProgress,
    StepSkipped,
    StepStarted,
    StepWaits,
    Warned,
)
from kiln.store.digest import DrvDigest

_VERBS = {"build": "building", "fetch": "fetching", "unpack": "unpacking", "write": "writing", "take": "fetching"}
_LIVE_LINES = 10
_PERIOD = 0.1


class Progress(Protocol):
    """A view of the stream."""

    def __call__(self, event: Event) -> None: ...

    def close(self) -> None:
        """Take down what is live; nothing is shown after it."""
        ...


def open_progress(console: Console, mode: str) -> Progress:
    """The view for a mode: `auto`, `tty`, `plain`, `json` or `none`."""
    if mode == "auto":
        mode = "none" if console.quiet else "tty" if console.tty and "CI" not in os.environ else "plain"
    if mode == "tty":
        return TerminalProgress(console)
    if mode == "plain":
        return PlainProgress(console)
    return JsonProgress(console) if mode == "json" else NoProgress(console)


def verdict_line(console: Console, event: StepFinished | StepFailed | StepInterrupted | StepSkipped) -> str:
    """`✔ zlib-1.2.13   built   1.2s`."""
    name = escape(event.name)
    match event:
        case StepFinished():
            mark = console.paint("✔", "green")
            source = f" {escape(event.source):<8}" if event.source else ""
            return f"{mark} {name:<28} {event.verdict:<10}{source} {event.seconds:.1f}s"
        case StepFailed():
            return f"{console.paint('✘', 'red')} {name:<28} failed     {event.seconds:.1f}s"
        case StepInterrupted():
            return f"{console.paint('·', 'dim')} {name:<28} interrupted {event.seconds:.1f}s"
        case StepSkipped():
            return f"{console.paint('·', 'dim')} {name:<28} not tried: {escape(event.blocked_by)} failed"


class NoProgress:
    """Warnings alone."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, event: Event) -> None:
        if isinstance(event, Warned):
            self._console.warn(event.message)

    def close(self) -> None:
        pass


class JsonProgress:
    """Each event as one JSON object a line, on stderr."""

    def __init__(self, console: Console) -> None:
        import json

        from kiln.interpreter.events import event_json

        self._show: Callable[[Event], None] = lambda event: console.tell(json.dumps(event_json(event)))

    def __call__(self, event: Event) -> None:
        self._show(event)

    def close(self) -> None:
        pass


class PlainProgress:
    """One line an event; a builder's own lines with `-v`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._names: dict[DrvDigest, str] = {}

    def __call__(self, event: Event) -> None:
        say = self._console.say
        match event:
            case StepStarted():
                self._names[event.drv] = event.name
                say(f"⏵ {escape(event.name):<28} {_VERBS[event.kind]}")
            case StepFinished() | StepFailed() | StepInterrupted() | StepSkipped():
                say(verdict_line(self._console, event))
            case StepWaits():
                say(f"· {escape(self._names.get(event.drv, '?')):<28} {_waiting(event)}")
            case LogLine() if self._console.verbose:
                say(f"  {escape(self._names.get(event.drv, '?'))} │ {_line_text(event.line)}")
            case Warned():
                self._console.warn(event.message)
            case _:
                pass

    def close(self) -> None:
        pass


@dataclass(slots=True)
class _Live:
    name: str
    kind: str
    since: float
    detail: str = ""


class TerminalProgress:
    """Verdicts above, live lines below. All state is guarded by `_lock`; only the painter writes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._live: dict[DrvDigest, _Live] = {}
        self._above: list[str] = []
        self._steps = self._done = self._failed = 0
        self._painted = 0
        self._closed = threading.Event()
        self._painter = threading.Thread(target=self._paint_on, daemon=True)
        self._painter.start()

    def __call__(self, event: Event) -> None:
        with self._lock:
            match event:
                case Planned():
                    self._steps = event.steps
                case StepStarted():
                    self._live[event.drv] = _Live(event.name, _VERBS[event.kind], time.monotonic())
                case StepProgress() if event.drv in self._live:
                    self._live[event.drv].detail = _amount(event)
                case StepWaits() if event.drv in self._live:
                    self._live[event.drv].detail = _waiting(event)
                case LogLine() if event.drv in self._live:
                    self._live[event.drv].detail = _line_text(event.line)
                case StepFinished() | StepFailed() | StepInterrupted():
                    self._live.pop(event.drv, None)
                    self._done += isinstance(event, StepFinished)
                    self._failed += isinstance(event, StepFailed)
                    self._above.append(verdict_line(self._console, event))
                case StepSkipped():
                    self._above.append(verdict_line(self._console, event))
                case Warned():
                    self._above.append(f"{self._console.paint('warning', 'yellow')}: {escape(event.message)}")
                case _:
                    pass

    def close(self) -> None:
        self._closed.set()
        self._painter.join()
        with self._lock:
            self._live.clear()
            self._steps = 0
        self._paint()

    def _paint_on(self) -> None:
        while not self._closed.wait(_PERIOD):
            self._paint()

    def _paint(self) -> None:
        width, height = _size()
        with self._lock:
            above, self._above = self._above, []
            lines = self._lines(height)
        text = f"\x1b[{self._painted}F\x1b[J" if self._painted else ""
        text += "".join(f"{line}\n" for line in above)
        text += "".join(f"{_clip(line, width)}\n" for line in lines)
        self._painted = len(lines)
        if text:
            os.write(2, text.encode("utf-8", "backslashreplace"))

    def _lines(self, height: int) -> list[str]:
        if not self._steps:
            return []
        now = time.monotonic()
        shown = list(self._live.values())[: max(0, min(_LIVE_LINES, height - 1) - 1)]
        lines = [
            f"⏵ {escape(live.name):<22} {live.kind:<10} {now - live.since:5.1f}s │ {live.detail}" for live in shown
        ]
        running = len(self._live)
        return [*lines, f"  {self._done} done · {running} running · {self._failed} failed · {self._steps} steps"]


def _amount(event: StepProgress) -> str:
    done = event.done / 1e6
    return f"{done:.1f} of {event.total / 1e6:.1f} MB" if event.total else f"{done:.1f} MB"


def _waiting(event: StepWaits) -> str:
    who = "another process" if event.holder is None else f"process {event.holder} ({escape(event.command)})"
    return f"waits for {who}, which makes it"


def _line_text(line: bytes) -> str:
    return escape(line.decode("utf-8", "surrogateescape").rstrip("\r\n"))


def _clip(line: str, width: int) -> str:
    """As much of a line as leaves the last column free. A tab is a space; a character may take no column, or two."""
    line = line.replace("\t", " ")
    if line.isascii():
        return line[: max(0, width - 1)]
    room, kept = width - 1, 0
    for char in line:
        room -= _columns(char)
        if room < 0:
            break
        kept += 1
    return line[:kept]


def _columns(char: str) -> int:
    if char.isascii():
        return 1
    return 0 if combining(char) else 2 if east_asian_width(char) in "WF" else 1


def _size() -> tuple[int, int]:
    """Columns and lines of the terminal."""
    try:
        size = os.get_terminal_size(2)
    except OSError:
        return 80, 24
    return size.columns or 80, size.lines or 24
