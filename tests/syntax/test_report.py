"""How a report is laid out: carets under the right columns, nothing from outside obeyed by a terminal."""

from __future__ import annotations

import re

import pytest

from kiln.lang import source
from kiln.lang.report import CompileError, Place, Report, render


def at(text: str, wanted: str, path: str = "a.kiln") -> Place:
    start = text.index(wanted)
    return Place(path, text, start, start + len(wanted))


def test_the_layout() -> None:
    text = "let a = 1;\nlet b =\n  super.curl with { deps.tls = self.out };\n"
    report = Report(
        "K0301", "the override of `curl` is wrong", at(text, "self.out"), "this is Out(Tree)",
        notes=("`deps.tls` is declared cc.Lib", "two\nlines"), help="drop `.out`\nand go on",
    )  # fmt: skip
    assert render(report) == (
        "error[K0301]: the override of `curl` is wrong\n"
        "  --> a.kiln:3:32\n"
        "3|   super.curl with { deps.tls = self.out },\n".replace(",", ";")
        + "                                  ^^^^^^^^ this is Out(Tree)\n"
        "  `deps.tls` is declared cc.Lib\n"
        "  two\n"
        "  lines\n"
        "help: drop `.out`\n"
        "      and go on"
    )


def test_a_report_without_a_place() -> None:
    assert (
        render(Report("K0900", "no such file", None, help="make it")) == "error[K0900]: no such file\nhelp: make it"
    )


def test_more_places_of_one_file_stand_in_its_order() -> None:
    text = "let a = f(\n  1,\n  2,\n  3;\n"
    report = Report("K1", "t", at(text, "("), "opened", others=((at(text, ";"), "wanted `)`"),))
    assert render(report).split("\n")[2:] == [
        "1| let a = f(",
        "            ^ opened",
        " …",
        "4|   3;",
        "      - wanted `)`",
    ]


def test_two_places_on_one_line_share_it() -> None:
    text = "let a = b;"
    report = Report("K1", "t", at(text, "b"), "main", others=((at(text, "a"), "other"),))
    assert render(report).split("\n")[2:] == ["1| let a = b;", "       - other", "           ^ main"]


def test_a_place_in_another_file_has_its_own_arrow() -> None:
    one, two = "let a = b;", "\nlet b = 1;"
    report = Report("K1", "t", at(one, "b"), others=((at(two, "b", "lib.kiln"), "declared here"),))
    assert render(report).split("\n")[4:] == ["  --> lib.kiln:2:5", "2| let b = 1;", "       - declared here"]


def test_a_place_of_several_lines_shows_the_first_and_the_last() -> None:
    text = "let a = match b {\n  C => 1,\n  D => 2,\n};\n"
    report = Report("K1", "t", at(text, text[8:-2]), "not all cases")
    assert render(report).split("\n")[2:] == [
        "1| let a = match b {",
        "           ^^^^^^^^^",
        " …",
        "4| };",
        "   ^ not all cases",
    ]


@pytest.mark.parametrize(
    ("line", "wanted", "column", "indent"),
    [
        ("\tlet a = b;", "b", 10, 12),
        ("ab\tb = c;", "c", 8, 8),
        ("# é è b", "b", 7, 6),
        ("# 漢字 b", "b", 6, 7),
        ("# e\u0301 b", "b", 6, 4),
        ("# \u202e b", "b", 5, 11),
    ],
)
def test_carets_stand_under_what_they_mean(line: str, wanted: str, column: int, indent: int) -> None:
    place = Place("a.kiln", line, line.rindex(wanted), line.rindex(wanted) + 1)
    head, shown, carets = render(Report("K1", "t", place)).split("\n")[1:]
    assert head.endswith(f":1:{column}")
    assert carets == " " * (3 + indent) + "^"
    assert source.width(shown[3 : shown.rindex(wanted)]) == indent


def test_a_long_line_is_cut_around_the_place() -> None:
    line = "x" * 500 + "HERE" + "y" * 500
    shown, carets = render(Report("K1", "t", at(line, "HERE"))).split("\n")[2:]
    assert len(shown) < 140
    assert shown[carets.index("^") :].startswith("HERE")
    assert shown.startswith("1| …x") and shown.endswith("y…")


@pytest.mark.parametrize(
    "evil", ["\x1b[2J", "\x1b]0;x\x07", "\r", "\x08", "\x9b31m", "\u202e", "\u2066", "\u2028", "\ud800", "\0"]
)
def test_nothing_from_outside_is_obeyed(evil: str) -> None:
    text = f"let a = b; # {evil}"
    place = Place(f"{evil}.kiln", text, 8, 9)
    report = Report(f"K{evil}", evil, place, evil, (evil,), ((place, evil),), evil)
    for color in (False, True):
        shown = re.sub(r"\x1b\[(?:0|36|1|1;3[14])m", "", render(report, color)) if color else render(report)
        assert evil not in shown
        assert not any(source.is_unsafe(char) for char in shown.replace("\n", ""))


def test_colours_only_wrap_what_is_shown() -> None:
    text = "let a = b;"
    report = Report("K1", "t", at(text, "b"), "l", ("n",), ((at(text, "a"), "o"),), "h")
    assert "\x1b" not in render(report)
    assert re.sub(r"\x1b\[[0-9;]*m", "", render(report, color=True)) == render(report)


def test_a_place_at_the_end_of_the_file() -> None:
    text = "let a ="
    assert render(Report("K1", "t", Place("a", text, 7, 7))).split("\n")[1:] == [
        "  --> a:1:8",
        "1| let a =",
        "          ^",
    ]
    text = "let a =\n"
    assert render(Report("K1", "t", Place("a", text, 8, 8))).split("\n")[1:] == ["  --> a:2:1", "2|", "   ^"]


def test_positions_count_code_points_from_one() -> None:
    text = "ab\né漢c\r\nd"
    assert [source.position(text, offset) for offset in (0, 2, 3, 5, 8, 99)] == [
        (1, 1),
        (1, 3),
        (2, 1),
        (2, 3),
        (3, 1),
        (3, 2),
    ]
    assert source.line_at(text, 4).text == "é漢c"


def test_compile_errors_carry_their_reports() -> None:
    report = Report("K0101", "bad", None)
    error = CompileError([report])
    assert error.reports == (report,)
    assert "K0101: bad" in str(error)
