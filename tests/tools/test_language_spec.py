"""docs/spec/language.md: every example of it runs, and its grammar takes the build files that there are.

```kiln               checks; `let x = …;  # => value` and `# error: K0402 words` lines are evaluated, tests run
```kiln error=K0301   is refused with that code, when it is checked or else when its lets are evaluated
```kiln file=x.kiln   checks, and can be imported by the blocks behind it
"""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import NamedTuple

import lark
import pytest

from kiln.commands.explain import all_codes
from kiln.interpreter.derivation import SourceObject
from kiln.interpreter.evaluate import codes as run_codes
from kiln.interpreter.evaluate.evaluator import EvaluationError, Evaluator
from kiln.interpreter.evaluate.packages import Selection
from kiln.interpreter.modules import Loader
from kiln.interpreter.opening import LIBRARY
from kiln.lang import codes as names_codes
from kiln.lang.core import CoreLet
from kiln.lang.report import CompileError, render
from kiln.lang.syntax import codes as syntax_codes
from kiln.lang.syntax.chunks import split
from kiln.lang.syntax.lexer import lex
from kiln.lang.syntax.tokens import KEYWORDS, KINDS, OPERATORS, PUNCTUATION

SPEC = Path(__file__).parents[2] / "docs" / "spec" / "language.md"
EXAMPLES = SPEC.parents[2] / "examples"
_BLOCK = re.compile(r"^```(kiln|ebnf)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_WANTED = re.compile(r"(?m)^(?:pub )?let (\w+)(?:(?!^(?:pub )?let ).)*?# (=>|error:) ([^\n]*)$", re.DOTALL)


class Block(NamedTuple):
    line: int
    language: str
    words: dict[str, str]
    text: str


def blocks() -> list[Block]:
    text = SPEC.read_text("utf-8")
    return [
        Block(
            text.count("\n", 0, match.start()) + 1,
            match[1],
            dict(word.split("=", 1) for word in match[2].split()),  # type: ignore[misc]
            match[3],
        )
        for match in _BLOCK.finditer(text)
    ]


BLOCKS = blocks()
EXAMPLE_BLOCKS = [pytest.param(block, id=f"line-{block.line}") for block in BLOCKS if block.language == "kiln"]


class NoSources:
    def add_source(self, path: str, name: str, selection: Selection) -> SourceObject:
        raise AssertionError(path)

    def add_source_file(self, path: str, name: str) -> SourceObject:
        raise AssertionError(path)


def load(block: Block) -> Evaluator:
    files = {block.words["file"]: block.text for block in BLOCKS if "file" in block.words}
    texts = {f"/spec/{name}": text for name, text in files.items()} | {"/spec/example.kiln": block.text}
    return Evaluator(Loader(texts=texts).load("/spec/example.kiln", "example.kiln"), NoSources())


def codes(block: Block) -> list[str]:
    """Of every mistake: those of checking, or of evaluating each let."""
    try:
        program = load(block)
    except CompileError as error:
        return [report.code for report in error.reports]
    found: list[str] = []
    for name in lets(program):
        try:
            program.show(program.value(program.program.root, name))
        except EvaluationError as error:
            found.append(error.report.code)
    return found


def lets(program: Evaluator) -> list[str]:
    core = program.program.modules[program.program.root]
    return [decl.name for decl in core.decls if isinstance(decl, CoreLet)]


@pytest.mark.parametrize("block", EXAMPLE_BLOCKS)
def test_an_example(block: Block) -> None:
    if "error" in block.words:
        assert codes(block) == [block.words["error"]]
        return
    try:
        program = load(block)
    except CompileError as error:
        raise AssertionError("\n".join(map(render, error.reports))) from None
    root = program.program.root
    wanted = {name: (kind, text) for name, kind, text in _WANTED.findall(block.text)}
    for name in lets(program):
        kind, text = wanted.get(name, ("", ""))
        if kind == "error:":
            code, _, words = text.strip().partition(" ")
            with pytest.raises(EvaluationError) as caught:
                program.show(program.value(root, name))
            assert caught.value.report.code == code
            assert words in caught.value.report.title
        else:
            shown = program.show(program.value(root, name))
            assert not kind or (name, shown) == (name, text.strip())
            if program.program.modules[root].kinds.get(name) in ("drv", "out"):
                assert program.targets(program.value(root, name), name)
    assert all(verdict.passed for verdict in program.run_tests(root))


def test_examples_are_found() -> None:
    assert len(EXAMPLE_BLOCKS) > 45
    assert sum("error" in block.words for block in BLOCKS) > 25


def test_every_code_that_is_named_is_explained() -> None:
    named = set(re.findall(r"\bK0\d{3}\b", SPEC.read_text("utf-8")))
    assert named <= set(all_codes())


def test_each_code_of_the_language_is_listed_with_its_title() -> None:
    known = {code: text[0] for code, text in {**syntax_codes.CODES, **names_codes.CODES, **run_codes.CODES}.items()}
    assert dict(re.findall(r"(?m)^\| (K0\d{3}) \| (.+) \|$", SPEC.read_text("utf-8"))) == known


def test_each_name_of_the_prelude_is_listed() -> None:
    _, _, section = SPEC.read_text("utf-8").partition("## 12. The prelude")
    prelude = (Path(LIBRARY) / "prelude.kiln").read_text("utf-8")
    functions = set(re.findall(r"(?m)^pub (?:extern )?fn (\w+)", prelude))
    types = set(re.findall(r"(?m)^pub type (\w+)", prelude))
    listed = section.partition("```kiln")[0]
    assert functions == set(re.findall(r"`([a-z_]+)`", listed.partition("The types are")[0]))
    assert types <= set(re.findall(r"`([A-Z]\w*)`", listed))
    example = section.partition("```kiln")[2].partition("```")[0]
    shown = {name for name in functions if re.search(rf"\b{name}\(", example)}
    elsewhere = {"derive", "pkg", "fetch_file", "unpack", "write_file", "source", "source_file", "join_text", "map"}
    assert functions - shown == elsewhere | {"secret", "key", "subject", "attest", "provenance", "sbom", "verify"}


# ---- the grammar ----------------------------------------------------------------------------------

_TOKEN = re.compile(r'"([^"]+)"|([A-Z_]+)(?![a-z])|list\((\w+)\)|(\w+)|([|(){}\[\]=;])')
_NAMED = {"STR_END": "_STR_END"}
_SPELT = {"?:": "_QCOLON", "?=": "_OPTEQ", "%{": "_HOLE_BEGIN", "pub": "PUB"}


def grammar() -> str:
    (block,) = [block for block in BLOCKS if block.language == "ebnf"]
    return block.text


def terminal(name: str) -> str:
    """The character that stands for a kind of token."""
    return f'"\\u{0xE000 + KINDS.index(name):04x}"'


def to_lark(text: str) -> str:
    """The specification's notation as lark's, where each token is one character."""
    rules: list[str] = []
    for rule in re.split(r";\n", text):
        if not rule.strip():
            continue
        name, _, body = rule.partition("=")
        rules.append(f"{name.strip()}: {' '.join(_converted(body))}")
    return "\n".join(rules)


def _converted(body: str) -> list[str]:
    made: list[str] = []
    hole = False
    for literal, named, listed, rule, sign in _TOKEN.findall(body):
        if literal:
            kind = _kind(literal, hole)
            hole = literal == "%{" or (hole and literal != "}")
            made.append(terminal(kind))
        elif named:
            made.append(terminal(_NAMED.get(named, named)))
        elif listed:
            item = terminal(listed) if listed.isupper() else listed
            made.append(f"{item} ({terminal(',')} {item})* {terminal(',')}?")
        else:
            made.append({"{": "(", "}": ")*", "[": "(", "]": ")?", "": rule}.get(sign, sign))
    return made


def _kind(literal: str, hole: bool) -> str:
    if hole and literal == "}":
        return "_HOLE_END"
    if literal in OPERATORS:
        return KINDS[OPERATORS[literal]]
    return _SPELT.get(literal, literal)


@functools.cache
def recogniser() -> lark.Lark:
    return lark.Lark(to_lark(grammar()), parser="earley", start="declaration", ambiguity="resolve")


def taken(text: str) -> bool:
    """Whether the grammar takes a declaration's text."""
    tokens = lex(text)
    assert tokens.fault is None
    earley = recogniser()
    try:
        earley.parse("".join(chr(0xE000 + kind) for kind in tokens.kinds[:-1]))
    except lark.exceptions.LarkError:
        return False
    return True


def declarations() -> list[str]:
    """Those of the library, the examples and this specification, short ones first."""
    files = [Path(LIBRARY) / name for name in sorted(os.listdir(LIBRARY)) if name.endswith(".kiln")]
    texts = [path.read_text("utf-8") for path in [*files, *sorted(EXAMPLES.glob("*.kiln"))]]
    texts += [block.text for block in BLOCKS if block.language == "kiln" and "error" not in block.words]
    found = {text[part.start : part.end] for text in texts for part in split(text)[1]}
    return sorted(found, key=len)


def test_every_word_and_sign_is_in_the_grammar() -> None:
    literals = set(re.findall(r'"([^"]+)"', grammar()))
    assert {*KEYWORDS, "pub"} - literals == {"null"}, "null is reserved, so that a message can say what to write"
    assert {*PUNCTUATION, *OPERATORS} <= literals
    assert literals <= {*KEYWORDS, *PUNCTUATION, *OPERATORS, *_SPELT, "_"}


def test_the_grammar_takes_what_the_parser_takes() -> None:
    refused = [text for text in declarations() if len(lex(text).kinds) < 250 and not taken(text)]
    assert not refused, refused[0]


@pytest.mark.parametrize(
    "text",
    [
        "let x = 1",
        "let x = ;",
        "fn f(x = 1) = x;",
        "let X = 1;",
        "type t = Int;",
        "import \"std/c\";",
        "let x = if a then b;",
        "set s { a = 1; }",
        "let x = [1 for];",
        "let x = { a: 1 };",
        "let x = match y { A -> 1 };",
        "test x = true;",
    ],
)  # fmt: skip
def test_the_grammar_refuses_what_the_parser_refuses(text: str) -> None:
    assert not taken(text)
