"""The declarations of a program, each found by its name.

A module's names are gathered when the first of them is asked for. Declarations that were kept (`caching.core`)
bring theirs along, and are read one at a time.
"""

from __future__ import annotations

from collections.abc import Mapping

from kiln.interpreter.caching.core import StoredDecls
from kiln.lang.core import CoreDecl, CoreDefault, CoreLet, CoreModule, CoreSet, DeclKey, Expr, ModuleId, decl_key


class Declarations:
    def __init__(self, modules: Mapping[ModuleId, CoreModule]) -> None:
        self._modules = modules
        self._places: dict[ModuleId, dict[DeclKey, int]] = {}
        self._members: dict[tuple[ModuleId, str], dict[str, Expr]] = {}

    def named(self, module: ModuleId, name: str) -> CoreDecl | None:
        """A function, let or set."""
        return self._found(module, (name,))

    def let_start(self, module: ModuleId, name: str) -> int | None:
        """Where a let begins; None where the name is no let's. One that was kept is not read for that."""
        places = self._places_in(module)
        place = places.get((name,))
        if place is None:
            return None
        decls = self._modules[module].decls
        if isinstance(decls, StoredDecls):
            return decls.starts[place] if decls.facts[place][0] == "let" else None
        decl = decls[place]
        return decl.start if isinstance(decl, CoreLet) else None

    def default(self, module: ModuleId, type_name: str, label: str) -> CoreDefault:
        """The default of a declared record's field, which the checker has seen."""
        found = self._found(module, (type_name, label))
        assert isinstance(found, CoreDefault)
        return found

    def member(self, module: ModuleId, name: str, label: str) -> tuple[CoreSet, Expr]:
        """A set, and what it says of one of its own members."""
        decl = self.named(module, name)
        assert isinstance(decl, CoreSet)
        members = self._members.get((module, name))
        if members is None:
            members = self._members[module, name] = dict(decl.members)
        return decl, members[label]

    def _found(self, module: ModuleId, key: DeclKey) -> CoreDecl | None:
        place = self._places_in(module).get(key)
        return None if place is None else self._modules[module].decls[place]

    def _places_in(self, module: ModuleId) -> dict[DeclKey, int]:
        places = self._places.get(module)
        if places is None:
            places = self._places[module] = self._gathered(module)
        return places

    def _gathered(self, module: ModuleId) -> dict[DeclKey, int]:
        if module not in self._modules:
            return {}
        decls = self._modules[module].decls
        keys = decls.keys if isinstance(decls, StoredDecls) else [decl_key(decl) for decl in decls]
        return {key: place for place, key in enumerate(keys)}
