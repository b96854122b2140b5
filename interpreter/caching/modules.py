"""Modules that were checked: neither parsed nor checked again while their text and what they import are the same.

An entry is found by a module's id, so that what is known of most of its declarations is at hand when one is edited:

    (text, syntax, uses, surface, interface, core, rows)      marshalled

    text        digest of the module's text
    syntax      bytes of the chunks that the loader looks at: imports, and whatever has a path literal
    uses        digest of the surface of each import, with the source that it was imported by and its id
    surface     the digest of the module's own surface
    interface   bytes: interfaces.py
    core        (imports' ids, keys, one bytes a declaration, starts, facts, exports, types, kinds)
    rows        bytes: declarations.py

If the text is the same, its imports are known before it is parsed, and if `uses` is the same too, all of it is. Else
each declaration is looked for among the rows, and the entry is replaced; so one module has one entry. Places and
texts are not in the core; the path that messages show is the one of this run. What a module with a mistake makes is
not kept, and its entry stays as it was.
"""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from blake3 import blake3

from kiln.interpreter.answers import is_off
from kiln.interpreter.caching.core import StoredDecls
from kiln.interpreter.caching.flat import Damaged, Table
from kiln.interpreter.caching.interfaces import pack, surface_digest, unpack
from kiln.interpreter.caching.shelf import Shelf, key
from kiln.lang.check.interface import Interface, SourceText
from kiln.lang.core import CoreModule, ModuleId
from kiln.lang.syntax import ast

if TYPE_CHECKING:
    from kiln.interpreter.caching.declarations import Declarations

_SYNTAX: Final = Table(
    sorted(
        (kind for kind in vars(ast).values() if isinstance(kind, type) and hasattr(kind, "_fields")),
        key=lambda kind: kind.__name__,
    )
)


class Entry(NamedTuple):
    """What is kept of a module. `syntax` has some of its chunks, where the text is the same."""

    syntax: ast.Module | None
    uses: bytes
    surface: bytes
    interface: bytes
    core: tuple[Any, ...]
    rows: bytes


class ModuleCache:
    """The modules of one program's loading."""

    def __init__(self) -> None:
        self._shelf = Shelf("modules")
        self._surfaces: dict[ModuleId, bytes] = {}

    def find(self, id: ModuleId, path: str, text: str) -> Entry | None:
        """The entry of a module that has this text now; `path` is what messages show."""
        data = self._shelf.read(_name(id))
        if data is None:
            return None
        try:
            digest, syntax, uses, surface, interface, core, rows = marshal.loads(data)
            same = digest == _digest(text)
            module = ast.Module(path, text, None, _SYNTAX.unpack(syntax)) if same else None
        except (Damaged, ValueError, TypeError, EOFError):
            return None
        return Entry(module, uses, surface, interface, core, rows)

    def memory(self, id: ModuleId, text: str, entry: Entry | None) -> Declarations | None:
        """What is known of a module's declarations; None where nothing is to be kept."""
        if is_off():
            return None
        from kiln.interpreter.caching.declarations import Declarations, Earlier

        if entry is not None:
            try:
                _, keys, blobs, _, facts, *_ = entry.core
                return Declarations(id, text, Earlier(entry.rows, keys, blobs, facts))
            except (Damaged, ValueError, TypeError, EOFError):
                pass
        return Declarations(id, text, None)

    def checked(
        self, entry: Entry, id: ModuleId, imports: Mapping[str, Interface]
    ) -> tuple[CoreModule, Interface] | None:
        """What checking the module would make of it with these imports, if that is what was kept."""
        if entry.syntax is None or entry.uses != self._uses(imports):
            return None
        path, text = entry.syntax.path, entry.syntax.text
        try:
            imported, keys, blobs, starts, facts, exports, types, kinds = entry.core
            interface = unpack(entry.interface, id, SourceText(path, text), imports)
        except (Damaged, ValueError, TypeError):
            return None
        self._surfaces[id] = entry.surface
        decls = StoredDecls(keys, blobs, starts, facts)
        return CoreModule(id, path, text, imported, decls, exports, types, kinds), interface

    def keep(
        self,
        syntax: ast.Module,
        imports: Mapping[str, Interface],
        core: CoreModule,
        interface: Interface,
        memory: Declarations,
    ) -> None:
        """Keep what checking made of a module without a mistake."""
        surface = self._surfaces[core.id] = surface_digest(interface)
        chunks = _SYNTAX.pack(tuple(chunk for chunk in syntax.chunks if _is_looked_at(chunk, core.text)))
        decls = core.decls
        assert isinstance(decls, StoredDecls)
        kept = (decls.keys, decls.blobs, decls.starts, decls.facts)
        made = (core.imports, *kept, core.exports, core.types, core.kinds)
        entry = (_digest(core.text), chunks, self._uses(imports), surface, pack(interface), made, memory.packed())
        self._shelf.write(_name(core.id), marshal.dumps(entry))

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


def _name(id: ModuleId) -> str:
    return key(b"module", id.encode("utf-8", "surrogatepass"))


def _digest(text: str) -> bytes:
    return blake3(text.encode("utf-8", "surrogatepass")).digest()
