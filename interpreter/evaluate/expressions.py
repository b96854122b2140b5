"""What each kind of expression becomes: one function a kind, all reached through the table `CODE`.

Each writes the statements that it needs into `self.out` and gives the Python of its value, as `compile.Compiler.code`
promises.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from kiln.interpreter.evaluate import shellcode
from kiln.interpreter.evaluate.comprehend import comprehension, loop_of
from kiln.interpreter.evaluate.emit import format_piece, integer, local, row
from kiln.interpreter.evaluate.values import attribute
from kiln.interpreter.imports import PRELUDE
from kiln.lang.core import (
    Absent,
    Apply,
    AssertThen,
    BinaryOn,
    Call,
    Comprehend,
    Construct,
    CoreParam,
    DefaultOf,
    Expr,
    Function,
    GetField,
    Global,
    IfElse,
    Interpolate,
    LetIn,
    Literal_,
    Local,
    MakeList,
    MakeMap,
    MakeRecord,
    MatchOn,
    Method,
    Negate,
    Not,
    OverlayOf,
    PathValue,
    SpreadItem,
    WithEdits,
)

if TYPE_CHECKING:
    from kiln.interpreter.evaluate.compile import Compiler


def _literal(self: Compiler, e: Literal_) -> str:
    value = e.value
    if type(value) is int:
        return integer(value) if value >= 0 else f"({integer(value)})"
    return repr(value)


def _local(self: Compiler, e: Local) -> str:
    return local(e.name)


def _global(self: Compiler, e: Global) -> str:
    return self.links.value(e)


def _default_of(self: Compiler, e: DefaultOf) -> str:
    return self.links.default_of(e)


def _path(self: Compiler, e: PathValue) -> str:
    return self.links.path(e)


def _flowing(self: Compiler, e: Expr) -> str:
    name = self.temp()
    self.flow(e, name)
    return name


def _if(self: Compiler, e: IfElse) -> str:
    if type(e.then) in _ATOMIC and type(e.otherwise) in _ATOMIC:
        condition = self.small(e.condition)
        return f"({self.code(e.then)} if {condition} else {self.code(e.otherwise)})"
    return _flowing(self, e)


def _interpolate(self: Compiler, e: Interpolate) -> str:
    if e.shell:
        return shellcode.script(self, e)
    holes = [part for part in e.parts if not isinstance(part, str)]
    if any(part.kind in ("Text", "Out") for part in holes):
        pieces = [repr(part) if isinstance(part, str) else shellcode.plain(self, part) for part in e.parts]
        return f"_text({row(pieces)})"
    if len(e.parts) == 1 and holes:
        inner = self.small(holes[0].expr)
        return f"_str({inner})" if holes[0].kind == "Int" else inner
    shown = [format_piece(part) if isinstance(part, str) else "{" + self.atom(part.expr) + "}" for part in e.parts]
    return "f'" + "".join(shown) + "'"


def _list(self: Compiler, e: MakeList) -> str:
    items = ["*" + self.small(item.expr) if isinstance(item, SpreadItem) else self.small(item) for item in e.items]
    return row(items)


def _map(self: Compiler, e: MakeMap) -> str:
    names = [key.value for key, _ in e.entries if isinstance(key, Literal_)]
    if len(set(names)) == len(e.entries):
        entries = [f"{self.small(key)}: {self.small(value)}" for key, value in e.entries]
        return "{" + ", ".join(entries) + "}"
    made = self.spilled("{}", e.at)
    for key, value in e.entries:
        name, item = self.small(key), self.small(value)
        self.out.line(f"_put({made}, {name}, {item})", key.at)
    return made


def _record(self: Compiler, e: MakeRecord) -> str:
    values = {label: self.small(value) for label, value in e.fields}
    if e.rest is None:
        labels = tuple(sorted(values))
        return f"{self.links.record(labels)}({', '.join([values[label] for label in labels])})"
    rest = self.small(e.rest)
    return f"_spread({rest}, {row([repr(label) for label in values])}, {row(list(values.values()))})"


def _field(self: Compiler, e: GetField) -> str:
    base = self.small(e.base)
    if e.member:
        return self.spilled(f"_member({base}, {attribute(e.label)!r})", e.at)
    return f"{base}.{attribute(e.label)}"


def _method(self: Compiler, e: Method) -> str:
    return f"{self.links.method(e.name)}({', '.join(map(self.small, (e.base, *e.args)))})"


def _construct(self: Compiler, e: Construct) -> str:
    made = self.links.constructor(e.con, len(e.args))
    return f"{made}({', '.join(map(self.small, e.args))})" if e.args else made


def _call(self: Compiler, e: Call) -> str:
    loop = loop_of(e)
    if loop is not None:
        return comprehension(self, loop)
    target = self.links.target(e.fn)
    given = list(e.args)
    if target.fills:
        while given and isinstance(given[-1], Absent):
            given.pop()
    args: list[str] = []
    for place, arg in enumerate(given):
        if not isinstance(arg, Absent):
            args.append(self.small(arg))
        elif target.modes[place] == "optional":
            args.append(self.links.constructor("None", 0))
        elif target.fills:
            args.append("_ABSENT")
        else:
            args.append(self.spilled(self.links.parameter_default(e.fn, place), e.at))
    called = f"{target.name}({', '.join(args)})"
    if e.fn.module == PRELUDE and e.fn.name == "to_str" and args[0].isidentifier():
        return f"_str({args[0]}) if _type({args[0]}) is _int else {called}"  # most are numbers, told apart at once
    return called


def _apply(self: Compiler, e: Apply) -> str:
    fn = self.small(e.fn)
    args = [self.small(arg) for arg in e.args]
    args += [f"_k_{label}={self.small(arg)}" for label, arg in e.labelled]
    return f"{fn}({', '.join(args)})"


def _function(self: Compiler, e: Function) -> str:
    name = "_l" + self.temp()[1:]
    head, prologue = parameters(self, e.params, e.at, by_label=True)

    def body() -> None:
        self.step(e.at)
        prologue()
        self.flow(e.body, None)

    self.nested(f"def {name}({head}):", e.at, body)
    return name


def parameters(
    self: Compiler,
    params: tuple[CoreParam, ...],
    at: int,
    by_label: bool,
    default: Callable[[int], str] | None = None,
) -> tuple[str, Callable[[], None]]:
    """(the parameter list, what writes the lines that fill in absent ones).

    By label, a parameter is the keyword `_k_label`, and an optional one arrives as it is and is wrapped here;
    else the function is called by place alone, and an optional one arrives as an Option. `default` gives the
    code of a default that has a cell; without it, defaults are compiled in place.
    """
    heads: list[str] = []
    pythons: list[str] = []
    open_ended = False
    for param in params:
        python = f"_k_{param.label}" if by_label and param.label is not None else local(param.name)
        pythons.append(python)
        open_ended = open_ended or param.mode != "required"
        heads.append(f"{python}=_ABSENT" if open_ended else python)

    def prologue() -> None:
        for place, (param, python) in enumerate(zip(params, pythons, strict=True)):
            name = local(param.name)
            if param.mode == "default" and param.default is not None:
                self.out.open(f"if {python} is _ABSENT:", at)
                if default is None:
                    self.flow(param.default, name)
                else:
                    self.out.line(f"{name} = {default(place)}", at)
                self.out.close()
                if name != python:
                    self.out.open("else:", at)
                    self.out.line(f"{name} = {python}", at)
                    self.out.close()
            elif param.mode == "optional":
                none, some = self.links.constructor("None", 0), self.links.constructor("Some", 1)
                given = f"{some}({python})" if by_label else python
                self.out.line(f"{name} = {none} if {python} is _ABSENT else {given}", at)
            elif name != python:
                self.out.line(f"{name} = {python}", at)

    return ", ".join(heads), prologue


def _binary(self: Compiler, e: BinaryOn) -> str:
    """In a loop from the left: a sum may have 100,000 terms."""
    spine: list[BinaryOn] = []
    first: Expr = e
    while type(first) is BinaryOn:
        spine.append(first)
        first = first.left
    code, inner = self.code(first), first
    for node in reversed(spine):
        code, inner = _operation(self, node, self.held(code, inner)), node
    return code


def _operation(self: Compiler, e: BinaryOn, left: str) -> str:
    if e.op == "and" or e.op == "or":
        return _short_circuit(self, e, left)
    right = self.small(e.right)
    if e.op in ("eq", "ne"):
        if isinstance(e.left, Literal_) or isinstance(e.right, Literal_):
            return f"({left} {'==' if e.op == 'eq' else '!='} {right})"
        return f"_equal({left}, {right})" if e.op == "eq" else f"(not _equal({left}, {right}))"
    if e.op == "mul":
        return self.spilled(f"_product({left}, {right})", e.at)
    code = f"({left} {_OPERATORS[e.op]} {right})"
    return self.spilled(code, e.at) if e.op in ("div", "mod") else code


def _short_circuit(self: Compiler, e: BinaryOn, left: str) -> str:
    """The right side's own statements, if it has any, run only where the left does not decide."""
    mark = len(self.out.lines)
    right = self.small(e.right)
    if mark == len(self.out.lines):
        return f"({left} {e.op} {right})"
    lines, ats = self.out.lines[mark:], self.out.ats[mark:]
    del self.out.lines[mark:], self.out.ats[mark:]
    name = self.spilled(left, e.at)
    self.out.open(f"if {name}:" if e.op == "and" else f"if not {name}:", e.at)
    self.out.lines += [" " + line for line in lines]
    self.out.ats += ats
    self.out.line(f"{name} = {right}", e.at)
    self.out.close()
    return name


