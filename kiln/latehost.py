"""The world of an evaluation that may never need a store: it is opened when the first source is met."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiln.context import Context

if TYPE_CHECKING:
    from kiln.interpreter.derivation import SourceObject
    from kiln.interpreter.evaluate.packages import Selection


class LateHost:
    """Adds sources to the user's store. Implements `evaluate.host.Host`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_source(self, path: str, name: str, selection: Selection) -> SourceObject:
        from kiln.interpreter.asking import StoreHost

        return StoreHost(self._context.store()).add_source(path, name, selection)

    def add_source_file(self, path: str, name: str) -> SourceObject:
        from kiln.interpreter.asking import StoreHost

        return StoreHost(self._context.store()).add_source_file(path, name)
