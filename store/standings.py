"""Which statements bind a commit, a file and an attribute to a derivation: one small file a derivation.

    standings/<64 hex of the derivation>      envelopes' digests in hex, one a line, the oldest first

The envelopes themselves are evidence and lie with the others; what is here can be made again by reading them all.
"""

from __future__ import annotations

import os

from kiln.store.digest import DrvDigest, EnvelopeDigest
from kiln.store.disk import disk_errors
from kiln.store.errors import BadName
from kiln.store.layout import Layout


def add_standing(layout: Layout, drv: DrvDigest, envelope: EnvelopeDigest) -> None:
    """Note an envelope that the store holds. Appending a line is one write, so that processes don't mix theirs."""
    folder = f"{layout.root}/standings"
    with disk_errors("noting what a derivation stands for"):
        layout.make_folder(folder)
        fd = os.open(f"{folder}/{drv.hex()}", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            layout.owner.take(fd)
            os.write(fd, f"{envelope.hex()}\n".encode("ascii"))
        finally:
            os.close(fd)


def standings(layout: Layout, drv: DrvDigest) -> list[EnvelopeDigest]:
    """The envelopes noted for a derivation, the newest first. A line that was cut short is passed over."""
    try:
        with open(f"{layout.root}/standings/{drv.hex()}", encoding="ascii", errors="replace") as file:
            lines = file.read().splitlines()
    except FileNotFoundError:
        return []
    found: dict[EnvelopeDigest, None] = {}
    for line in reversed(lines):
        try:
            found.setdefault(EnvelopeDigest.parse(line))
        except BadName:
            continue
    return list(found)
