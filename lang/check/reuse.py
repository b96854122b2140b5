"""The checker's side of a `Memory`: what is taken from it, and what it is told.

A declaration's body is taken as it was made before; then its type, its set's members, and the records that it
mentions as recipes are what they would be, had it been checked in its turn.
"""

from __future__ import annotations

from collections.abc import Sequence

from kiln.lang.check.declaration import Item
from kiln.lang.check.infos import MemberInfo
from kiln.lang.check.memory import (
    KeptBody,
    KeptCore,
    KeptValue,
    MadeBody,
    Memory,
    Part,
    Recipes,
    Stub,
    Unread,
    has_type,
)
from kiln.lang.check.names import Value
from kiln.lang.check.outline import Outline, mentions, outline
from kiln.lang.check.signatures import SetSignature
from kiln.lang.check.world import World
from kiln.lang.core import CoreDecl
from kiln.lang.syntax import ast


class Reuse:
    """One module's, while it is checked."""

    def __init__(self, memory: Memory, world: World) -> None:
        self.memory = memory
        self._world = world
        self._recipes = world.mentioned_recipes = Recipes()
        self._names: dict[int, tuple[str, ...]] = {}
        self._outlines: dict[int, Outline] = {}

    # ---- signatures ---------------------------------------------------------------------------

    def signed(self, part: Unread, value: KeptValue) -> bool:
        """Whether the declaration says the same of its own type as before; the value has that type then."""
        self.memory.outlined(part.start, part.outline)
        if not _says_something(part.outline):
            return True
        signed = self.memory.signature(part.start, part.end, part.outline)
        if signed is None:
            return False
        self._mention(signed.recipes)
        if signed.scheme is not None:
            value.sign(signed.scheme)
        return True

    def sign(self, chunk: ast.Chunk, value: Value) -> None:
        """A declaration's signature was read; `value.scheme` is its type, if all of it is written."""
        recipes = self._recipes.taken()
        found = self._outline(chunk)
        if found is None:
            self.memory.changed()
        elif _says_something(found) and self.memory.signature(chunk.start, chunk.end, found) is None:
            self.memory.keep_signature(chunk.start, value.scheme, recipes)

    def _outline(self, chunk: ast.Chunk) -> Outline | None:
        known = self._outlines.get(chunk.start)
        if known is None:
            known = outline(chunk.decl)
            if known is not None:
                self._outlines[chunk.start] = known
                self.memory.outlined(chunk.start, known)
        return known

    def _mention(self, recipes: Sequence[str]) -> None:
        self._world.mentioned_recipes.update(recipes)

    # ---- bodies -------------------------------------------------------------------------------

    def names(self, item: Item | Stub) -> tuple[str, ...]:
        """What the declaration mentions."""
        if isinstance(item, Stub):
            return item.unread.outline.names
        start = item.chunk.start
        found = self._names.get(start)
        if found is None:
            known = self._outline(item.chunk)
            found = self._names[start] = mentions([item.decl]) if known is None else known.names
        return found

    def bodies(self, group: Sequence[Item | Stub]) -> dict[int, KeptCore] | None:
        """The core of a group by the starts of its declarations, where it is what it was."""
        self._recipes.taken()
        kept = self.memory.bodies([self._part(item) for item in group])
        if kept is None:
            return None
        for item, body in zip(group, kept, strict=True):
            self._restore(item, body)
        return {self._part(item).start: body.core for item, body in zip(group, kept, strict=True)}

    def _part(self, item: Item | Stub) -> Part:
        place = item.unread if isinstance(item, Stub) else item.chunk
        return Part(place.start, place.end, self.names(item))

    def _restore(self, item: Item | Stub, body: KeptBody) -> None:
        self._mention(body.recipes)
        value = item.value
        if isinstance(value, KeptValue):
            if body.scheme is not None and not has_type(value):
                value.sign(body.scheme)
            value.shown = body.shown
        elif value is not None and body.scheme is not None and value.scheme is None:
            value.scheme = body.scheme.read()
        if isinstance(item, Item) and isinstance(item.signature, SetSignature):
            item.signature.members.update(body.members)
            self._world.untyped[item.signature.type.name] = {}
            self.memory.changed()

    def keep(self, items: Sequence[Item], made: Sequence[tuple[CoreDecl, ...]]) -> None:
        """What was checked just now."""
        recipes = self._recipes.taken()
        bodies = [self._made(item, core, recipes) for item, core in zip(items, made, strict=True)]
        self.memory.keep_bodies([self._part(item) for item in items], bodies)
        if any(isinstance(item.decl, ast.SetDecl) for item in items):
            self.memory.changed()

    @staticmethod
    def _made(item: Item, core: tuple[CoreDecl, ...], recipes: tuple[str, ...]) -> MadeBody:
        members: dict[str, MemberInfo] = {}
        if isinstance(item.signature, SetSignature):
            members = {label: m for label, m in item.signature.members.items() if not m.annotated}
        scheme = None if item.value is None else item.value.scheme
        return MadeBody(core, recipes, scheme, members)


def _says_something(outline: Outline) -> bool:
    """Whether any of its type is written: a function's parameters are."""
    return outline.kind == "fn" or outline.typed
