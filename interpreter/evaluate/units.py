"""Units: declarations as Python functions, compiled and linked when they are first needed.

    function   _f7(a, b)      value form  _w7(_k_a, _k_b)     called by label, fills in what is absent
    let        _v7(), _c7     default     _v7(), _c7          computes it; its cell, None until `_get(7)`
    set        _s7(a)         member      _m7(self, _env)     of the set's parameters
    test       _t7()

All live in one namespace, so that a call between modules is as direct as one within. A let or default that can be
computed without code has steps instead (direct.py). Asking for a unit compiles it together with everything that it
names, in pieces of some size: the compiler takes 60 µs a piece at least, and longer a line the longer a piece is.
A set's members are left out, until one is asked for.
"""

from __future__ import annotations

import os.path
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from kiln.interpreter.caching.code import CodeCache
from kiln.interpreter.evaluate import runtime
from kiln.interpreter.evaluate.builtins import EXTERNS, METHODS
from kiln.interpreter.evaluate.compile import Compiler, Target
from kiln.interpreter.evaluate.declarations import Declarations
from kiln.interpreter.evaluate.direct import Step, run, steps_of
from kiln.interpreter.evaluate.emit import Writer, local, row
from kiln.interpreter.evaluate.expressions import parameters
from kiln.interpreter.evaluate.packages import DIRECT, LIBRARY_CODE, USER_CODE, Site
from kiln.interpreter.evaluate.sets import MemberFn
from kiln.interpreter.evaluate.values import PathOf, constructor, record_maker, variant_class
from kiln.interpreter.imports import is_library
from kiln.lang.core import (
    BinaryOn,
    CoreDecl,
    CoreFn,
    CoreLet,
    CoreModule,
    CoreParam,
    CoreSet,
    CoreTest,
    DefaultOf,
    Expr,
    Global,
    ModuleId,
    PathValue,
)

if TYPE_CHECKING:
    from kiln.interpreter.caching.values import Values
    from kiln.interpreter.evaluate.budget import Steps

_PLACE: Final = "<place "
"""Of a place in a declaration that was not compiled: a number instead of a file, and an offset instead of a line."""
_PIECE: Final = 1_500
"""Lines of Python that are compiled at once."""


class Unit:
    """One Python function with a place in a Kiln file. `write` compiles it into the compiler given."""

    __slots__ = ("id", "key", "linked", "module", "name", "start", "steps", "title", "write")

    def __init__(
        self,
        id: int,
        key: tuple[str, ...],
        name: str,
        module: CoreModule,
        start: int,
        title: str,
        write: Callable[[Unit, Compiler], None],
    ) -> None:
        self.steps: list[Step] | None = None
        """What computes it instead of code, until it is computed."""
        self.id = id
        self.key = key
        self.name = name
        self.module = module
        self.start = start
        self.title = title
        self.write = write
        self.linked = False


class Spot(NamedTuple):
    """Where a line of generated code comes from: `offset` counts from the start of the file."""

    unit: Unit
    offset: int


class _Piece(NamedTuple):
    """One compiled source: for each line its unit and offset."""

    units: list[Unit]
    ats: list[int]


