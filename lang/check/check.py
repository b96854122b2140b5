"""The checker's one entry: a module's syntax, and the interfaces of what it imports, to core and its own interface.

The pipeline is `check_module`, a call a phase. A declaration ends at its first mistake, which is told about
once; what uses a declaration whose type is then unknown is passed over in silence. Bad input never raises.

With a `Memory`, a declaration that is the same as before, and for which all that it names means the same, is neither
read nor checked (reuse.py); what comes out is the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from kiln.lang import core
from kiln.lang.check import mistakes
from kiln.lang.check import modes as _modes  # noqa: F401  # fills the tables of infer.py
from kiln.lang.check.declaration import Checker, FailedItem, Item, find_parent
from kiln.lang.check.declared import Declared
from kiln.lang.check.export import export, printed
from kiln.lang.check.failure import Failure, Poisoned, failure
from kiln.lang.check.groups import components
from kiln.lang.check.imports import read_imports
from kiln.lang.check.infos import SetInfo, Site, ValueKind, VariantInfo
from kiln.lang.check.interface import Interface, SourceText
from kiln.lang.check.memory import CorePart, KeptValue, Memory, Stub, Unread, unread_value
from kiln.lang.check.names import PRELUDE, Scope, Value
from kiln.lang.check.outline import items_in
from kiln.lang.check.reporting import Reporter
from kiln.lang.check.reuse import Reuse
from kiln.lang.check.show import Printer
from kiln.lang.check.signatures import (
    FnSignature,
    SetSignature,
    fn_line,
    param_infos,
    read_fn,
    read_let,
    read_set,
    site_of,
)
from kiln.lang.check.types import Type, generalise, type_id
from kiln.lang.check.uses import MAX_DEPTH, free_names, mentioned, too_deep
from kiln.lang.check.world import World
from kiln.lang.core import CoreModule, ModuleId
from kiln.lang.garbage import uncollected
from kiln.lang.report import Report
from kiln.lang.syntax import ast
from kiln.lang.syntax.parser import parse_chunk

_FRAMES = 40 * MAX_DEPTH
"""Python frames that a declaration may need: a level of nesting takes fewer than 40."""


@dataclass(frozen=True, slots=True)
class Checked:
    """With reports, `core` and `interface` hold what could be checked; core is then not to be evaluated."""

    core: CoreModule
    interface: Interface
    reports: tuple[Report, ...]
    fresh: tuple[str, ...]
    """The declarations with a body that were checked now: a name, `type T` for defaults, `test N`."""


def check_module(
    module: ast.Module, module_id: ModuleId, imports: Mapping[str, Interface], memory: Memory | None = None
) -> Checked:
    """`imports` maps each import's source as written to its interface, and `std/prelude` to the prelude's.

    The module may lack the declarations that `memory` has unread.
    """
    with _room():
        return _Check(module, module_id, imports, memory).run()


@contextmanager
def _room() -> Iterator[None]:
    """Frames enough, and no search for garbage."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _FRAMES))
    try:
        with uncollected():
            yield
    finally:
        sys.setrecursionlimit(before)


