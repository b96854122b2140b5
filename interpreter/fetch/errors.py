"""What can go wrong while something comes from outside, or is unpacked: one root, one class a kind of failure.

`Attempt` is a fact about one place that was asked; an error carries all of them, in the order they were tried.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Outcome(enum.Enum):
    """How one attempt ended; the value is the words a person reads."""

    UNREACHABLE = "not reached"
    REFUSED = "refused by the server"
    MISSING = "not there"
    BUSY = "too busy"
    STALLED = "too slow"
    BROKEN = "broken off"
    TOO_LARGE = "larger than allowed"
    BAD_ANSWER = "an answer that cannot be used"
    MISMATCH = "other bytes than the pin says"
    NO_MIRROR = "no mirror known"
    OFFLINE = "not tried: offline"
    LOCAL = "a local file that cannot be read"


_NETWORK = frozenset(
    {
        Outcome.UNREACHABLE,
        Outcome.BUSY,
        Outcome.STALLED,
        Outcome.BROKEN,
        Outcome.OFFLINE,
        Outcome.NO_MIRROR,
    }
)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One place that was asked. `source` is as the build file has it, `place` the address it became, without
    user or password; `tries` counts the requests made there."""

    source: str
    place: str
    outcome: Outcome
    detail: str
    tries: int = 1

    @property
    def is_network(self) -> bool:
        """Whether another network, or another day, could change this outcome."""
        return self.outcome in _NETWORK

    def __str__(self) -> str:
        times = f" ({self.tries} tries)" if self.tries > 1 else ""
        detail = f": {self.detail}" if self.detail else ""
        return _plain(f"{self.place}: {self.outcome.value}{detail}{times}")


def _plain(text: str) -> str:
    """Without control characters: a server's words may carry escape codes."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


class FetchError(Exception):
    """Root of this folder's errors.

    `code` is stable and known to `kiln explain`; `found` and `expected` are facts, not sentences; `help` is
    one safe next step; `attempts` are the places that were asked, each of them a note too.
    """

    code = "K0500"

    def __init__(
        self,
        message: str,
        *,
        found: str | None = None,
        expected: str | None = None,
        help: str | None = None,
        notes: tuple[str, ...] = (),
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.found = found
        self.expected = expected
        self.help = help
        self.notes = (*notes, *(f"tried {attempt}" for attempt in attempts))
        self.attempts = attempts


class HashMismatch(FetchError):
    """A file came, and it is not the one that was pinned. `kept` is where it lies; nothing was admitted."""

    code = "K0501"

    def __init__(
        self,
        message: str,
        *,
        found: str,
        expected: str,
        kept: str,
        size: int,
        place: str,
        help: str | None = None,
        notes: tuple[str, ...] = (),
        attempts: tuple[Attempt, ...] = (),
    ) -> None:
        notes = (f"kept the file that came ({size} bytes): {kept}", *notes)
        super().__init__(message, found=found, expected=expected, help=help, notes=notes, attempts=attempts)
        self.kept = kept
        self.size = size
        self.place = place


class BadSource(FetchError):
    """A source address that does not parse."""

    code = "K0502"


class NotDelivered(FetchError):
    """No source had the file, and at least one was asked and said so."""

    code = "K0503"
    network = False


class Unreachable(NotDelivered):
    """No source had the file, and the network alone is to blame: on another day it may be had."""

    code = "K0506"
    network = True


class BadConfig(FetchError):
    """A mirror, certificate file or setting of this machine that cannot be used."""

    code = "K0504"


class CannotKeep(FetchError):
    """The file came, and this machine could not write it: disk full, no permission."""

    code = "K0505"


class TreeDiffers(FetchError):
    """A remote module's tree is not the one that was pinned; nothing was admitted."""

    code = "K0520"


class NotHere(FetchError):
    """A remote module's tree is not in the store, and nothing may be fetched."""

    code = "K0521"


class UnpackError(FetchError):
    """Root of what is wrong with an archive."""

    code = "K0510"


class NotAnArchive(UnpackError):
    """Bytes in none of the formats that Kiln unpacks."""

    code = "K0511"


class Escapes(UnpackError):
    """An entry that would be written, or lead, outside the tree, or that has no safe meaning in one."""

    code = "K0512"


class TooLarge(UnpackError):
    """More bytes or entries than an archive may unpack to, or a ratio that only a bomb has."""

    code = "K0513"


class DamagedArchive(UnpackError):
    """An archive that is cut off, fails its own checksums, or contradicts itself."""

    code = "K0514"


class Unsupported(UnpackError):
    """A feature of the format that Kiln does not unpack: encryption, sparse files, several volumes."""

    code = "K0515"


class Collision(UnpackError):
    """Two entries for one name, or two names that are one in Unicode's normal form."""

    code = "K0516"


class NothingLeft(UnpackError):
    """The leading components to be dropped leave nothing, or are not there."""

    code = "K0517"
