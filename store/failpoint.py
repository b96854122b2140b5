"""Named points at which a test can make the store crash, stall or fail.

In ordinary use nothing is armed and a point costs one comparison. A test sets `armed` to a function of the
point's name; what the function raises (or its killing the process) happens at that point.
"""

from __future__ import annotations

from collections.abc import Callable

POINTS = (
    "commit:staged",
    "commit:intent",
    "commit:synced",
    "commit:object-renamed",
    "commit:draft-renamed",
    "commit:directories-synced",
    "commit:in-transaction",
    "commit:registered",
    "ingest:file-copied",
    "rewrite:file-written",
    "recover:looked",
    "recover:adopting",
    "recover:trashing",
    "rebuild:scanned",
    "rebuild:written",
    "rebuild:placed",
    "collect:marked",
    "collect:held",
    "collect:in-transaction",
    "collect:taken-out",
    "collect:renamed",
    "repair:synced",
    "repair:exchanged",
    "repair:taken-out",
    "repair:moved",
    "push:chunk",
    "push:pack",
    "push:content",
    "push:segment",
    "push:head",
    "retain:segment",
)
"""Every point; those of a commit in the order in which it meets them."""

armed: Callable[[str], None] | None = None


def failpoint(name: str) -> None:
    """Call what is armed, with the point's name."""
    if armed is not None:
        assert name in POINTS, name
        armed(name)
