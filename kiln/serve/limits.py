"""What a server allows one client, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds.

    `file` is the largest file that an upload may hold: no pack, chunk or segment of ours is larger.
    `session` and `quarantine` bound one upload, and all that are not committed; `pace` is the least number of bytes
    a second that a body must come at, once `grace` has passed; a session that nothing came to for `idle` is dropped.
    """

    file: int = 64 * MIB
    session: int = 64 << 30
    quarantine: int = 256 << 30
    pace: int = 1024
    grace: float = 10.0
    idle: float = 3600.0
    connections: int = 256
    drain: float = 30.0