def _not(self: Compiler, e: Not) -> str:
    return f"(not {self.small(e.operand)})"


def _negate(self: Compiler, e: Negate) -> str:
    return f"(-{self.small(e.operand)})"


def _with(self: Compiler, e: WithEdits) -> str:
    base = self.atom(e.base)
    values = [self.small(edit.value) for edit in e.edits]
    made = self.spilled(f"{base}.recipe.clone()" if e.package else f"{base}.clone()", e.at)
    for edit, value in zip(e.edits, values, strict=True):
        target = made
        for label in edit.path[:-1]:
            inner = self.spilled(f"{target}.{attribute(label)}.clone()", edit.at)
            self.out.line(f"{target}.{attribute(label)} = {inner}", edit.at)
            target = inner
        slot = f"{target}.{attribute(edit.path[-1])}"
        new = value if edit.op == "set" else f"{slot} {_OPERATORS[edit.op]} {value}"
        self.out.line(f"{slot} = {new}", edit.at)
    return f"_rederive({base}, {made})" if e.package else made


def _overlay(self: Compiler, e: OverlayOf) -> str:
    base = self.small(e.base)
    own, below = local(e.self_name), local(e.super_name)
    entries: list[str] = []
    for label, body in e.members:
        name = "_o" + self.temp()[1:]
        self.nested(f"def {name}({own}, {below}):", body.at, lambda body=body: self.flow(body, None))  # type: ignore[misc]
        entries.append(f"{attribute(label)!r}: {name}")
    return f"_overlay({base}, {{{', '.join(entries)}}})"


