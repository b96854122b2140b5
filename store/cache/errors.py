"""What can go wrong with a cache: one root, one class a kind of failure; codes K0652 to K0679.

Every message names the cache. What came from outside stands in `found`, as a short piece whose control characters
are written out, so that it can go to any log.
"""

from __future__ import annotations

from kiln.store.errors import StoreError

_LONGEST = 160


class CacheError(StoreError):
    """Root of a cache's errors. `cache` is its name, `path` the file in it where there is one."""

    code = "K0652"

    def __init__(
        self,
        message: str,
        *,
        cache: str = "",
        path: str = "",
        found: str | None = None,
        expected: str | None = None,
        help: str | None = None,
    ) -> None:
        super().__init__(message, found=found, expected=expected, help=help)
        self.cache = cache
        self.path = path


class CacheDown(CacheError):
    """A cache that does not answer, or answers too slowly, or is too busy. It is not asked again for a while."""

    code = "K0652"


class CacheLied(CacheError):
    """An answer that cannot be right: too long, too short, other bytes than were asked for, a loop of redirects."""

    code = "K0653"


class Missing(CacheError):
    """A file that the cache does not have."""

    code = "K0654"


class CacheDenied(CacheError):
    """A cache that wants a token or credentials, or does not accept those that it got."""

    code = "K0655"


class Unsupported(CacheError):
    """Something that this kind of cache cannot do: list its files, or take uploads."""

    code = "K0656"


class Conflict(CacheError):
    """A head or a card that another uploader has replaced meanwhile: read it again, and try again."""

    code = "K0657"


class UploadRefused(CacheError):
    """An upload that the server has verified and does not admit."""

    code = "K0658"


class BadCacheAddress(CacheError):
    """An address, or a line of the file of caches, that cannot be used."""

    code = "K0659"


class HeadRolledBack(CacheError):
    """A head that is older than one that this machine has seen."""

    code = "K0665"


class HeadMissing(HeadRolledBack):
    """No head, where this machine has seen one."""


class HeadExpired(CacheError):
    """A head that its signer has not renewed in time: the cache may be frozen."""

    code = "K0666"


class HeadForked(CacheError):
    """Two heads of one key and one version."""

    code = "K0667"


class OtherCache(CacheError):
    """Another cache at an address than the one that this machine has seen there."""

    code = "K0672"


class BadMemory(CacheError):
    """The file of what was seen of caches does not parse."""

    code = "K0668"


Unlistable = Unsupported
"""What `listing` raises where there is no listing."""


def shown(text: str | bytes) -> str:
    """A piece of what came from outside: short, on one line, every character printable ASCII."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    cut = text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
    return "".join(char if char.isascii() and char.isprintable() else _spelt(char) for char in cut)


def _spelt(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
