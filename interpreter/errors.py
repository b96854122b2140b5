"""What can go wrong while derivations are realised: one root, one class a kind of failure.

`code` is stable; `found` and `expected` are facts; `help` is one safe next step. Text that came from a builder
or from outside is kept raw here and escaped by whoever shows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class RealiseError(Exception):
    """Root of the errors of planning, building and reproducing."""

    code = "K0450"

    def __init__(
        self,
        message: str,
        *,
        place: str | None = None,
        found: str | None = None,
        expected: str | None = None,
        notes: Sequence[str] = (),
        help: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.found = found
        self.expected = expected
        self.notes = tuple(notes)
        self.help = help


class BuildFailed(RealiseError):
    """The builder ended with an error."""

    code = "K0450"

    def __init__(
        self, message: str, *, log: str, kept: str, tail: Sequence[bytes], suspect: bytes | None, **facts: str | None
    ) -> None:
        super().__init__(message, place=facts.get("place"), found=facts.get("found"), help=facts.get("help"))
        self.log = log
        """The compressed log's file."""
        self.kept = kept
        """The folder that holds the failed tree."""
        self.tail = tuple(tail)
        """The last lines that the builder wrote."""
        self.suspect = suspect
        """The first line that looks like an error."""


class LimitReached(BuildFailed):
    """The builder ran, was silent, or wrote for longer than it may."""

    code = "K0451"


class OutputMissing(RealiseError):
    """The builder ended well and did not make an output."""

    code = "K0452"


class OutputKindWrong(RealiseError):
    """An output is a file where a tree was declared, or the other way round."""

    code = "K0453"


class OutputRefused(RealiseError):
    """Outputs that the store does not take, or has no room for; the code is the store's own."""

    def __init__(self, code: str, message: str, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.code = code


class NotReplayable(RealiseError):
    """An envelope or a closure that does not hold what a replay needs."""

    code = "K0650"


class NotBrought(RealiseError):
    """Something that a cache offered, and then nobody could bring: the targets are planned again without it."""

    code = "K0678"


def not_brought(name: str, place: str | None) -> NotBrought:
    """The error for something of that name."""
    return NotBrought(
        f"{name} was offered by a cache, and no cache could bring it",
        place=place,
        help="run the command again, or without caches: --no-cache",
    )


class NotOffered(RealiseError):
    """Something that no cache has, where nothing may be made."""

    code = "K0679"
