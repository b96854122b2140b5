"""What a module's imports bring into its scope and its world."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kiln.lang.check import mistakes
from kiln.lang.check.failure import Failure, failure
from kiln.lang.check.infos import Site, VariantInfo
from kiln.lang.check.interface import Interface
from kiln.lang.check.names import Scope, imported_value
from kiln.lang.check.world import World
from kiln.lang.syntax import ast

Fail = Callable[[ast.Chunk, Failure], None]


def read_imports(
    chunks: Sequence[ast.Chunk],
    imports: Mapping[str, Interface],
    scope: Scope,
    world: World,
    fail: Fail,
) -> dict[str, str]:
    """Fills `scope` and `world`; the alias of each imported module, for messages."""
    for interface in imports.values():
        world.infos.update(interface.infos)
    aliases: dict[str, str] = {}
    for chunk in chunks:
        decl = chunk.decl
        if not isinstance(decl, ast.Import):
            continue
        interface_ = imports.get(decl.source)
        if interface_ is None:
            place = ast.Name(decl.source_start, decl.source_end, decl.source)
            fail(chunk, failure(mistakes.UnknownModule(decl.source), place))
            _missing(decl, scope)
            continue
        if decl.alias is not None and _is_new(chunk, decl.alias, scope, fail):
            scope.modules[decl.alias.text] = interface_
            aliases.setdefault(interface_.module, decl.alias.text)
        for name in decl.names:
            if _is_new(chunk, name.alias, scope, fail):
                _import_name(chunk, name, interface_, decl.source, scope, fail)
    return aliases


def _missing(decl: ast.Import, scope: Scope) -> None:
    if decl.alias is not None:
        scope.missing.add(decl.alias.text)
    scope.missing.update([n.alias.text for n in decl.names])


def _is_new(chunk: ast.Chunk, name: ast.Name, scope: Scope, fail: Fail) -> bool:
    first = scope.alias_sites.get(name.text)
    if first is not None:
        fail(chunk, failure(mistakes.DeclaredTwice(name.text, first), name))
        return False
    scope.alias_sites[name.text] = Site(scope.module, chunk.start + name.start, chunk.start + name.end)
    return True


def _import_name(
    chunk: ast.Chunk, node: ast.ImportName, interface: Interface, source: str, scope: Scope, fail: Fail
) -> None:
    """`A` brings the type, the constructor and the set of that name; a type does not bring its constructors."""
    name, alias = node.name.text, node.alias.text
    found = False
    value = interface.values.get(name)
    if value is not None:
        scope.import_value(alias, imported_value(interface.module, value))
        found = True
    type_name = interface.types.get(name)
    if type_name is not None:
        scope.types[alias] = type_name
        found = True
    con = interface.constructor(name)
    if con is not None:
        scope.constructors[alias] = con
        found = True
    if found:
        return
    scope.missing.add(alias)
    exported = (*interface.values, *interface.types, *_constructors(interface))
    mistake = mistakes.NotExported(name, f'"{source}"', exported, name in interface.private)
    fail(chunk, failure(mistake, node.name))


def _constructors(interface: Interface) -> list[str]:
    infos = [interface.infos[name] for name in interface.types.values()]
    return [con for info in infos if isinstance(info, VariantInfo) for con in info.constructors]
