"""Programs to format: generated ones with every node of ast.py, and the same shaken: other blanks, more comments."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import strategies as st

from kiln.lang.format.same import same_module
from kiln.lang.format.trivia import gap
from kiln.lang.syntax.lexer import lex
from kiln.lang.syntax.parser import parse_module
from kiln.lang.syntax.tokens import KIND

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ("stdlib", "examples")
NAMES = ("x", "y", "long_name_of_a_value", "from", "as", "self")
LABELS = ("a", "b", "some_longer_label", "type", "with", "out")
UPPERS = ("A", "Some", "LongerConstructor")
OPERATORS = ("||", "&&", "==", "<", "++", "+", "-", "*", "%")
STRINGS = (
    '""', '"text"', '"a\\n\\"b\\""', '"%%{no} 100%"', '"%{x} and %{f(y)}"', '"%{"%{x}"}"', '"%{{ a = 1 }.a}"',
    'sh"""make -j %{x}"""', 'sh"""\n    make %{x}\n      indented\n\n    %{y}\n    """', '"""\n   two\n  one"""',
    '"""first\n      second  \n    %{[\n      x\n   ]}\n    """', "sh\"raw 'x'\"", '"""\n\t\ttabs\n\t\t"""',
    '""""quoted" \n  x"""',
)  # fmt: skip
Draw = Any


def source_files() -> list[str]:
    """Every build file of the library and of the examples."""
    found = []
    for folder in FOLDERS:
        for path, _, names in os.walk(os.path.join(ROOT, folder)):
            found += [os.path.join(path, name) for name in names if name.endswith(".kiln")]
    return sorted(found)


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


# ---- generated ----------------------------------------------------------------------------------


class Maker:
    """Draws source text. `depth` is how many levels may still come."""

    def __init__(self, draw: Draw) -> None:
        self.draw = draw

    def one(self, *choices: str) -> str:
        return str(self.draw(st.sampled_from(choices)))

    def few(self, make: Any, depth: int, least: int = 0, most: int = 4) -> list[str]:
        return [make(depth - 1) for _ in range(self.draw(st.integers(least, most)))]

    def joined(self, items: list[str]) -> str:
        return ", ".join(items) + (self.one("", ",") if items else "")

    def maybe(self, text: str) -> str:
        return text if self.draw(st.booleans()) else ""

    def label(self) -> str:
        return self.one(*LABELS)

    # types

    def type(self, depth: int) -> str:
        if depth <= 0:
            return self.one("Int", "a", "cc.Lib", "{}")
        match self.draw(st.integers(0, 4)):
            case 0:
                return f"{self.one('List', 'cc.Package')}({self.joined(self.few(self.type, depth, 1))})"
            case 1:
                fields = self.few(self.row_field, depth)
                rest = self.one("", "", "..r", "..Outs(o)")
                return "{ " + self.joined([*fields, rest] if rest else fields) + " }"
            case 2:
                return f"fn({self.joined(self.few(self.type_param, depth))}) -> {self.type(depth - 1)}"
            case 3:
                return f"({self.type(depth - 1)})"
            case _:
                return self.type(0)

    def row_field(self, depth: int) -> str:
        optional = self.one(":", "?:")
        default = self.maybe(f" = {self.expr(depth)}") if optional == ":" else ""
        return f"{self.label()}{optional} {self.type(depth)}{default}"

    def type_param(self, depth: int) -> str:
        return self.one("", f"{self.label()}: ", f"{self.label()}?: ") + self.type(depth)

    # patterns

    def pattern(self, depth: int) -> str:
        if depth <= 0:
            return self.one("x", "_", "1", "-2", '"s"', "true", "None")
        match self.draw(st.integers(0, 5)):
            case 0:
                return f"{self.one('Some', 'cc.Thin')}({self.joined(self.few(self.pattern_arg, depth))})"
            case 1:
                return "{ " + self.joined(self.few(self.pattern_field, depth)) + " }"
            case 2:
                rest = self.one("", "..", "..rest")
                return "[" + self.joined([*self.few(self.pattern, depth), *([rest] if rest else [])]) + "]"
            case 3:
                return "(" + " | ".join(self.few(self.pattern, depth, 2, 3)) + ")"
            case _:
                return self.pattern(0)

    def pattern_arg(self, depth: int) -> str:
        return self.one("", f"{self.label()} = ") + self.pattern(depth)

    def pattern_field(self, depth: int) -> str:
        return self.one("name", f"{self.label()} = {self.pattern(depth)}")

    # expressions

    def expr(self, depth: int) -> str:
        if depth <= 0:
            return self.one(*NAMES, "12", "1_000", "true", "NoTls", "`./src`", "[]", "{}", "[=>]", *STRINGS)
        make = self.draw(st.sampled_from((
            self.list, self.map, self.record, self.call, self.function, self.let, self.branch, self.match,
            self.operator, self.unary, self.edits, self.get, self.annotated, self.comprehension, self.pipe,
        )))  # fmt: skip
        return str(make(depth))

    def operand(self, depth: int) -> str:
        return f"({self.expr(depth - 1)})" if depth > 0 else self.one("x", "1", '"s"', "f(x)", "r.a")

    def spread(self, depth: int) -> str:
        return self.one("", "", "..") + self.expr(depth)

    def list(self, depth: int) -> str:
        return f"[{self.joined(self.few(self.spread, depth))}]"

    def map(self, depth: int) -> str:
        return f"[{self.joined([f'{self.expr(depth - 1)} => {self.expr(depth - 1)}' for _ in range(2)])}]"

    def record(self, depth: int) -> str:
        fields = [*self.few(self.field, depth), *([self.one("..r")] if self.draw(st.booleans()) else [])]
        return "{ " + self.joined(fields) + " }"

    def field(self, depth: int) -> str:
        return self.one("x", f"{self.label()} = {self.expr(depth)}", f"{self.label()}? = {self.expr(depth)}")

    def arg(self, depth: int) -> str:
        return self.one("", "", f"{self.label()} = ", f"{self.label()}? = ") + self.expr(depth)

    def call(self, depth: int) -> str:
        end = self.one("", "", ".out", '.file("a")')
        return f"{self.one('f', 'cc.package', '(f)')}({self.joined(self.few(self.arg, depth))}){end}"

    def param(self, depth: int) -> str:
        type_ = self.type(depth - 1)
        return self.one("p", f"p: {type_}", f"p?: {type_}", f"p: {type_} = {self.expr(depth - 1)}")

    def params(self, depth: int) -> str:
        return f"({self.joined(self.few(self.param, depth))})"

    def function(self, depth: int) -> str:
        return f"fn{self.params(depth)}{self.maybe(' -> Int')} => {self.expr(depth - 1)}"

    def let(self, depth: int) -> str:
        if self.draw(st.booleans()):
            return f"assert {self.operand(depth)} else {self.expr(depth - 1)}; {self.expr(depth - 1)}"
        pattern = self.pattern(1)
        head = f"let {'_' if pattern == 'true' else pattern}{self.maybe(': Int')}"
        return f"{head} = {self.expr(depth - 1)}; {self.expr(depth - 1)}"

    def branch(self, depth: int) -> str:
        return f"if {self.operand(depth)} then {self.expr(depth - 1)} else {self.expr(depth - 1)}"

    def arm(self, depth: int) -> str:
        return f"{self.pattern(depth)}{self.maybe(' if ' + self.operand(0))} => {self.expr(depth)}"

    def match(self, depth: int) -> str:
        return f"match {self.operand(depth)} {{ {self.joined(self.few(self.arm, depth))} }}"

    def operator(self, depth: int) -> str:
        operands = self.few(self.operand, depth, 2, 4)
        op = self.one(*OPERATORS)
        return f" {op} ".join(operands[:2] if op in ("==", "<") else operands)

    def pipe(self, depth: int) -> str:
        return " |> ".join(self.few(self.operand, depth, 2, 3))

    def unary(self, depth: int) -> str:
        return self.one("!", "-", "- -") + self.operand(depth)

    def get(self, depth: int) -> str:
        return self.operand(depth) + self.one(".label", ".type", ".Thin", ".a.b")

    def annotated(self, depth: int) -> str:
        return f"({self.expr(depth - 1)}: {self.type(depth - 1)})"

    def edit(self, depth: int) -> str:
        return f"{self.one('a', 'a.b', 'deps.type')}{self.one(' =', '? =', ' +=')} {self.expr(depth)}"

    def edits(self, depth: int) -> str:
        if self.draw(st.booleans()):
            return f"x with {{ {self.joined(self.few(self.edit, depth))} }}"
        changes = [f"m = {self.expr(depth - 1)}" for _ in range(2)]
        return f"{self.operand(0)} with (self, super) {{ {self.joined(changes)} }}"

    def comprehension(self, depth: int) -> str:
        clauses = [f"for {self.pattern(1)} in {self.operand(depth - 1)}", *self.few(self.clause, depth, 0, 2)]
        item = self.spread(depth - 1) if self.draw(st.booleans()) else f'"k" => {self.expr(depth - 1)}'
        return f"[{item} {' '.join(clauses)}]"

    def clause(self, depth: int) -> str:
        return self.one(f"if {self.operand(depth)}", f"for y in {self.operand(depth)}")

    # declarations

    def declaration(self) -> str:
        makers = (self.import_, self.type_decl, self.fn, self.let_decl, self.set, self.test)
        return str(self.draw(st.sampled_from(makers))())

    def documented(self, text: str) -> str:
        return self.one("", "", "## About it.\n", "# note\n## One.\n##   Two.\n") + self.maybe("pub ") + text

    def import_(self) -> str:
        pin = self.maybe(' @ "blake3:ab"')
        names = self.joined(["a", "b as c", "D"])
        return self.one(f'import "std/c"{pin} as c;', f'import {{{names}}} from "./x.kiln"{pin};')

    def type_decl(self) -> str:
        head = f"type T{self.maybe('(a, b)')} ="
        if self.draw(st.booleans()):
            return self.documented(f"{head} {self.type(3)};")
        variants = [f"| {upper}({self.joined(self.few(self.type_param, 2, 1))})" for upper in UPPERS]
        return self.documented(f"{head} {' '.join(variants)} | Last;")

    def fn(self) -> str:
        result = self.maybe(f" -> {self.type(2)}") + self.maybe(" where a: Data, b: Emit")
        if self.draw(st.booleans()):
            return self.documented(f"fn name{self.params(2)}{result} = {self.expr(3)};")
        return self.documented(f"extern fn name{self.params(2)}{result};")

    def let_decl(self) -> str:
        type_ = self.type(2)
        return self.documented(f"let {self.one('x', 'longer')}{self.maybe(f': {type_}')} = {self.expr(4)};")

    def member(self, depth: int) -> str:
        return f"{self.one('x', 'type', 'longer')}{self.maybe(': Int')} = {self.expr(depth)};"

    def set(self) -> str:
        parent = self.one("", " extends P", " extends m.P(x, y)")
        return self.documented(
            f"set S{self.maybe('(sys: System)')}{parent} {{ {' '.join(self.few(self.member, 3))} }}"
        )

    def test(self) -> str:
        return f'test "it works" = {self.expr(3)};'


@st.composite
def programs(draw: Draw) -> str:
    """A file of one to four declarations."""
    maker = Maker(draw)
    declared = [maker.declaration() for _ in range(draw(st.integers(1, 4)))]
    head = maker.one("", "## The file.\n\n", "# a note\n")
    return head + draw(st.sampled_from(("\n", "\n\n", "\n# between\n", "\n\n# apart\n\n\n"))).join(declared) + "\n"


# ---- shaken -------------------------------------------------------------------------------------


def shaken(draw: Draw, text: str, most: int) -> str:
    """The text with other blanks and more comments between its tokens, of the same meaning."""
    module, reports = parse_module("sample", text)
    if reports:
        raise AssertionError(reports[0].title, text)
    places = boundaries(text)
    chosen = draw(st.lists(st.tuples(st.sampled_from(places), st.integers(0, 7)), max_size=most)) if places else []
    for place, kind in sorted(set(chosen), reverse=True):
        changed = text[:place] + _blanks(kind, place) + text[place:]
        parsed, wrong = parse_module("sample", changed)
        if not wrong and same_module(module, parsed):
            text = changed
    return text


def boundaries(text: str) -> list[int]:
    """The offsets of all tokens but those inside strings, and where the declarations end."""
    places = []
    for chunk in parse_module("sample", text)[0].chunks:
        tokens = lex(text[chunk.start : chunk.end])
        inside = (KIND["STR_TEXT"], KIND["_STR_END"], KIND["_HOLE_BEGIN"])
        places += [
            chunk.start + start for kind, start in zip(tokens.kinds, tokens.starts, strict=True) if kind not in inside
        ]
    return places


def _blanks(kind: int, place: int) -> str:
    number = place % 97
    return (
        "  ", "\n  ", "\n\n\n      ", f" # c{number}\n  ", f"\n    # own {number}\n    ",
        f"\n\n  # blank before {number}\n\n  ", f" # one {number}\n  # two\n\n# three\n ", "    ",
    )[kind]  # fmt: skip


def comments(text: str) -> list[str]:
    """Every comment of a file, in order. Strings may look as if they held some: they do in both texts alike."""
    module, _ = parse_module("sample", text)
    found = []
    end = 0
    for chunk in module.chunks:
        found += _comments_of(text[end : chunk.start], True)
        tokens = lex(text[chunk.start : chunk.end])
        kept = [i for i, kind in enumerate(tokens.kinds) if kind != KIND["DOC"]]
        before = chunk.start
        for i in kept:
            found += _comments_of(text[before : chunk.start + tokens.starts[i]], before == chunk.start)
            before = chunk.start + tokens.ends[i]
        end = chunk.end
    return found + _comments_of(text[end:], True)


def _comments_of(text: str, first: bool) -> list[str]:
    found = gap(text, first)
    return [comment for comment in (found.trailing, *(own.text for own in found.comments)) if comment]
