"""What can go wrong in the store: one root, one class a kind of failure."""

from __future__ import annotations


class StoreError(Exception):
    """Root of the store's errors.

    `code` is stable and known to `kiln explain`; `found` and `expected` are facts, not sentences;
    `help` is one safe next step.
    """

    code = "K0700"

    def __init__(
        self, message: str, *, found: str | None = None, expected: str | None = None, help: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.found = found
        self.expected = expected
        self.help = help


class BadName(StoreError):
    """A store name, output name or digest that does not parse."""

    code = "K0701"


class NotInStore(StoreError):
    """An object, record or envelope that this store does not hold."""

    code = "K0702"


class Damaged(StoreError):
    """Bytes on disk, or in a record, that are not what their digest says."""

    code = "K0703"


class Refused(StoreError):
    """A file of a kind, or a reference, that an object may not hold."""

    code = "K0704"


class ReferenceCycle(StoreError):
    """Outputs of one build that refer to each other in a circle."""

    code = "K0705"


class StoreLocked(StoreError):
    """Another process holds the write lock for longer than the limit."""

    code = "K0706"


class NoSpace(StoreError):
    """The disk, or its inodes, are used up."""

    code = "K0707"


class NotOwner(StoreError):
    """The store belongs to another user id, who alone may write it."""

    code = "K0708"


class BadSignature(StoreError):
    """A signature that does not verify, or a key that is not trusted here."""

    code = "K0601"


class Untrusted(BadSignature):
    """A good signature by a key that the policy does not name."""

    code = "K0602"


class BadEnvelope(StoreError):
    """An envelope, statement or predicate that does not have the form it must have."""

    code = "K0603"