class Linker:
    """All units of a program, the namespace that they run in, and the way back from Python lines to Kiln."""

    def __init__(
        self, modules: Mapping[ModuleId, CoreModule], folders: Mapping[ModuleId, str], steps: Steps | None = None
    ) -> None:
        """With `steps`, code is compiled that counts them."""
        self.modules = modules
        self.folders = folders
        self.running: dict[int, str] = {}
        """The lets and defaults that are being computed, outermost first: id to title."""
        self.namespace: dict[str, Any] = {
            "__builtins__": {},
            "_get": self.get,
            **runtime.HELPERS,
        }
        self._metered = steps is not None
        if steps is not None:
            self.namespace |= {"_step": steps.step, "_turns": steps.turns}
        self.read = self.get
        """What gives the value of a let or default to whoever names it."""
        self.values: Values | None = None
        self._places: list[tuple[str, ...]] = []
        self.targets: dict[tuple[ModuleId, str], tuple[Target, Unit | None]] = {}
        """Known functions that were called, each with its unit; an extern has none."""
        self._decls = Declarations(modules)
        self._code = CodeCache()
        self._units: dict[tuple[str, ...], Unit] = {}
        self._cells: dict[int, Unit] = {}
        self._bodies: dict[int, Callable[[], Expr]] = {}
        self._pieces: dict[str, _Piece] = {}
        self._count = 0

    # ---- finding units ------------------------------------------------------------------------

    def declaration(self, module: ModuleId, name: str) -> CoreDecl | None:
        return self._decls.named(module, name)

    def function(self, module: ModuleId, name: str) -> Unit:
        """The direct form of a function, or a set's constructor."""
        decl = self._decls.named(module, name)
        if isinstance(decl, CoreSet):
            write = lambda unit, to: _write_set(self, unit, to, decl)  # noqa: E731
            return self._unit(("set", module, name), "_s", module, decl.start, f"`{name}`", write)
        assert isinstance(decl, CoreFn)
        writer = lambda unit, to: _write_function(self, unit, to, decl)  # noqa: E731
        return self._unit(("fn", module, name), "_f", module, decl.start, f"`{name}`", writer)

    def wrapper(self, module: ModuleId, name: str) -> Unit:
        """The form of a function, or of a set's constructor, that is a value."""
        decl = self._decls.named(module, name)
        assert isinstance(decl, CoreFn | CoreSet)
        write = lambda unit, to: _write_wrapper(self, unit, to, decl)  # noqa: E731
        return self._unit(("wrap", module, name), "_w", module, decl.start, f"`{name}`", write)

    def known_let(self, module: ModuleId, name: str) -> Unit | None:
        """A let's unit, if it was asked for before."""
        return self._units.get(("let", module, name))

    def let(self, module: ModuleId, name: str) -> Unit:
        """Its declaration is read when it is to be computed."""
        start = self._decls.let_start(module, name)
        assert start is not None
        return self._cell(("let", module, name), module, start, f"`{name}`", lambda: self._let_body(module, name))

    def is_let(self, module: ModuleId, name: str) -> bool:
        return self._decls.let_start(module, name) is not None

    def _let_body(self, module: ModuleId, name: str) -> Expr:
        decl = self._decls.named(module, name)
        assert isinstance(decl, CoreLet)
        return decl.body

    def default(self, module: ModuleId, type_name: str, label: str) -> Unit:
        decl = self._decls.default(module, type_name, label)
        title = f"the default of `{type_name}.{label}`"
        return self._cell(("default", module, type_name, label), module, decl.start, title, lambda: decl.body)

    def parameter_default(self, module: ModuleId, name: str, place: int) -> Unit:
        decl = self._decls.named(module, name)
        assert isinstance(decl, CoreFn | CoreSet)
        param = decl.params[place]
        default = param.default
        assert default is not None
        title = f"the default of `{param.label or param.name}`"
        return self._cell(("param", module, name, str(place)), module, decl.start, title, lambda: default)

    def member(self, module: ModuleId, name: str, label: str) -> Unit:
        decl, body = self._decls.member(module, name, label)
        write = lambda unit, to: _write_member(unit, to, decl, body)  # noqa: E731
        return self._unit(("member", module, name, label), "_m", module, decl.start, f"`{name}.{label}`", write)

    def test(self, module: ModuleId, place: int) -> Unit:
        """The test that is the `place`-th declaration of a module."""
        decl = self.modules[module].decls[place]
        assert isinstance(decl, CoreTest)
        write = lambda unit, to: _write_test(unit, to, decl)  # noqa: E731
        return self._unit(("test", module, str(place)), "_t", module, decl.start, f'the test "{decl.title}"', write)

    def _cell(self, key: tuple[str, ...], module: ModuleId, start: int, title: str, body: Callable[[], Expr]) -> Unit:
        unit = self._unit(key, "_v", module, start, title, lambda unit, to: _write_cell(unit, to, body()))
        self._bodies[unit.id] = body
        return unit

    def _unit(
        self,
        key: tuple[str, ...],
        prefix: str,
        module: ModuleId,
        start: int,
        title: str,
        write: Callable[[Unit, Compiler], None],
    ) -> Unit:
        found = self._units.get(key)
        if found is None:
            self._count += 1
            name = f"{prefix}{self._count}"
            found = Unit(self._count, key, name, self.modules[module], start, title, write)
            self._units[key] = found
            if prefix == "_v":
                self._cells[self._count] = found
                self.namespace[cell(found)] = None
        return found

    # ---- linking ------------------------------------------------------------------------------

    def link(self, unit: Unit) -> Callable[..., Any]:
        """The unit's Python function, compiled with everything that it names."""
        self._ready(unit)
        function: Callable[..., Any] = self.namespace[unit.name]
        return function

    def _ready(self, unit: Unit) -> None:
        if not unit.linked:
            user: list[tuple[Unit, list[Writer]]] = []
            library: list[tuple[Unit, list[Writer]]] = []
            for needed, writers in self._compiled(unit):
                (library if is_library(needed.module.id) else user).append((needed, writers))
            self._load(LIBRARY_CODE, library)
            self._load(USER_CODE, user)

    def _compiled(self, unit: Unit) -> Iterator[tuple[Unit, list[Writer]]]:
        pending = [unit]
        while pending:
            needed = pending.pop()
            if needed.linked:
                continue
            needed.linked = True
            links = _UnitLinks(self, needed.id in self._cells)
            body = self._bodies.get(needed.id)
            needed.steps = None if body is None else steps_of(body(), links, links)
            if needed.steps is None:
                compiler = Compiler(links, needed.name, metered=self._metered)
                needed.write(needed, compiler)
                yield needed, compiler.done
            pending.extend(links.needs if self.values is None else self._at_once(links.needs, self.values))

    @staticmethod
    def _at_once(needs: list[Unit], values: Values) -> list[Unit]:
        """Without the lets that may not have to be computed."""
        return [unit for unit in needs if unit.key[0] != "let" or not values.has(f"{unit.key[1]}\0{unit.key[2]}")]

    def _load(self, kind: str, compiled: list[tuple[Unit, list[Writer]]]) -> None:
        lines: list[str] = []
        piece = _Piece([], [])
        for unit, writers in compiled:
            for writer in writers:
                lines += writer.lines
                piece.ats.extend(writer.ats)
                piece.units.extend([unit] * len(writer.lines))
            if len(lines) >= _PIECE:
                self._run(kind, lines, piece)
                lines, piece = [], _Piece([], [])
        if lines:
            self._run(kind, lines, piece)

    def _run(self, kind: str, lines: list[str], piece: _Piece) -> None:
        filename = f"{kind}{len(self._pieces)}>"
        self._pieces[filename] = piece
        exec(self._code.compiled(lines, filename), self.namespace)

    def spot(self, site: Site) -> Spot | None:
        """Where a line of generated code or a step comes from, or None for a line of something else."""
        if site[0].startswith(_PLACE):
            unit = self._unit_at(self._places[int(site[0][len(_PLACE) : -1])])
            return Spot(unit, unit.start + site[1])
        if site[0].startswith(DIRECT):
            unit = self._cells[int(site[0][len(DIRECT) : -1])]
            return Spot(unit, unit.start + site[1])
        piece = self._pieces.get(site[0])
        if piece is None or not 0 < site[1] <= len(piece.ats):
            return None
        unit = piece.units[site[1] - 1]
        return Spot(unit, unit.start + piece.ats[site[1] - 1])

    # ---- cells --------------------------------------------------------------------------------

    def get(self, id: int) -> Any:
        """The value of a let or default, computed when it is first asked for. Raises Failure."""
        unit = self._cells[id]
        namespace = self.namespace
        name = cell(unit)
        value = namespace[name]
        if value is None:
            if id in self.running:
                runtime.needs_itself(self._chain(id))
            self.running[id] = unit.title
            self._ready(unit)
            steps = unit.steps
            value = namespace[unit.name]() if steps is None else run(unit, steps, namespace, self.read)
            namespace[name] = value
            unit.steps = None
            del self.running[id]
        return value

    # ---- what is kept of lets -----------------------------------------------------------------

    def use(self, values: Values) -> None:
        """Lets are taken from here where they are the same, and what they read is noted."""
        self.values = values
        self.read = self.namespace["_get"] = self._noted

    def _noted(self, id: int) -> Any:
        """As `get`, and in one frame like it: a let in a let takes two."""
        values, unit, namespace = self.values, self._cells[id], self.namespace
        assert values is not None
        let = f"{unit.key[1]}\0{unit.key[2]}" if unit.key[0] == "let" else None
        if let is not None:
            values.read(let)
        name = cell(unit)
        value = namespace[name]
        if value is not None:
            return value
        if id in self.running:
            runtime.needs_itself(self._chain(id))
        found = None if let is None else values.find(let)
        if found is not None:
            namespace[name] = found[0]
            return found[0]
        before = values.enter(let)
        try:
            self.running[id] = unit.title
            self._ready(unit)
            steps = unit.steps
            value = namespace[unit.name]() if steps is None else run(unit, steps, namespace, self._noted)
            namespace[name] = value
            unit.steps = None
            del self.running[id]
        finally:
            values.leave(before)
        if let is not None:
            values.done(let, value)
        return value

    def compute(self, let: str) -> Any:
        """The value of a let, for whoever looks whether it is what it was."""
        assert self.values is not None
        module, _, name = let.partition("\0")
        unit = self.known_let(module, name)
        found = None if unit is not None else self.values.find(let)
        if found is not None:
            return found[0]
        running = dict(self.running)
        before = self.values.leave(None)
        try:
            return self._noted(self.let(module, name).id)
        finally:
            self.values.leave(before)
            self.running.clear()
            self.running.update(running)

    def compute_again(self, let: str) -> Any:
        """The value that the code of a let makes, also where the let has one that was kept."""
        assert self.values is not None
        module, _, name = let.partition("\0")
        unit = self.let(module, name)
        before = self.values.enter(let)
        try:
            self._ready(unit)
            steps = unit.steps
            value = self.namespace[unit.name]() if steps is None else run(unit, steps, self.namespace, self._noted)
        finally:
            self.values.leave(before)
        self.values.done(let, value)
        return value

    def place_of(self, site: Site) -> tuple[tuple[str, ...], int] | None:
        """Where a line stands: the key of its unit, and an offset in the declaration."""
        spot = self.spot(site)
        return None if spot is None else (spot.unit.key, spot.offset - spot.unit.start)

    def site_at(self, place: tuple[tuple[str, ...], int] | None) -> Site | None:
        if place is None:
            return None
        self._places.append(place[0])
        return f"{_PLACE}{len(self._places) - 1}>", place[1]

    def _unit_at(self, key: tuple[str, ...]) -> Unit:
        kind, module, *rest = key
        match kind, rest:
            case "let", [name]:
                return self.let(module, name)
            case "default", [type_name, label]:
                return self.default(module, type_name, label)
            case "param", [name, place]:
                return self.parameter_default(module, name, int(place))
            case "member", [name, label]:
                return self.member(module, name, label)
            case "wrap", [name]:
                return self.wrapper(module, name)
            case "test", [place]:
                return self.test(module, int(place))
            case _, [name]:
                return self.function(module, name)
        raise AssertionError(key)

    def _chain(self, id: int) -> tuple[str, ...]:
        titles = list(self.running.values())
        chain = titles[list(self.running).index(id) :]
        return (*chain, chain[0])