_OPERATORS: Final = {
    "add": "+", "sub": "-", "div": "//", "mod": "%",
    "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "concat_list": "+", "concat_str": "+", "concat_text": "+", "concat_map": "|",
}  # fmt: skip

CODE: Final[dict[type, Callable[[Compiler, Any], str]]] = {
    Literal_: _literal, Local: _local, Global: _global, DefaultOf: _default_of, PathValue: _path,
    Interpolate: _interpolate, MakeList: _list, MakeMap: _map, MakeRecord: _record, GetField: _field,
    Method: _method, Construct: _construct, Call: _call, Apply: _apply, Function: _function,
    LetIn: _flowing, IfElse: _if, MatchOn: _flowing, AssertThen: _flowing, Comprehend: comprehension,
    BinaryOn: _binary, Not: _not, Negate: _negate, WithEdits: _with, OverlayOf: _overlay,
}  # fmt: skip

_ATOMIC: Final = frozenset((Literal_, Local))
LEAVES: Final = frozenset((Literal_, Local, Global, DefaultOf, PathValue))
"""Kinds that have no parts."""
PLAIN: Final = frozenset(
    (Literal_, Local, PathValue, MakeList, MakeRecord, Construct, Not, Negate, IfElse, BinaryOn, GetField)
)
"""Kinds whose code cannot fail, and may stand inside another line."""
