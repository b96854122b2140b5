"""Properties: nothing raises, one report a declaration, places lie in the file, layout means nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from syntax_cases import FEEL, tree

from kiln.lang.report import CompileError, Report, render
from kiln.lang.syntax import ast, mistakes
from kiln.lang.syntax.lexer import lex
from kiln.lang.syntax.parser import decode_source, parse_chunk, parse_module
from kiln.lang.syntax.tokens import KEYWORDS, PUNCTUATION

WORDS = [
    *KEYWORDS, *PUNCTUATION, "pub", "_", "x", "f", "Foo", "1", "1.5", '"s"', '"', '"""', 'sh"', "%{", "}",
    "`p`", "## d\n",
    "\n", "\n  ", "\n}", "+", "-", "*", "%", "==", "<", "&&", "||", "++", "?:", "? =", "?", "'", "//", "$",
    "${x}", "\\", "# c\n", "é",
]  # fmt: skip
CHUNKS = [FEEL[chunk.start : chunk.end] for chunk in parse_module("a", FEEL)[0].chunks]


def check(text: str) -> None:
    module, reports = parse_module("a.kiln", text)
    assert len(module.chunks) + len(reports) <= text.count("\n") + 2
    for report in reports:
        check_report(report, text)


def check_report(report: Report, text: str) -> None:
    places = [place for place, _ in report.others]
    assert report.place is not None
    for place in (report.place, *places):
        assert 0 <= place.start <= place.end <= len(text)
    for color in (False, True):
        assert render(report, color).startswith("\x1b[1;31merror" if color else "error")


@given(st.text(max_size=200))
@settings(deadline=None)
def test_no_text_raises(text: str) -> None:
    check(text)


@given(st.text(alphabet='%{}"\\$ush\n adD810\r\t', max_size=80))
@settings(deadline=None)
def test_no_string_raises(text: str) -> None:
    check('let x = "' + text + '";\nlet y = sh"""' + text)


@given(st.integers(0, 0x120000), st.integers(0, 8))
@settings(deadline=None)
def test_each_escape_is_a_character_or_a_mistake(code: int, zeros: int) -> None:
    decl = parse_chunk(f'let x = "\\u{{{"0" * zeros}{code:x}}}";')
    good = 0 < code < 0xD800 or 0xE000 <= code <= 0x10FFFF
    if good:
        assert isinstance(decl, ast.LetDecl) and isinstance(decl.body, ast.Str)
        assert decl.body.parts == (chr(code),)
    else:
        assert isinstance(decl, mistakes.UnknownEscape)


@given(st.lists(st.sampled_from(WORDS), max_size=30), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_row_of_tokens_raises(words: list[str], spaced: bool) -> None:
    check((" " if spaced else "").join(words))


@given(
    st.sampled_from(["let x = ", "fn f(", "type T = ", "set S(a) { ", "import ", "let x = match a { "]),
    st.lists(st.sampled_from(WORDS), max_size=12),
)
@settings(max_examples=300, deadline=None)
def test_no_row_of_tokens_raises_inside_a_declaration(start: str, words: list[str]) -> None:
    check(start + " ".join(words))


@given(st.binary(max_size=100))
@settings(deadline=None)
def test_no_bytes_raise(data: bytes) -> None:
    try:
        text = decode_source("a.kiln", data)
    except CompileError as error:
        render(error.reports[0])
    else:
        check(text)


@given(st.sampled_from(CHUNKS), st.data())
@settings(max_examples=300, deadline=None)
def test_one_wrong_token_costs_one_declaration(chunk: str, data: st.DataObject) -> None:
    tokens = lex(chunk)
    index = data.draw(st.integers(0, len(tokens.kinds) - 2))
    word = data.draw(st.sampled_from(["", *WORDS]))
    keep = data.draw(st.booleans())
    start = tokens.starts[index]
    end = start if keep else tokens.ends[index]
    text = "let before = 1;\n" + chunk[:start] + word + chunk[end:] + "\nlet after = 2;\n"
    module, _ = parse_module("a.kiln", text)
    names = [getattr(c.decl, "name", None) for c in module.chunks]
    found = [name.text for name in names if name is not None]
    # a quote or a bracket too many can't reach over column 0
    assert found[-1] == "after"
    # without its first word (behind the documentation) it is an indented line of the declaration before
    assert found[0] == "before" or index <= 1
    check(text)


@given(st.sampled_from(CHUNKS), st.data())
@settings(deadline=None)
def test_layout_between_tokens_means_nothing(chunk: str, data: st.DataObject) -> None:
    tokens = lex(chunk)
    blanks = st.sampled_from([" ", "\n  ", "\t", "  # why\n ", "\r\n "])
    out = ""
    inside: list[bool] = []
    for index, (start, end) in enumerate(zip(tokens.starts, tokens.ends, strict=True)):
        name = tokens.name(index)
        if not (inside and inside[-1]) and out and name != "DOC":
            out += data.draw(blanks) if not out.endswith("\n") else " "
        out += chunk[start:end] + ("\n" if name == "DOC" else "")
        if name in ("STR_BEGIN", "_HOLE_END"):
            inside.append(True)
        if name in ("_STR_END", "_HOLE_BEGIN"):
            inside.append(False)
    one, two = parse_chunk(chunk), parse_chunk(out)
    assert tree(one) == tree(two)
