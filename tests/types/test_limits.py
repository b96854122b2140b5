"""Length has no limit, depth has one, and it ends in a message."""

from __future__ import annotations

import gc
import sys

import pytest

from kiln.lang.check.uses import MAX_DEPTH
from kiln.lang.report import Report
from tests.types.sources import check_text, modules

LONG = 4000


def codes(text: str) -> list[str]:
    _, reports = check_text(text, modules())
    return [report.code for report in reports]


LONG_PROGRAMS = {
    "an addition": "let x = 0" + "".join(f" + {i}" for i in range(LONG)) + ";",
    "a joined string": 'let x = ""' + "".join(f' ++ "{i}"' for i in range(LONG)) + ";",
    "conditions": "let x = true" + " && true" * LONG + ";",
    "lets": "fn f(x: Int) -> Int =" + "".join(f"\n  let x = x + {i};" for i in range(LONG)) + "\n  x;",
    "asserts": "fn f(x: Int) -> Int =" + '\n  assert x > 0 else "no";' * LONG + "\n  x;",
    "else if": "fn f(x: Int) -> Int =" + "".join(f"\n  if x == {i} then {i} else" for i in range(LONG)) + "\n  0;",
    "arms": "fn f(s: Str) -> Int = match s {" + "".join(f'\n  "{i}" => {i},' for i in range(LONG)) + "\n  _ => 0 };",
    "items that need the next": "".join(f"let d{i} = d{i + 1} + 1;\n" for i in range(LONG)) + f"let d{LONG} = 0;",
    "members that need the next": "set S() {\n"
    + "".join(f"  m{i} = self.m{i + 1} + 1;\n" for i in range(LONG))
    + f"  m{LONG} = 0;\n}}",
    "sets that extend each other": "set S0() { m0 = 0; }\n"
    + "".join(f"set S{i}() extends S{i - 1}() {{ m{i} = self.m{i - 1} + 1; }}\n" for i in range(1, 200)),
    "aliases of aliases": "pub type T0 = Int;\n" + "".join(f"pub type T{i} = T{i - 1};\n" for i in range(1, LONG)),
    "functions that need each other": "".join(
        f"fn f{i}(x) = if x == 0 then 0 else f{(i + 1) % LONG}(x - 1);\n" for i in range(LONG)
    ),
    "fields": "let x = { " + ", ".join(f"a{i} = {i}" for i in range(LONG)) + " };",
}


@pytest.mark.parametrize("program", LONG_PROGRAMS)
def test_length_has_no_limit(program: str) -> None:
    assert codes(LONG_PROGRAMS[program]) == []


def nested(opening: str, inner: str, closing: str, levels: int) -> str:
    return opening * levels + inner + closing * levels


DEEP_PROGRAMS = {
    "lists": lambda n: f"let x = {nested('[', '1', ']', n)};",
    "records": lambda n: f"let x = {nested('{ a = ', '1', ' }', n)};",
    "calls": lambda n: f"fn f(x: Int) -> Int = x;\nlet x = {nested('f(', '1', ')', n)};",
    "functions": lambda n: f"let x: Int = ({nested('fn(x: Int) => ', '1', '', n)})(1);",
    "conditions": lambda n: f"let x = {nested('if true then ', '1', ' else 2', n)};",
    "matches": lambda n: f"let x = {nested('match 1 { _ => ', '1', ' }', n)};",
    "not": lambda n: f"let x = {nested('!', 'true', '', n)};",
    "strings": lambda n: "let x = " + nested('"%{', '"a"', '}"', n) + ";",
    "pipes": lambda n: "fn f(x: Int) -> Int = x;\nlet x = 1" + " |> f" * n + ";",
    "a sum to the right": lambda n: f"let x = {nested('1 + (', '1', ')', n)};",
    "patterns": lambda n: f"fn f(x) = match x {{ {nested('Some(', '_', ')', n)} => 1, _ => 2 }};",
    "types": lambda n: f"fn f(x: {nested('List(', 'Int', ')', n)}) -> Int = 1;",
}


@pytest.mark.parametrize("program", DEEP_PROGRAMS)
def test_depth_has_a_limit_with_a_message(program: str) -> None:
    make = DEEP_PROGRAMS[program]
    deep = make(MAX_DEPTH * 4)
    _, reports = check_text(deep + "\nlet y: Str = 1;", modules())
    assert [report.code for report in reports] == ["K0390", "K0301"]
    assert_points_inside(reports[0], deep)
    for levels in (MAX_DEPTH // 4, MAX_DEPTH - 3, MAX_DEPTH, MAX_DEPTH + 3):
        assert set(codes(make(levels))) <= {"K0390", "K0301"}
    assert "K0390" not in codes(make(MAX_DEPTH // 4))


def assert_points_inside(report: Report, text: str) -> None:
    assert report.place is not None
    assert 0 <= report.place.start < report.place.end <= len(text)


GROWING = {
    "deeper": (20_000, "let d{i} = [d{j}];\n", "[1]"),
    "deeper, in a function": (2_000, "fn d{i}(x) = [d{j}(x)];\n", None),
    "twice as large": (60, "let d{i} = {{ a = d{j}, b = d{j} }};\n", "1"),
}


@pytest.mark.parametrize("way", GROWING)
def test_a_type_that_grows_with_each_declaration_ends_in_a_message(way: str) -> None:
    count, line, first = GROWING[way]
    start = "fn d0(x) = [x];\n" if first is None else f"let d0 = {first};\n"
    text = start + "".join(line.format(i=i, j=i - 1) for i in range(1, count))
    assert codes(text) == ["K0390"]


def test_a_growing_member_of_a_set_ends_in_a_message() -> None:
    text = "set S() {\n  d0 = 1;\n" + "".join(
        f"  d{i} = {{ a = self.d{i - 1}, b = self.d{i - 1} }};\n" for i in range(1, 60)
    )
    assert codes(text + "}") == ["K0390"]


def test_a_large_type_is_printed_short() -> None:
    text = "let d0 = { a = 1 };\n" + "".join(f"let d{i} = {{ a = d{i - 1}, b = d{i - 1} }};\n" for i in range(1, 12))
    _, reports = check_text(text + "let wrong: Str = d11;", modules())
    assert [report.code for report in reports] == ["K0301"]
    assert len(reports[0].label) < 500


def test_the_interpreter_is_left_as_it_was() -> None:
    before = sys.getrecursionlimit(), gc.isenabled()
    for text in ("let x = 1;", DEEP_PROGRAMS["lists"](MAX_DEPTH * 4), "let x = y;"):
        codes(text)
        assert (sys.getrecursionlimit(), gc.isenabled()) == before
