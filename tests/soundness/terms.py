"""Terms of a type: each is written so that it has that type wherever it stands.

What would leave a type open (an argument of a generic function, one side of `==`) is annotated, as section 4 of the
specification asks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.soundness.generated_types import (
    BOOL,
    INT,
    OUT_FILE,
    OUT_TREE,
    STR,
    TEXT,
    Base,
    Choose,
    Con,
    Field,
    Function,
    Made,
    Of,
    Param,
    Record,
    Scope,
    Ty,
    shown,
)  # fmt: skip

_T = TypeVar("_T")


class Terms:
    """Draws terms of what was declared so far."""

    def __init__(self, choose: Choose, fuel: int = 260) -> None:
        self._choose = choose
        self._count = 0
        self._fuel = fuel
        self.records: dict[str, tuple[Field, ...]] = {}
        self.variants: dict[str, tuple[Con, ...]] = {}
        self.functions: list[Made] = []
        self.sets: dict[str, tuple[tuple[str, Ty], ...]] = {}
        self.lets: list[tuple[str, Ty]] = []

    # ---- choices --------------------------------------------------------------------------------

    def pick(self, *choices: _T) -> _T:
        return choices[self._choose.below(len(choices))]

    def some(self, items: Sequence[_T]) -> _T:
        return items[self._choose.below(len(items))]

    def chance(self, one_in: int) -> bool:
        return self._choose.below(one_in) == 0

    def new(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    # ---- types ----------------------------------------------------------------------------------

    def type(self, depth: int, *, data: bool = False) -> Ty:
        """A type; with `data`, one whose values can be compared."""
        flat: list[Ty] = [INT, INT, BOOL, STR, *map(Base, self.variants), *map(Base, self.records)]
        if not data:
            flat += [TEXT, OUT_TREE, OUT_FILE]
        if depth == 0 or self.chance(2):
            return self.some(flat)
        match self.pick("list", "map", "option", "record", "fn"):
            case "list":
                return Of("List", self.type(depth - 1, data=data))
            case "map":
                return Of("Map", self.type(depth - 1, data=data))
            case "option":
                return Of("Option", self.type(depth - 1, data=data))
            case "fn" if not data:
                return Function(self._params(depth - 1), self.type(depth - 1))
            case _:
                labels = ["a", "b", "type"][: 1 + self._choose.below(3)]
                return Record(tuple((label, self.type(depth - 1, data=data)) for label in labels))

    def _params(self, depth: int) -> tuple[Param, ...]:
        places = [Param(None, self.type(depth)) for _ in range(self._choose.below(3))]
        labels = [Param(label, self.type(depth), self.chance(2)) for label in ("p", "q")[: self._choose.below(3)]]
        return (*places, *labels)

    def _annotation(self, t: Ty) -> str:
        return "" if t in (INT, BOOL) and self.chance(2) else f": {shown(t)}"

    # ---- terms ----------------------------------------------------------------------------------

    def term(self, t: Ty, scope: Scope, depth: int) -> str:
        """An expression of type `t`; an operand wherever it stands."""
        self._fuel -= 1
        known = [name for name, found in (*scope, *self.lets) if found == t]
        if known and self.chance(3):
            return self.some(known)
        if depth <= 0 or self._fuel <= 0:
            return self.some(known) if known and self.chance(2) else self.leaf(t)
        if self.chance(2):
            return f"({self.own(t, scope, depth - 1)})"
        return f"({self.common(t, scope, depth - 1)})"

    def exact(self, t: Ty, scope: Scope, depth: int) -> str:
        """With its type written: for where nothing else says it."""
        return f"({self.term(t, scope, depth)}: {shown(t)})"

    def leaf(self, t: Ty) -> str:
        match t:
            case Base("Int"):
                return self.pick("0", "1", "2", "7", "(-3)", "1_000")
            case Base("Bool"):
                return self.pick("true", "false")
            case Base("Str" | "Text"):
                return self.pick('""', '"a"', '"b c"', '"é\\n"', '"k"')
            case Of("List"):
                return "[]"
            case Of("Map"):
                return "[=>]"
            case Of("Option"):
                return "None"
            case Of("Out", Base("Tree")):
                return self.pick("c.busybox.out", "source(`./src`)")
            case Of("Out"):
                return self.pick('write_file("f", "x")', "source_file(`./f`)", 'source(`./src`).file("a")')
            case Base(name) if name in self.variants:
                return self.variants[name][0].name
            case Base(name):
                return self._declared(name, (), 0)
            case Record(fields):
                return "{ " + ", ".join(f"{label} = {self.leaf(item)}" for label, item in fields) + " }"
            case Function(params, result):
                return f"(fn({self._lambda(params)[0]}) => {self.leaf(result)})"

    def own(self, t: Ty, scope: Scope, depth: int) -> str:
        """What makes values of this type."""

        def e(wanted: Ty) -> str:
            return self.term(wanted, scope, depth)

        def x(wanted: Ty) -> str:
            return self.exact(wanted, scope, depth)

        match t:
            case Base("Int"):
                xs = self.exact(Of("List", self.type(1)), scope, depth)
                forms: list[Callable[[], str]] = [
                    lambda: f"{e(INT)} {self.pick('+', '-', '*', '/', '%')} {e(INT)}", lambda: f"-{e(INT)}",
                    lambda: f"length({xs})", lambda: f"size({e(STR)})",
                    lambda: f"unwrap_or(to_int({e(STR)}), {e(INT)})",
                ]  # fmt: skip
                return self.some(forms)()
            case Base("Bool"):
                return self._bool(e, x)
            case Base("Str"):
                data = self.type(1, data=True)
                forms = [
                    lambda: f"{e(STR)} ++ {e(STR)}", lambda: f'"<%{{{x(STR)}}}|%{{{x(INT)}}}>"',
                    lambda: f"to_str({x(data)})", lambda: f"join({e(Of('List', STR))}, separator = {e(STR)})",
                    lambda: f"{self.pick('upper', 'trim', 'lower')}({e(STR)})", lambda: f"slice({e(STR)}, {e(INT)})",
                ]  # fmt: skip
                return self.some(forms)()
            case Base("Text"):
                forms = [
                    lambda: x(STR), lambda: f"{e(TEXT)} ++ {e(TEXT)}", lambda: f'"%{{{x(OUT_TREE)}}}/%{{{x(STR)}}}"',
                    lambda: f'sh"echo %{{{x(TEXT)}}} \'%{{{x(STR)}}}\' %{{{x(Of("List", TEXT))}}} # x"',
                    lambda: f'sh"echo %{{raw({x(self.pick(STR, INT, TEXT, OUT_TREE, OUT_FILE))})}}"',
                    lambda: f"join_text({e(Of('List', TEXT))}, separator = {e(TEXT)})",
                ]  # fmt: skip
                return self.some(forms)()
            case Of("List", item):
                return self._list(t, item, scope, depth)
            case Of("Map", item):
                keys = self.new("k")
                entries = ", ".join(f"{e(STR)} => {e(item)}" for _ in range(1 + self._choose.below(3)))
                forms = [
                    lambda: f"[{entries}]", lambda: f"{e(t)} ++ {e(t)}",
                    lambda: f"map_set({x(t)}, {e(STR)}, {x(item)})",
                    lambda: f"[{keys} => {e(item)} for {keys} in {e(Of('List', STR))}]",
                    lambda: f"map_remove({x(t)}, {e(STR)})",
                ]  # fmt: skip
                return self.some(forms)()
            case Of("Option", item):
                forms = [
                    lambda: f"Some({e(item)})", lambda: f"nth({x(Of('List', item))}, {e(INT)})",
                    lambda: f"map_get({x(Of('Map', item))}, {e(STR)})", lambda: "None",
                ]  # fmt: skip
                return self.some(forms)()
            case Of("Out", Base("Tree")):
                return self.pick(f'{e(OUT_TREE)}.dir("lib")', f'unpack({e(OUT_FILE)}, name = "u")', "c.busybox.out")
            case Of("Out"):
                return self.pick(f'{e(OUT_TREE)}.file("bin/x")', f'write_file("w", {e(TEXT)})')
            case Base(name) if name in self.variants:
                return self._construct(self.some(self.variants[name]), scope, depth)
            case Base(name):
                return self._declared_form(t, name, scope, depth)
            case Record(fields):
                label, changed = self.some(fields)
                shuffled = sorted(fields, key=lambda _: self._choose.below(100))
                forms = [
                    lambda: "{ " + ", ".join(f"{name} = {e(item)}" for name, item in shuffled) + " }",
                    lambda: f"{x(t)} with {{ {label} = {e(changed)} }}",
                    lambda: f"{{ ..{x(t)}, {label} = {e(changed)} }}",
                ]  # fmt: skip
                return self.some(forms)()
            case Function(params, result):
                written, inner = self._lambda(params)
                return f"fn({written}) -> {shown(result)} => {self.term(result, _inside(scope, inner), depth)}"

    def _lambda(self, params: tuple[Param, ...]) -> tuple[str, Scope]:
        written, scope = [], []
        for p in params:
            name = p.label or self.new("a")
            written.append(f"{name}{'?' if p.optional else ''}: {shown(p.type)}")
            scope.append((name, Of("Option", p.type) if p.optional else p.type))
        return ", ".join(written), tuple(scope)

    def _bool(self, e: Callable[[Ty], str], x: Callable[[Ty], str]) -> str:
        data = self.type(2, data=True)
        item = self.type(1, data=True)
        forms: list[Callable[[], str]] = [
            lambda: f"{x(data)} {self.pick('==', '!=')} {x(data)}",
            lambda: f"{e(INT)} {self.pick('<', '>=')} {e(INT)}",
            lambda: f"{e(BOOL)} {self.pick('&&', '||')} {e(BOOL)}", lambda: f"!{e(BOOL)}",
            lambda: f"includes({x(Of('List', item))}, {x(item)})", lambda: f"is_some({x(Of('Option', item))})",
            lambda: f"contains({e(STR)}, {e(STR)})", lambda: f"map_has({x(Of('Map', item))}, {e(STR)})",
        ]  # fmt: skip
        return self.some(forms)()

    def _list(self, t: Ty, item: Ty, scope: Scope, depth: int) -> str:
        other, name, kept = self.type(1), self.new("x"), self.new("x")
        source, inner = Of("List", other), (*scope, (name, other))

        def e(wanted: Ty) -> str:
            return self.term(wanted, scope, depth)

        def items() -> str:
            parts = [e(item) if self.chance(2) else f"..{e(t)}" for _ in range(1 + self._choose.below(3))]
            return f"[{', '.join(parts)}]"

        def comprehension() -> str:
            value, test = self.term(item, inner, depth), self.term(BOOL, inner, depth)
            return f"[{value} for {name} in {self.exact(source, scope, depth)} if {test}]"

        def of_options() -> str:
            options = self.exact(Of("List", Of("Option", other)), scope, depth)
            return f"[{self.term(item, inner, depth)} for Some({name}) in {options}]"

        def mapped() -> str:
            made = f"fn({name}: {shown(other)}) -> {shown(item)} => {self.term(item, inner, depth)}"
            return f"map({self.exact(source, scope, depth)}, {made})"

        def filtered() -> str:
            test = self.term(BOOL, (*scope, (kept, item)), depth)
            return f"filter({self.exact(t, scope, depth)}, fn({kept}: {shown(item)}) => {test})"

        return self.pick(
            items, items, comprehension, of_options, mapped, filtered, lambda: f"{e(t)} ++ {e(t)}",
            lambda: f"reverse({self.exact(t, scope, depth)})",
            lambda: f"concat({self.exact(Of('List', t), scope, depth)})",
        )()  # fmt: skip

    def _construct(self, con: Con, scope: Scope, depth: int) -> str:
        return f"{con.name}({self._arguments(con.params, scope, depth)})" if con.params else con.name

    def _arguments(self, params: tuple[Param, ...], scope: Scope, depth: int) -> str:
        """By place, or by name in any order; optional ones may be left out, or handed on."""
        given = []
        for p in params:
            value = self.term(p.type, scope, depth)
            if p.label is None:
                given.append(value)
            elif not p.optional or self.chance(2):
                given.append(f"{p.label} = {value}")
        count = sum(p.label is None for p in params)
        return ", ".join([*given[:count], *sorted(given[count:], key=lambda _: self._choose.below(100))])

    def _declared(self, name: str, scope: Scope, depth: int) -> str:
        parts = []
        for f in self.records[name]:
            if f.kind != "plain" and self.chance(2):
                continue
            if f.kind == "optional" and self.chance(2):
                parts.append(f"{f.label}? = {self.term(Of('Option', f.type), scope, depth)}")
            else:
                parts.append(f"{f.label} = {self.term(f.type, scope, depth)}")
        return "{ " + ", ".join(sorted(parts, key=lambda _: self._choose.below(100))) + " }"

    def _declared_form(self, t: Ty, name: str, scope: Scope, depth: int) -> str:
        f = self.some(self.records[name])
        literal = self._declared(name, scope, depth)
        if self.chance(2):
            return literal
        value = self.term(f.type, scope, depth)
        adds = f.kind != "optional" and isinstance(f.type, Of) and f.type.name in ("List", "Map")
        op = "+=" if adds and self.chance(2) else "="
        return f"{self.exact(t, scope, depth)} with {{ {f.label} {op} {value} }}"

    # ---- what every type has ----------------------------------------------------------------------

    def common(self, t: Ty, scope: Scope, depth: int) -> str:
        """`if`, `let`, `match`, calls: what gives a value of any type."""

        def e(wanted: Ty) -> str:
            return self.term(wanted, scope, depth)

        def branch() -> str:
            return f"if {e(BOOL)} then {e(t)} else {e(t)}"

        def local() -> str:
            bound, name = self.type(1), self.new("l")
            body = self.term(t, (*scope, (name, bound)), depth)
            return f"let {name}{self._annotation(bound)} = {e(bound)}; {body}"

        def refused() -> str:
            holds = self.pick("true || ", "true || ", "") + e(BOOL)
            return f'assert {holds} else "no: %{{{self.exact(INT, scope, depth)}}}"; {e(t)}'

        def field() -> str:
            record = Record((("a", self.type(1)), ("it", t)))
            return f"{self.exact(record, scope, depth)}.it"

        def folded() -> str:
            acc, name, item = self.new("acc"), self.new("x"), self.type(1)
            step = self.term(t, (*scope, (acc, t), (name, item)), depth)
            start, items = self.exact(t, scope, depth), self.exact(Of("List", item), scope, depth)
            return f"fold({items}, {start}, fn({acc}: {shown(t)}, {name}: {shown(item)}) -> {shown(t)} => {step})"

        def applied() -> str:
            params = self._params(1)
            function = Function(params, t)
            return f"{self.exact(function, scope, depth)}({self._arguments(params, scope, depth)})"

        def unwrapped() -> str:
            return f"unwrap_or({self.exact(Of('Option', t), scope, depth)}, {self.exact(t, scope, depth)})"

        def matched() -> str:
            return self.match(t, scope, depth)

        forms = [branch, local, refused, field, folded, applied, unwrapped, matched, matched, matched]
        made = [f for f in self.functions if f.result == t]
        members = [(name, label) for name, items in self.sets.items() for label, item in items if item == t]
        if made:
            forms += [lambda: self._call(self.some(made), scope, depth)] * 3
        if members:
            forms += [lambda: self._member(*self.some(members), scope, depth)] * 3
        return self.some(forms)()

    def _call(self, made: Made, scope: Scope, depth: int) -> str:
        named = False
        given = []
        for p in made.params:
            if p.optional and self.chance(2):
                named = True
                continue
            value = self.exact(p.type, scope, depth)
            named = named or self.chance(2)
            given.append(f"{p.label} = {value}" if named else value)
        return f"{made.name}({', '.join(given)})"

    def _member(self, name: str, label: str, scope: Scope, depth: int) -> str:
        made = f"{name}({self.term(INT, scope, depth)})"
        if self.chance(2):
            return f"{made}.{label}"
        changed, t = self.some(self.sets[name])
        outside = tuple([(known, item) for known, item in scope if not known.startswith(("self.", "super."))])
        inner = (*outside, *[(f"super.{known}", item) for known, item in self.sets[name]])
        return f"({made} with (self, super) {{ {changed} = {self.term(t, inner, depth)} }}).{label}"

    def match(self, t: Ty, scope: Scope, depth: int) -> str:
        """A match that takes every value, with guards on the way."""

        def arm(pattern: str, *bound: tuple[str, Ty]) -> str:
            inner = (*scope, *bound)
            guard = ""
            if self.chance(3):
                guard = f"{pattern} if {self.term(BOOL, inner, depth)} => {self.term(t, inner, depth)}, "
            return f"{guard}{pattern} => {self.term(t, inner, depth)}"

        subject = self.type(2)
        one, two = self.new("m"), self.new("m")
        match subject:
            case Base("Int"):
                arms = [arm(self.pick("0", "-1", "0 | 1 | 2")), arm(one, (one, subject))]
            case Base("Bool"):
                arms = [arm("true"), arm(self.pick("false", "_"))]
            case Base("Str"):
                arms = [arm('"a"'), arm(self.pick('"k" | ""', '"b c"')), arm(one, (one, subject))]
            case Of("Option", item):
                arms = [arm(f"Some({one})", (one, item)), arm("None")]
            case Of("List", item):
                rest = arm(f"[{one}, ..{two}]", (one, item), (two, subject))
                arms = [arm("[]"), *([arm(f"[{one}]", (one, item))] if self.chance(2) else []), rest]
            case Record(fields):
                names = [self.new("m") for _ in fields]
                parts = ", ".join(f"{label} = {name}" for (label, _), name in zip(fields, names, strict=True))
                arms = [arm(f"{{ {parts} }}", *zip(names, [item for _, item in fields], strict=True))]
            case Base(name) if name in self.variants:
                arms = [self._con_arm(con, arm) for con in self.variants[name]]
            case _:
                arms = [arm(one, (one, subject))]
        return f"match {self.exact(subject, scope, depth)} {{ {', '.join(arms)} }}"

    def _con_arm(self, con: Con, arm: Callable[..., str]) -> str:
        names = [self.new("m") for _ in con.params]
        bound = [
            (name, Of("Option", p.type) if p.optional else p.type) for name, p in zip(names, con.params, strict=True)
        ]
        if not names:
            return arm(con.name)
        if self.chance(2):
            return arm(f"{con.name}({', '.join(names)})", *bound)
        parts = [f"{p.label} = {name}" for p, name in zip(con.params, names, strict=True)]
        return arm(f"{con.name}({', '.join(reversed(parts))})", *bound)


def _inside(scope: Scope, bound: Scope) -> Scope:
    """The scope where `bound` hides what has its names."""
    names = {name for name, _ in bound}
    return (*[(name, t) for name, t in scope if name not in names], *bound)