class _Check:
    """One module, while it is checked."""

    def __init__(
        self, module: ast.Module, module_id: ModuleId, imports: Mapping[str, Interface], memory: Memory | None
    ) -> None:
        prelude = imports.get(PRELUDE) if module_id != PRELUDE else None
        self.module = module
        self.id = module_id
        self.imports = imports
        self.prelude = prelude
        self.scope = Scope(module_id, prelude)
        self.world = World()
        self.printer = Printer(module_id)
        self.reporter = Reporter(module, module_id, imports, self.printer)
        self.declared = Declared(self.scope, self.world, self.reporter.add)
        self.checker = Checker(self.scope, self.world, self.declared.annotations)
        self.chunks = [c for c in module.chunks if not self._too_deep(c)]
        self.unread: Sequence[Unread] = () if memory is None else memory.unread
        self.parts: Sequence[ast.Chunk | Unread] = self.chunks
        if self.unread:
            self.parts = sorted((*self.chunks, *self.unread), key=lambda part: part.start)
        self.items: dict[str, Item | Stub] = {}
        self.core: dict[int, CorePart] = {}
        self.fresh: list[str] = []
        self.reuse = None if memory is None else Reuse(memory, self.world)

    def run(self) -> Checked:
        self._imports()
        if self.reuse is not None:
            self.reuse.memory.begin(self.scope, self.world, self.printer)
        self._names()
        self.declared.read_all()
        self._constructors()
        self._signatures()
        self._parents()
        for group in self._groups():
            self._group(group)
        result = self._result()
        del self.declared.annotations  # It refers back: all of the module would wait for a search for garbage.
        return result

    # ---- names --------------------------------------------------------------------------------

    def _too_deep(self, chunk: ast.Chunk) -> bool:
        deep = too_deep(chunk.decl, chunk.end - chunk.start)
        if deep is None:
            return False
        self.reporter.add(chunk, failure(mistakes.TooDeep(MAX_DEPTH), deep))  # type: ignore[arg-type]
        name = getattr(chunk.decl, "name", None)
        if isinstance(name, ast.Name):
            self.scope.missing.add(name.text)
        return True

    def _without(self, names: Iterable[str]) -> None:
        """What these stand for is not known: whoever uses one is passed over."""
        self.scope.missing.update(names)
        for name in names:
            self.scope.constructors.pop(name, None)

    def _imports(self) -> None:
        modules = read_imports(self.chunks, self.imports, self.scope, self.world, self.reporter.add)
        self.printer.use(modules, self.scope.types)

    def _names(self) -> None:
        types: dict[str, Site] = {}
        for chunk in self.parts:
            if isinstance(chunk, Unread):
                self._unread_value(chunk)
                continue
            match chunk.decl:
                case ast.TypeDecl() as decl:
                    if self._new(chunk, decl.name, types, "type"):
                        self.scope.types[decl.name.text] = type_id(self.id, decl.name.text)
                        self.declared.add(chunk, decl)
                case ast.SetDecl() as decl:
                    if self._new(chunk, decl.name, types, "type"):
                        self.scope.types[decl.name.text] = type_id(self.id, decl.name.text)
                        self._value(chunk, decl.name, "set", decl.params)
                case ast.FnDecl() as decl:
                    self._value(chunk, decl.name, "fn", decl.params)
                case ast.LetDecl() as decl:
                    self._value(chunk, decl.name, "let", None)

    def _new(self, chunk: ast.Chunk, name: ast.Name, known: dict[str, Site], what: str) -> bool:
        first = known.get(name.text)
        if first is not None:
            self.reporter.add(chunk, failure(mistakes.DeclaredTwice(name.text, first, what), name))
            return False
        known[name.text] = site_of(self.scope, chunk, name)
        return True

    def _unread_value(self, part: Unread) -> None:
        name = part.outline.name
        if part.outline.kind == "test":
            return
        if name in self.scope.own or name in self.scope.alias_sites:
            chunk = self._read(part)
            assert isinstance(chunk.decl, ast.FnDecl | ast.LetDecl)
            self._value(chunk, chunk.decl.name, part.outline.kind, None)
        else:
            self.scope.own[name] = unread_value(self.id, part)

    def _read(self, part: Unread) -> ast.Chunk:
        decl = parse_chunk(self.module.text[part.start : part.end])
        assert isinstance(decl, ast.Decl)  # only what could be read is remembered
        return ast.Chunk(part.start, part.end, decl)

    def _value(self, chunk: ast.Chunk, name: ast.Name, kind: ValueKind, params: tuple[ast.Param, ...] | None) -> None:
        own = self.scope.own.get(name.text)
        taken = self.scope.alias_sites.get(name.text) if own is None else own.site
        if taken is not None:
            self.reporter.add(chunk, failure(mistakes.DeclaredTwice(name.text, taken), name))
            return
        site = site_of(self.scope, chunk, name)
        infos = None if params is None else param_infos(self.scope, chunk, params)
        self.scope.own[name.text] = Value(self.id, name.text, kind, site, infos)

    def _constructors(self) -> None:
        own: dict[str, Site] = {}
        for chunk in self.chunks:
            if not isinstance(chunk.decl, ast.TypeDecl):
                continue
            info = self.world.infos.get(type_id(self.id, chunk.decl.name.text))
            body = chunk.decl.body
            if info is None and not isinstance(body, ast.Type):
                self._without([v.name.text for v in body])
            if not isinstance(info, VariantInfo):
                continue
            for con in info.constructors.values():
                first = own.get(con.name)
                if first is None:
                    own[con.name] = con.site
                    self.scope.constructors[con.name] = con
                else:
                    place = ast.Name(con.site.start - chunk.start, con.site.end - chunk.start, con.name)
                    self.reporter.add(chunk, failure(mistakes.DeclaredTwice(con.name, first, "constructor"), place))

    # ---- signatures ---------------------------------------------------------------------------

    def _signatures(self) -> None:
        for number, chunk in enumerate(self.parts):
            item = self._stub(number, chunk) if isinstance(chunk, Unread) else self._item(number, chunk)
            if item is not None:
                self.items[item.key] = item

    def _stub(self, number: int, part: Unread) -> Stub | Item | None:
        """A declaration that says the same of its own type as before is not read."""
        assert self.reuse is not None
        if part.outline.kind == "test":
            return Stub(f"test {number}", number, part, None)
        value = self.scope.own[part.outline.name]
        if not isinstance(value, KeptValue) or value.site.start != part.start + part.outline.start:
            return None
        if self.reuse.signed(part, value):
            return Stub(value.name, number, part, value)
        return self._item(number, self._read(part))

    def _own(self, chunk: ast.Chunk, name: ast.Name) -> Value | None:
        """The value of a declaration that is the first of its name."""
        value = self.scope.own.get(name.text)
        return value if value is not None and value.site.start == chunk.start + name.start else None

    def _item(self, number: int, chunk: ast.Chunk) -> Item | None:
        decl = chunk.decl
        if isinstance(decl, ast.Import):
            return None
        if isinstance(decl, ast.TestDecl):
            return Item(f"test {number}", chunk, decl, None)
        if isinstance(decl, ast.TypeDecl):
            return self._type_item(chunk, decl)
        value = self._own(chunk, decl.name)
        if value is None:
            return None
        try:
            signature = self._signature(chunk, decl, value)
        except Failure as f:
            self._broken(value)
            self.reporter.add(chunk, f)
            return None
        except Poisoned:
            self._broken(value)
            return None
        if self.reuse is not None:
            self.reuse.sign(chunk, value)
        return Item(decl.name.text, chunk, decl, value, signature)

    def _type_item(self, chunk: ast.Chunk, decl: ast.TypeDecl) -> Item | None:
        name = type_id(self.id, decl.name.text)
        info = self.world.infos.get(name)
        if info is None or name in self.scope.broken_types or not isinstance(decl.body, ast.TypeRecord):
            return None
        if info.site != site_of(self.scope, chunk, decl.name) or all(f.default is None for f in decl.body.fields):
            return None
        return Item(f"type {decl.name.text}", chunk, decl, None)

    def _broken(self, value: Value) -> None:
        value.broken = True
        if value.kind == "set":
            self.scope.broken_types.add(type_id(self.id, value.name))

    def _signature(
        self, chunk: ast.Chunk, decl: ast.FnDecl | ast.LetDecl | ast.SetDecl, value: Value
    ) -> FnSignature | SetSignature | Type | None:
        annotations = self.declared.annotations
        annotations.enter(chunk)
        match decl:
            case ast.FnDecl():
                fn = read_fn(annotations, self.world, decl)
                if decl.body is None and not self.id.startswith("std/"):
                    raise failure(mistakes.ExternHere(decl.name.text), decl.name)
                if decl.body is None and not fn.full:
                    raise failure(mistakes.SignatureNeeded(decl.name.text, "function", None), decl.name)
                if fn.full:
                    value.scheme = generalise(fn.fn)
                return fn
            case ast.LetDecl():
                t = read_let(annotations, self.world, decl)
                if t is not None:
                    value.scheme = generalise(t)
                return t
            case ast.SetDecl():
                return read_set(annotations, self.world, self.scope, chunk, decl, value)

    def _parents(self) -> None:
        for item in list(self.items.values()):
            if isinstance(item, Stub) or not isinstance(item.decl, ast.SetDecl) or item.decl.parent is None:
                continue
            assert item.value is not None
            name = type_id(self.id, item.decl.name.text)
            info = self.world.infos[name]
            assert isinstance(info, SetInfo)
            try:
                parent = find_parent(self.checker, item.decl).name
                chain = [s.id for s in self.world.set_chain(parent)]
                if name in chain:
                    shown = tuple([s.rpartition("#")[2] for s in (name, *chain[: chain.index(name) + 1])])
                    raise failure(mistakes.AliasLoop(shown), item.decl.name)
            except (Failure, Poisoned) as f:
                self._broken(item.value)
                self._drop(item, f)
                continue
            self.world.infos[name] = SetInfo(name, info.members, parent, info.site, info.doc)

    # ---- bodies -------------------------------------------------------------------------------

    def _groups(self) -> Iterator[list[Item | Stub]]:
        """Sets stand first: what they need comes before them, and everything else may use their members."""
        sets = [k for k, i in self.items.items() if isinstance(i, Item) and isinstance(i.decl, ast.SetDecl)]
        keys = [*sets, *[k for k in self.items if k not in set(sets)]]
        waited = {k for k in keys if self._is_waited_for(self.items[k])}
        needs = {k: self._mentioned(self.items[k], waited) for k in keys}
        for group in components(needs):
            if len(group) == 1:
                yield [self.items[group[0]]]
                continue
            for opened in self._opened([self.items[k] for k in group]):
                self.items[opened.key] = opened
            inner = {k: self._free(k, set(group) & waited) for k in group}
            for part in components(inner):
                yield [self.items[k] for k in part]

    def _mentioned(self, item: Item | Stub, waited: set[str]) -> list[str]:
        if self.reuse is not None:
            return items_in(self.reuse.names(item), waited)
        assert isinstance(item, Item)
        return mentioned(item.decl, waited)

    def _free(self, key: str, group: set[str]) -> list[str]:
        item = self.items[key]
        return free_names(item.decl, group) if isinstance(item, Item) else []

    @staticmethod
    def _is_waited_for(item: Item | Stub) -> bool:
        """Its type is known only when its body has been checked."""
        if isinstance(item, Stub):
            return item.value is not None and not item.unread.outline.typed
        if isinstance(item.decl, ast.SetDecl):
            return item.decl.parent is not None or any(m.type is None for m in item.decl.members)
        return item.value is not None and item.value.scheme is None

    def _group(self, group: list[Item | Stub]) -> None:
        if self.reuse is not None:
            kept = self.reuse.bodies(group)
            if kept is not None:
                self.core.update(kept)
                return
        items = self._opened(group)
        if len(items) == len(group):
            self._checked(items)

    def _opened(self, group: Sequence[Item | Stub]) -> list[Item]:
        """The declarations of a group, read; those that are remembered can be."""
        found: list[Item] = []
        for item in group:
            read = self._item(item.number, self._read(item.unread)) if isinstance(item, Stub) else item
            if read is not None:
                found.append(read)
        return found

    def _checked(self, items: list[Item]) -> None:
        self.fresh += [item.key for item in items]
        try:
            if len(items) > 1 and any(isinstance(i.decl, ast.SetDecl) for i in items):
                self._entangled(items)
            elif len(items) > 1 or self._is_open_fn(items[0]):
                made = self.checker.together(items)
            else:
                made = [self.checker.alone(items[0])]
        except FailedItem as f:
            self._drop_all(items, f.item, f.failed)
        except (Failure, Poisoned) as f:
            self._drop_all(items, items[0], f)
        except RecursionError:
            deep = failure(mistakes.TooDeep(MAX_DEPTH), items[0].decl)
            self._drop_all(items, items[0], deep)
        else:
            for item, one in zip(items, made, strict=True):
                self._done(item, one)
            if self.reuse is not None:
                self.reuse.keep(items, made)

    @staticmethod
    def _is_open_fn(item: Item) -> bool:
        return isinstance(item.signature, FnSignature) and not item.signature.full

    def _entangled(self, items: list[Item]) -> NoReturn:
        """A set and functions without whole types that need each other."""
        fn = next((i for i in items if not isinstance(i.decl, ast.SetDecl)), items[0])
        names = tuple([i.key for i in items])
        assert not isinstance(fn.decl, ast.TestDecl)
        raise FailedItem(fn, failure(mistakes.NeedsItself((*names, names[0])), fn.decl.name))

    def _done(self, item: Item, made: tuple[core.CoreDecl, ...]) -> None:
        self.core[item.chunk.start] = made
        if item.value is None or isinstance(item.decl, ast.TestDecl | ast.TypeDecl | ast.SetDecl):
            return
        if not item.decl.pub:
            return
        scheme = item.value.scheme
        assert scheme is not None
        if isinstance(item.decl, ast.FnDecl):
            assert isinstance(item.signature, FnSignature)
            if item.signature.full:
                return
            text = self.module.text[item.chunk.start : item.chunk.end]
            line = fn_line(item.decl, text, scheme, self.printer)
            wanted = mistakes.SignatureNeeded(item.key, "function", line)
        elif item.signature is None:
            wanted = mistakes.SignatureNeeded(
                item.key, "binding", f"pub let {item.key}: {self.printer.full(scheme)} = …;"
            )
        else:
            return
        self.reporter.add(item.chunk, failure(wanted, item.decl.name))

    def _drop(self, item: Item, failed: Failure | Poisoned) -> None:
        if item.value is not None and item.value.scheme is None:
            self._broken(item.value)
        if isinstance(item.decl, ast.SetDecl):
            self._forget_members(item.decl)
        self.items.pop(item.key, None)
        if isinstance(failed, Failure):
            self.reporter.add(item.chunk, failed)

    def _forget_members(self, decl: ast.SetDecl) -> None:
        """The members whose types never became known can't be used."""
        name = type_id(self.id, decl.name.text)
        waiting = {m.name.text for m in decl.members if m.type is None}
        self.world.untyped[name] = dict.fromkeys(waiting, lambda node: Poisoned())

    def _drop_all(self, items: list[Item], guilty: Item, failed: Failure | Poisoned) -> None:
        for item in items:
            self._drop(item, failed if item is guilty else Poisoned())

    # ---- the result ---------------------------------------------------------------------------

    def _result(self) -> Checked:
        parts = sorted(self.core.items())
        decls: Sequence[core.CoreDecl]
        if self.reuse is not None:
            decls = self.reuse.memory.decls(parts)
        else:
            decls = tuple([d for _, made in parts if isinstance(made, tuple) for d in made])
        source = SourceText(self.module.path, self.module.text)
        interface = export(self.module, self.id, self.scope, self.world, self.imports, source, self.unread)
        exports, types, kinds = printed(self.scope, self.world, interface, self.printer)
        if self.reuse is not None:
            self.reuse.memory.shown(types)
        made = CoreModule(
            self.id,
            self.module.path,
            self.module.text,
            self._imported(),
            decls,
            exports,
            types,
            kinds,
        )
        return Checked(made, interface, self.reporter.reports(), tuple(self.fresh))

    def _imported(self) -> tuple[ModuleId, ...]:
        found: dict[ModuleId, None] = {}
        if self.prelude is not None:
            found[self.prelude.module] = None
        for chunk in self.chunks:
            if isinstance(chunk.decl, ast.Import) and chunk.decl.source in self.imports:
                found[self.imports[chunk.decl.source].module] = None
        return tuple(found)
