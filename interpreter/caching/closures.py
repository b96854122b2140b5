"""What a let's code is, as far as it is known before it runs: 16 bytes a let, equal while its code is the same.

    code of a let        its core, and the code of each function, set and default that it names
    code of anything else  its core, and the code of all that it names, the lets among them too

The lets that a let names itself are left out: what those came to is noted while it runs (values.py). Those that a
function names are not, since compiled functions look at them without asking. Declarations that name each other are
one; the core of each holds its places, so that an edit of a declaration is an edit of what it can be seen in.
"""

from __future__ import annotations

from collections.abc import Mapping

from kiln.interpreter.caching.core import StoredDecls
from kiln.interpreter.caching.meanings import short_digest
from kiln.lang.check.groups import components
from kiln.lang.core import CoreModule, ModuleId

_UNKNOWN = b"\0" * 16


class Closures:
    """Of one program's declarations, each of which is named `module NUL name`, or `module NUL type NUL field`."""

    def __init__(self, modules: Mapping[ModuleId, CoreModule]) -> None:
        self._decls: dict[ModuleId, StoredDecls] = {}
        self.usable = True
        """Whether all of the program is kept: what was typed is not."""
        for id, module in modules.items():
            if isinstance(module.decls, StoredDecls):
                self._decls[id] = module.decls
            else:
                self.usable = False
        self._places: dict[ModuleId, dict[str, int]] = {}
        self._closed: dict[str, bytes] = {}
        self._lets: dict[str, bytes] = {}

    def let(self, key: str) -> bytes | None:
        """The code of a let; None where there is no such let."""
        found = self._lets.get(key)
        if found is None:
            if not self.is_let(key):
                return None
            parts = [self._own(key)]
            parts += [self._closure(name) for name in self._mentions(key) if not self.is_let(name)]
            found = self._lets[key] = short_digest(b"".join(parts))
        return found

    def is_let(self, key: str) -> bool:
        place = self._place(key)
        return place is not None and place[0].facts[place[1]][0] == "let"

    def _place(self, key: str) -> tuple[StoredDecls, int] | None:
        module, _, name = key.partition("\0")
        decls = self._decls.get(module)
        if decls is None:
            return None
        places = self._places.get(module)
        if places is None:
            places = self._places[module] = {"\0".join(key): at for at, key in enumerate(decls.keys)}
        at = places.get(name)
        return None if at is None else (decls, at)

    def _own(self, key: str) -> bytes:
        place = self._place(key)
        return (
            _UNKNOWN
            if place is None
            else short_digest(key.encode("utf-8", "surrogatepass") + place[0].blobs[place[1]])
        )

    def _mentions(self, key: str) -> tuple[str, ...]:
        place = self._place(key)
        return () if place is None else place[0].facts[place[1]][1]

    def _closure(self, key: str) -> bytes:
        if key not in self._closed:
            self._close(key)
        return self._closed[key]

    def _close(self, root: str) -> None:
        needs: dict[str, tuple[str, ...]] = {}
        stack = [root]
        while stack:
            name = stack.pop()
            if name not in needs and name not in self._closed:
                needs[name] = self._mentions(name)
                stack.extend(needs[name])
        for group in components(needs):
            inside = set(group)
            outside = {name for member in group for name in needs[member]} - inside
            parts = sorted([self._own(name) for name in group]) + [self._closed[name] for name in sorted(outside)]
            whole = b"".join(parts)
            for name in group:
                self._closed[name] = short_digest(self._own(name) + whole)
