"""Whether a server can do its work, for /health: its folder is there, and the card is one that readers can read."""

from __future__ import annotations

import os

from kiln.serve.names import CARD
from kiln.serve.quarantine import FOLDER
from kiln.store.cache.card import MAX_CARD, decode_card
from kiln.store.errors import StoreError


class Fitness:
    """Of one folder. A card that did not change is not read again. A folder without one waits for its first push."""

    def __init__(self, folder: str, *, uploads: bool) -> None:
        self._folder = folder
        self._uploads = uploads
        self._seen: tuple[int, int, int] | None = None
        self._said = ""

    def trouble(self) -> str:
        """What is wrong; nothing where all is well. Of any thread."""
        if not os.access(self._folder, os.R_OK | os.X_OK):
            return "the cache's folder can't be read"
        if self._uploads and not os.access(os.path.join(self._folder, FOLDER), os.W_OK | os.X_OK):
            return "the cache's folder can't be written"
        return self._card()

    def _card(self) -> str:
        try:
            with open(os.path.join(self._folder, CARD), "rb") as file:
                facts = os.fstat(file.fileno())
                seen = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
                if seen != self._seen:
                    self._said = _readable(file.read(MAX_CARD + 1))
                    self._seen = seen
                return self._said
        except FileNotFoundError:
            return ""
        except OSError:
            return "the cache's card can't be read"


def _readable(data: bytes) -> str:
    try:
        decode_card(data)
    except StoreError as error:
        return f"the cache's card can't be read: {error.message}"
    return ""
