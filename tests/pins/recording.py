"""A host without a store, for evaluations that are looked at and not built."""

from __future__ import annotations

from kiln.interpreter.derivation import SourceObject
from kiln.interpreter.evaluate.packages import Selection
from kiln.store.digest import Domain, ObjectId, digest_of


class RecordingHost:
    """`asked` are the sources that were added."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def add_source(self, path: str, name: str, selection: Selection) -> SourceObject:
        return self.add_source_file(path, name)

    def add_source_file(self, path: str, name: str) -> SourceObject:
        self.asked.append((path, name))
        return SourceObject(ObjectId(digest_of(Domain.OBJECT, path.encode())), name)
