"""Well-typed programs: declarations of types first, then functions, sets, packages and lets of terms of a type.

A `Program` draws from a `Choose`, which Hypothesis or a seed stands behind.
"""

from __future__ import annotations

from tests.soundness.generated_types import (
    BOOL,
    INT,
    OUT_FILE,
    OUT_TREE,
    STR,
    Base,
    Choose,
    Con,
    Dice,
    Field,
    Made,
    Of,
    Param,
    Record,
    Scope,
    param,
    shown,
)  # fmt: skip
from tests.soundness.wider import Wider


class Program(Wider):
    """Draws one program; `text` is it."""

    def __init__(self, choose: Choose, size: int = 6) -> None:
        super().__init__(choose)
        self.lines: list[str] = ['import "std/c" as c;']
        for _ in range(self._choose.below(3)):
            self._declare_record()
        for _ in range(self._choose.below(3)):
            self._declare_variant()
        for _ in range(size):
            self.pick(
                self._declare_let, self._declare_let, self._declare_fn, self._declare_open_fn, self._declare_set,
                self._declare_package, self.wider, self.wider, self.wider,
            )()  # fmt: skip
        self._declare_let()

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    # ---- declarations ---------------------------------------------------------------------------

    def _declare_record(self) -> None:
        """Its fields are Data, so that whatever holds one is."""
        name = self.new("R")
        fields, rows = [], []
        for label in ("one", "two", "three", "four")[: 1 + self._choose.below(4)]:
            kind = self.pick("plain", "default", "optional")
            t = self.type(1, data=True)
            fields.append(Field(label, t, kind))
            default = f" = {self.term(t, (), 1)}" if kind == "default" else ""
            rows.append(f"  {label}{'?' if kind == 'optional' else ''}: {shown(t)}{default},")
        self.lines += [f"pub type {name} = {{", *rows, "};"]
        self.records[name] = tuple(fields)

    def _declare_variant(self) -> None:
        name = self.new("V")
        cons = [Con(f"{name}End", ())]
        for _ in range(1 + self._choose.below(3)):
            params = tuple(
                Param(label, self.pick(INT, BOOL, STR, Base(name), Of("List", Base(name))), self.chance(3))
                for label in ("x", "y")[: self._choose.below(3)]
            )
            cons.append(Con(self.new(f"{name}C"), params))
        written = [f"{c.name}({', '.join(map(param, c.params))})" if c.params else c.name for c in cons]
        self.lines.append(f"pub type {name} = | {' | '.join(written)};")
        self.variants[name] = tuple(cons)

    def _declare_let(self) -> None:
        name, t = self.new("let_"), self.type(2)
        self.lines.append(f"let {name}{self._annotation(t)} = {self.term(t, (), 3)};")
        self.lets.append((name, t))

    def _declare_fn(self) -> None:
        """Labels are names: a declared function's parameters may go by either."""
        name, result = self.new("fn_"), self.type(1)
        params = tuple(Param(self.new("p"), self.type(1), self.chance(4)) for _ in range(self._choose.below(4)))
        written = []
        scope: Scope = ()
        for p in params:
            assert p.label is not None
            if p.optional and self.chance(2):
                written.append(f"{p.label}: {shown(p.type)} = {self.term(p.type, (), 1)}")
                scope += ((p.label, p.type),)
            else:
                written.append(param(p))
                scope += ((p.label, Of("Option", p.type) if p.optional else p.type),)
        body = self.term(result, scope, 3)
        self.lines.append(f"{self.pick('pub ', '')}fn {name}({', '.join(written)}) -> {shown(result)} = {body};")
        self.functions.append(Made(name, params, result))

    def _declare_open_fn(self) -> None:
        """Without annotations: its parameters are used in one way alone, so that inference must find their types."""
        name, result = self.new("open_"), self.pick(INT, BOOL)
        params = tuple(
            Param(self.new("p"), self.pick(INT, BOOL, Of("List", INT))) for _ in range(self._choose.below(3))
        )
        scope: Scope = tuple((str(p.label), p.type) for p in params)
        body = self.term(result, scope, 3)
        self.lines.append(f"fn {name}({', '.join(str(p.label) for p in params)}) = {body};")
        self.functions.append(Made(name, params, result))

    def _declare_set(self) -> None:
        name, members, rows = self.new("S"), [], []
        start = self.new("p")
        for _ in range(1 + self._choose.below(4)):
            label, t = self.new("m"), self.type(1)
            scope = (*[(f"self.{known}", item) for known, item in members], (start, INT))
            rows.append(f"  {label}{self._annotation(t)} = {self.term(t, scope, 2)};")
            members.append((label, t))
        self.lines += [f"{self.pick('pub ', '')}set {name}({start}: Int) {{", *rows, "}"]
        self.sets[name] = tuple(members)

    def _declare_package(self) -> None:
        name, opts, outs = self.new("pkg_"), Record((("a", self.type(1, data=True)), ("n", INT))), ("out", "log")
        script = f"echo %{{b.opts.n}} %{{b.version}} > %{{b.{self.some(outs)}}}"
        self.lines.append(
            f"pub let {name}: c.Package({{}}, {shown(opts)}, {{ out: Tree, log: File }}) = "
            f'c.package({{ name = "{name}", version = "1", tc = c.tiny, deps = {{}}, '
            f"opts = {self.term(opts, (), 2)}, outputs = {{ out = Tree, log = File }}, "
            f'script = fn(b) => sh"{script}" }});'
        )
        changed = self.new("pkg_")
        edits = self.pick('version = "2"', f"opts.n = {self.term(INT, (), 1)}", f"opts = {self.term(opts, (), 1)}")
        self.lines.append(f"let {changed} = {name} with {{ {edits} }};")
        for made in (name, changed):
            self.lets += [(f"{made}.out", OUT_TREE), (f"{made}.log", OUT_FILE)]


def a_program(seed: object, size: int = 6) -> str:
    """The program of a seed."""
    return Program(Dice(seed), size).text