def cell(unit: Unit) -> str:
    return f"_c{unit.id}"


class _UnitLinks:
    """What one unit names outside itself."""

    def __init__(self, linker: Linker, once: bool) -> None:
        self.linker = linker
        self.once = once
        """Whether the unit's code runs once."""
        self.needs: list[Unit] = []

    def _use(self, unit: Unit) -> Unit:
        if not unit.linked:
            self.needs.append(unit)
        return unit

    def _cell_code(self, unit: Unit) -> str:
        """A cell's value: looked at directly in functions, which may run often."""
        self._use(unit)
        if self.once:
            return f"_get({unit.id})"
        name = cell(unit)
        return f"_get({unit.id}) if {name} is None else {name}"

    def let_cell(self, item: Global) -> int | None:
        unit = self.linker.known_let(item.module, item.name)
        if unit is None:
            if not self.linker.is_let(item.module, item.name):
                return None
            unit = self.linker.let(item.module, item.name)
        if not unit.linked:
            self.needs.append(unit)
        return unit.id

    def default_cell(self, item: DefaultOf) -> int:
        return self._use(self.linker.default(item.module, item.type_name, item.label)).id

    def parameter_cell(self, fn: Global, place: int) -> int:
        return self._use(self.linker.parameter_default(fn.module, fn.name, place)).id

    def _named(self, name: str, value: Any) -> str:
        self.linker.namespace.setdefault(name, value)
        return name

    def target(self, fn: Global) -> Target:
        known = self.linker.targets.get((fn.module, fn.name))
        if known is None:
            known = self.linker.targets[fn.module, fn.name] = self._target(fn)
        target, unit = known
        if unit is not None and not unit.linked:
            self.needs.append(unit)
        return target

    def _target(self, fn: Global) -> tuple[Target, Unit | None]:
        decl = self.linker.declaration(fn.module, fn.name)
        assert isinstance(decl, CoreFn | CoreSet), fn
        modes = tuple([param.mode for param in decl.params])
        if isinstance(decl, CoreFn) and decl.body is None:
            key = f"{fn.module}/{fn.name}"
            return Target(self._named("_x_" + key.replace("/", "_"), EXTERNS[key]), modes, False), None
        unit = self.linker.function(fn.module, fn.name)
        return Target(unit.name, modes, True), unit

    def value(self, item: Global) -> str:
        decl = self.linker.declaration(item.module, item.name)
        if isinstance(decl, CoreLet):
            return self._cell_code(self.linker.let(item.module, item.name))
        return self._use(self.linker.wrapper(item.module, item.name)).name

    def default_of(self, item: DefaultOf) -> str:
        return self._cell_code(self.linker.default(item.module, item.type_name, item.label))

    def parameter_default(self, fn: Global, place: int) -> str:
        return self._cell_code(self.linker.parameter_default(fn.module, fn.name, place))

    def record(self, labels: tuple[str, ...]) -> str:
        return self._named("_R" + "".join([f"{len(label)}{label}" for label in labels]), record_maker(labels))

    def variant(self, con: str, arity: int) -> str:
        return self._named(f"_K{arity}{con}", variant_class(con, arity))

    def constructor(self, con: str, arity: int) -> str:
        return self._named(f"_C{arity}{con}", constructor(con, arity))

    def path(self, item: PathValue) -> str:
        folder = self.linker.folders[item.module]
        value = PathOf(os.path.normpath(os.path.join(folder, item.text)), item.text)
        return self._named(f"_p{len(self.linker.namespace)}", value)

    def method(self, name: str) -> str:
        return self._named("_x_" + name.replace(".", "_"), METHODS[name])


