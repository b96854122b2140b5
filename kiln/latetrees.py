"""Remote modules for commands that need no store: it is opened, and the trees with it, where an import asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kiln.paths import cache_root

if TYPE_CHECKING:
    from kiln.context import Context
    from kiln.interpreter.lock import Pin
    from kiln.interpreter.trees import Trees


class LateTrees:
    """Implements `interpreter.remote.Opener`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._trees: Trees | None = None

    def open(self, name: str, pin: Pin, keeper: str) -> str:
        """Raises FetchError, StoreError."""
        return self.trees().open(name, pin, keeper)

    def trees(self) -> Trees:
        """The trees of the user's store."""
        if self._trees is None:
            from kiln.interpreter.trees import Trees

            console, offline = self._context.console, self._context.offline
            self._trees = Trees(
                self._context.store(), cache_root(), offline=offline, say=console.say, warn=console.warn
            )
        return self._trees
