"""What evaluation asks of the world: sources, added to the store by whoever runs it."""

from __future__ import annotations

from typing import Protocol

from kiln.interpreter.derivation import SourceObject
from kiln.interpreter.evaluate.packages import Selection


class Host(Protocol):
    """Given to the Evaluator. Both raise OSError or a StoreError, with a message, for what cannot be added."""

    def add_source(self, path: str, name: str, selection: Selection) -> SourceObject:
        """Add the folder at the absolute `path`: what `selection` takes of it, symlinks kept as they are."""
        ...

    def add_source_file(self, path: str, name: str) -> SourceObject:
        """Add the regular file at the absolute `path`, with its executable bit."""
        ...