# ---- one function a kind of unit ----------------------------------------------------------------


def _write_function(linker: Linker, unit: Unit, to: Compiler, decl: CoreFn) -> None:
    assert decl.body is not None
    head, prologue = parameters(to, decl.params, 0, False, _defaults(unit, to, decl))

    def begin() -> None:
        to.step(0)
        prologue()

    to.function(f"def {unit.name}({head}):", 0, begin, decl.body)


def _defaults(unit: Unit, to: Compiler, decl: CoreFn | CoreSet) -> Callable[[int], str]:
    own = Global(0, unit.module.id, decl.name)
    return lambda place: to.links.parameter_default(own, place)


def _write_wrapper(linker: Linker, unit: Unit, to: Compiler, decl: CoreFn | CoreSet) -> None:
    own = Global(0, unit.module.id, decl.name)
    target = to.links.target(own)
    heads: list[str] = []
    args: list[str] = []
    out = Writer()
    open_ended = False
    for place, param in enumerate(decl.params):
        name = f"_k_{param.label or param.name}"
        open_ended = open_ended or param.mode != "required"
        heads.append(f"{name}=_ABSENT" if open_ended else name)
        args.append(_passed_on(to, own, target, place, param, name))
    out.open(f"def {unit.name}({', '.join(heads)}):", 0)
    out.line(f"return {target.name}({', '.join(args)})", 0)
    to.done.append(out)


