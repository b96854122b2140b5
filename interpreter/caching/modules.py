"""Modules that were checked: neither parsed nor checked again while their text and what they import are the same.

An entry is found by a module's id and text, so that its imports are known before it is parsed:

    (syntax, uses, surface, interface, core)      marshalled

    syntax      bytes of the chunks that the loader looks at: imports, and whatever has a path literal
    uses        digest of the surface of each import, with the source that it was imported by and its id
    surface     the digest of the module's own surface
    interface   bytes: interfaces.py
    core        (imports' ids, keys, one bytes a declaration, exports, types, kinds)

`uses` has changed when an import shows something else of itself; the module is then checked again, and its entry
replaced. Places and texts are not in the core; the path that messages show is the one of this run.
A module with a mistake has no entry.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from blake3 import blake3

from kiln.interpreter.caching.core import StoredDecls, packed
from kiln.interpreter.caching.flat import Damaged, Table
from kiln.interpreter.caching.interfaces import pack, surface_digest, unpack
from kiln.interpreter.caching.shelf import Shelf, is_off, key
from kiln.lang.check.interface import Interface, SourceText
from kiln.lang.core import CoreModule, ModuleId
from kiln.lang.syntax import ast

_SYNTAX: Final = Table(
    sorted(
        (kind for kind in vars(ast).values() if isinstance(kind, type) and hasattr(kind, "_fields")),
        key=lambda kind: kind.__name__,
    )
)


class Entry(NamedTuple):
    """What is kept of a module with a text. `syntax` has some of its chunks."""

    syntax: ast.Module
    uses: bytes
    surface: bytes
    interface: bytes
    core: tuple[Any, ...]


class ModuleCache:
    """The modules of one program's loading."""

    def __init__(self) -> None:
        self._shelf = Shelf("modules")
        self._surfaces: dict[ModuleId, bytes] = {}

    def find(self, id: ModuleId, path: str, text: str) -> Entry | None:
        """The entry of a module with this text; `path` is what messages show."""
        data = self._shelf.read(_name(id, text))
        if data is None:
            return None
        try:
            syntax, uses, surface, interface, core = marshal.loads(data)
            chunks = _SYNTAX.unpack(syntax)
        except (Damaged, ValueError, TypeError, EOFError):
            return None
        return Entry(ast.Module(path, text, None, chunks), uses, surface, interface, core)

    def checked(
        self, entry: Entry, id: ModuleId, imports: Mapping[str, Interface]
    ) -> tuple[CoreModule, Interface] | None:
        """What checking the module would make of it with these imports, if that is what was kept."""
        if entry.uses != self._uses(imports):
            return None
        path, text = entry.syntax.path, entry.syntax.text
        try:
            imported, keys, blobs, exports, types, kinds = entry.core
            interface = unpack(entry.interface, id, SourceText(path, text), imports)
        except (Damaged, ValueError, TypeError):
            return None
        self._surfaces[id] = entry.surface
        return CoreModule(id, path, text, imported, StoredDecls(keys, blobs), exports, types, kinds), interface

    def keep(
        self, syntax: ast.Module, imports: Mapping[str, Interface], core: CoreModule, interface: Interface
    ) -> None:
        """Keep what checking made of a module without a mistake."""
        surface = self._surfaces[core.id] = surface_digest(interface)
        shown = pack(interface)
        if shown is None or is_off():
            return
        chunks = _SYNTAX.pack(tuple(chunk for chunk in syntax.chunks if _is_looked_at(chunk, core.text)))
        made = (core.imports, *packed(core.decls), core.exports, core.types, core.kinds)
        self._shelf.write(
            _name(core.id, core.text), marshal.dumps((chunks, self._uses(imports), surface, shown, made))
        )

    def _uses(self, imports: Mapping[str, Interface]) -> bytes:
        rows = tuple((source, i.module, self._surface(i)) for source, i in sorted(imports.items()))
        return blake3(marshal.dumps(rows, 2)).digest()

    def _surface(self, interface: Interface) -> bytes:
        found = self._surfaces.get(interface.module)
        if found is None:
            found = self._surfaces[interface.module] = surface_digest(interface)
        return found


def _is_looked_at(chunk: ast.Chunk, text: str) -> bool:
    """A path literal begins with `./` or `../`."""
    return isinstance(chunk.decl, ast.Import) or text.find("./", chunk.start, chunk.end) >= 0


def _name(id: ModuleId, text: str) -> str:
    return key(b"module", id.encode("utf-8", "surrogatepass"), text.encode("utf-8", "surrogatepass"))
