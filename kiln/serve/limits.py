"""What a server allows one client, and all of them together."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds.

    Uploads: `file` is the largest file that an upload may hold: no pack, chunk or segment of ours is larger.
    `session`, `token` and `quarantine` bound one upload, all of one token, and all of everybody that no head names
    yet; `sessions` are how many one token may have begun. A session that nothing came to for `idle` is dropped, and
    so is what was uploaded and no head came to name, after `kept`.

    Verifying: `verifying` commits at once, one of a token; one that takes longer than `answer` is answered 202 and
    asked about again; one that takes longer than `verify` is refused.

    Connections: `connections` in all, `per_client` from one address (of this machine only where `local_too`); a
    request's head must have come within `head`; a body must come at `pace` bytes a second, once `grace` has passed,
    and each MiB of an answer be taken within `stall`. At the end, requests that run have `drain`.
    """

    file: int = 64 * MIB
    session: int = 64 << 30
    token: int = 128 << 30
    quarantine: int = 256 << 30
    sessions: int = 64
    idle: float = 3600.0
    kept: float = 24 * 3600.0
    verifying: int = 2
    answer: float = 0.5
    verify: float = 3600.0
    connections: int = 256
    per_client: int = 64
    local_too: bool = False
    head: float = 10.0
    pace: int = 1024
    grace: float = 10.0
    stall: float = 64.0
    drain: float = 30.0
