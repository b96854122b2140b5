"""A checked module's interface, and the printed types that core carries for `kiln eval --type` and the like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from kiln.lang.check.infos import RecordInfo, SetInfo, TypeInfo, ValueInfo
from kiln.lang.check.interface import Interface, SourceText, exported_modules, reachable
from kiln.lang.check.memory import KeptValue, Unread
from kiln.lang.check.names import Scope, Value
from kiln.lang.check.outline import Outline
from kiln.lang.check.show import Printer
from kiln.lang.check.types import Con, Type, is_named, type_id
from kiln.lang.check.world import World
from kiln.lang.core import ModuleId
from kiln.lang.syntax import ast


def export(
    module: ast.Module,
    module_id: ModuleId,
    scope: Scope,
    world: World,
    imports: Mapping[str, Interface],
    source: SourceText,
    unread: Sequence[Unread] = (),
) -> Interface:
    """`unread` are the declarations that `module` lacks."""
    values: dict[str, ValueInfo] = {}
    types: dict[str, str] = {}
    private: set[str] = set()
    parts: list[ast.Chunk | Unread] = [*module.chunks, *unread]
    for part in sorted(parts, key=_start):
        decl = part.outline if isinstance(part, Unread) else part.decl
        if isinstance(decl, ast.Import | ast.TestDecl) or (isinstance(decl, Outline) and decl.kind == "test"):
            continue
        name = decl.name if isinstance(decl, Outline) else decl.name.text
        if not decl.pub:
            private.add(name)
            continue
        if isinstance(decl, ast.TypeDecl | ast.SetDecl):
            own = type_id(module_id, name)
            if own in world.infos and own not in scope.broken_types:
                types[name] = own
        value = scope.own.get(name)
        if value is not None and value.scheme is not None and not value.broken:
            values[name] = ValueInfo(name, value.kind, value.scheme, value.params, value.site, decl.doc)
    infos = _reached(values, types, world)
    return Interface(
        module_id,
        module.path,
        values,
        types,
        infos,
        frozenset(private),
        sources(module_id, infos, imports, source),
        module.doc,
    )


def _start(part: ast.Chunk | Unread) -> int:
    return part.start


def _reached(values: Mapping[str, ValueInfo], types: Mapping[str, str], world: World) -> dict[str, TypeInfo]:
    roots: list[Type] = [v.scheme.type for v in values.values()]
    roots.extend([Con(name) for name in types.values()])
    found = reachable(roots, world.infos)
    return {name: _final(info, world) for name, info in sorted(found.items())}


def _final(info: TypeInfo, world: World) -> TypeInfo:
    """A set's members as they now are; a record that this module uses as a recipe is one for its importers too."""
    if isinstance(info, RecordInfo) and not info.recipe and info.id in world.mentioned_recipes:
        return replace(info, recipe=True)
    if isinstance(info, SetInfo):
        return replace(info, members=dict(info.members))
    return info


def sources(
    module_id: ModuleId, infos: Mapping[str, TypeInfo], imports: Mapping[str, Interface], own: SourceText
) -> dict[ModuleId, SourceText]:
    """The files that places in `infos` point into."""
    wanted = exported_modules(infos)
    found = {module_id: own}
    for interface in imports.values():
        for module, source in interface.sources.items():
            if module in wanted:
                found.setdefault(module, source)
    return found


# ---- for people -------------------------------------------------------------------------------


def printed(
    scope: Scope, world: World, interface: Interface, printer: Printer
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Types of what is exported, types of every value, and what kind of thing each pub let is."""
    types = dict(_types(scope, printer))
    exports = {name: types[name] for name in interface.values if name in types}
    kinds = {
        name: kind_of(world, value.scheme.type) for name, value in interface.values.items() if value.kind == "let"
    }
    return exports, types, kinds


def _types(scope: Scope, printer: Printer) -> Iterator[tuple[str, str]]:
    for name, value in scope.own.items():
        if isinstance(value, KeptValue) and value.shown is not None:
            yield name, value.shown
        elif value.scheme is not None and not value.broken:
            yield name, _shown(value, printer)


def _shown(value: Value, printer: Printer) -> str:
    assert value.scheme is not None
    where = [f"{v.name}: {c}" for v in value.scheme.vars for c in sorted(v.constraints)]
    return printer.full(value.scheme) + (f" where {', '.join(where)}" if where else "")


def kind_of(world: World, t: Type) -> str:
    """`drv` (a Pkg or Drv), `out`, `set`, `text`, or `other`."""
    if is_named(t, "Pkg", "Drv"):
        return "drv"
    if is_named(t, "Out"):
        return "out"
    if is_named(t, "Text"):
        return "text"
    if world.set_info(t) is not None:
        return "set"
    return "other"