def _passed_on(to: Compiler, own: Global, target: Target, place: int, param: CoreParam, name: str) -> str:
    if param.mode == "optional":
        none, some = to.links.constructor("None", 0), to.links.constructor("Some", 1)
        return f"{none} if {name} is _ABSENT else {some}({name})"
    if param.mode == "default" and not target.fills:
        return f"({to.links.parameter_default(own, place)}) if {name} is _ABSENT else {name}"
    return name


def _write_cell(unit: Unit, to: Compiler, body: Expr) -> None:
    to.function(f"def {unit.name}():", body.at, _nothing, body)


def _nothing() -> None:
    pass


def _write_set(linker: Linker, unit: Unit, to: Compiler, decl: CoreSet) -> None:
    members: dict[str, MemberFn | None] = {f"{label}_": None for label, _ in decl.members}
    link = lambda name: linker.link(linker.member(unit.module.id, decl.name, name[:-1]))  # noqa: E731
    linker.namespace[f"_k{unit.id}"] = runtime.SetShape(decl.name, members, link)
    head, prologue = parameters(to, decl.params, 0, False, _defaults(unit, to, decl))
    out = to.out = Writer()
    out.open(f"def {unit.name}({head}):", 0)
    prologue()
    parent = "None" if decl.parent is None else to.small(decl.parent)
    env = row([local(param.name) for param in decl.params]) if decl.params else "()"
    out.line(f"return _new_set(_k{unit.id}, {env}, {parent})", 0)
    to.done.append(out)


def _write_member(unit: Unit, to: Compiler, decl: CoreSet, body: Expr) -> None:
    own = local(decl.self_name)
    names = [local(param.name) for param in decl.params]

    def prologue() -> None:
        if names:
            to.out.line(f"{row(names)} = _env", body.at)

    to.function(f"def {unit.name}({own}, _env):", body.at, prologue, body)


def _write_test(unit: Unit, to: Compiler, decl: CoreTest) -> None:
    """Gives (passed, left side, right side); the sides are None unless the body is `left == right`."""
    out = to.out = Writer()
    out.open(f"def {unit.name}():", decl.body.at)
    if isinstance(decl.body, BinaryOn) and decl.body.op == "eq":
        left, right = to.small(decl.body.left), to.small(decl.body.right)
        out.line(f"return _compared({left}, {right})", decl.body.at)
    else:
        out.line(f"return ({to.small(decl.body)}, None, None)", decl.body.at)
    to.done.append(out)
