"""Mutations of programs: by token, by name, by type, by argument, by line; and rows of tokens and bytes from nothing.

Each takes a `random.Random`, so that a seed says all.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Final

from kiln.lang.syntax.tokens import KEYWORDS, PUNCTUATION
from tests.soundness.corpus import declarations, small_programs

_TOKEN = re.compile(
    r'"""|"(?:[^"\\\n%]|\\.)*"|%\{|[A-Za-z_]\w*|\d+|`[^`\n]*`|[=!<>]=|=>|->|&&|\|\||\+\+|\|>|\?=|\?:|\.\.|\+='
    r"|#[^\n]*|[^\s\w]"
)
WORDS: Final = (
    *KEYWORDS, *PUNCTUATION, "pub", "_", "x", "f", "xs", "self", "super", "Foo", "Some", "None", "1", "0", "1.5",
    '"s"', '"', '"""', 'sh"', 'sh"""', "%{", "}", "`p`", "## d\n", "\n", "\n  ", "\n}", "+", "-", "*", "%", "==", "<",
    "&&", "||", "++", "?:", "?=", "?", "'", "//", "$", "${x}", "\\", "# c\n", "é", "Int", "Str", "Text", "Bool",
    "List(Int)", "Map(Str)", "Option(Int)", "Out(Tree)", "{}", "[]", "[=>]", "{ a = 1 }", "fn(x) => x", "..",
    "raw(x)", "raw(1)", 'raw("s")', "%{raw(",
    "map", "fold", "range(3)", "derive", "pkg", "Tree", "File", "Kinds(o)", "Outs(o)", "Pkg(r, o)",
)  # fmt: skip
TYPES: Final = (
    "Int", "Str", "Text", "Bool", "Path", "Secret", "List(Int)", "List(Text)", "Map(Str)", "Option(Int)", "Out(Tree)",
    "Out(File)", "Drv({ out: Tree })", "Kind(Tree)", "Kinds(o)", "Outs(o)", "a", "{ a: Int }", "{ a: Int, ..r }",
    "fn(Int) -> Int", "fn(x?: Str) -> a", "Pkg({ a: Int }, { out: Tree })", "Attestation(Int)", "{}",
    "Kinds({ out: Tree })",
)  # fmt: skip
_BYTES: Final = (
    "\x00",
    "\x7f",
    "\u202e",
    "\ud800",
    "\ufeff",
    "\r",
    "\t",
    "\U0001f600",
    "\u0301",
    "\\u{d800}",
    "9" * 5000,
)

Random = random.Random


def spans(text: str) -> list[tuple[int, int]]:
    """Where the tokens are, nearly: strings are taken whole only where they are plain."""
    return [found.span() for found in _TOKEN.finditer(text)]


def _replace(text: str, span: tuple[int, int], word: str) -> str:
    return text[: span[0]] + word + text[span[1] :]


def delete_token(text: str, rng: Random) -> str:
    found = spans(text)
    return _replace(text, rng.choice(found), "") if found else text


def duplicate_token(text: str, rng: Random) -> str:
    found = spans(text)
    if not found:
        return text
    start, end = rng.choice(found)
    return f"{text[:end]} {text[start:end]}{text[end:]}"


def swap_tokens(text: str, rng: Random) -> str:
    found = spans(text)
    if len(found) < 2:
        return text
    (a, b), (c, d) = sorted(rng.sample(found, 2))
    return text[:a] + text[c:d] + text[b:c] + text[a:b] + text[d:]


def insert_token(text: str, rng: Random) -> str:
    at = rng.choice(spans(text) or [(0, 0)])[0]
    return f"{text[:at]}{rng.choice(WORDS)} {text[at:]}"


def replace_token(text: str, rng: Random) -> str:
    found = spans(text)
    return _replace(text, rng.choice(found), rng.choice(WORDS)) if found else text


def _names(text: str) -> list[tuple[int, int]]:
    return [span for span in spans(text) if re.match(r"[A-Za-z_]", text[span[0] :])]


def rename(text: str, rng: Random) -> str:
    """One name where another stands, of the same program."""
    found = _names(text)
    if not found:
        return text
    start, end = rng.choice(found)
    other = rng.choice(found)
    return _replace(text, (start, end), text[slice(*other)])


def change_type(text: str, rng: Random) -> str:
    found = [span for span in _names(text) if text[span[0]].isupper()]
    return _replace(text, rng.choice(found), rng.choice(TYPES)) if found else text


def drop_argument(text: str, rng: Random) -> str:
    """What stands between a comma or bracket and the next comma or bracket."""
    found = [match.span(1) for match in re.finditer(r"[(\[{,]([^(){}\[\],;]*)(?=[)\]},])", text)]
    return _replace(text, rng.choice(found), "") if found else text


def add_argument(text: str, rng: Random) -> str:
    found = [match.end() for match in re.finditer(r"[(\[{,]", text)]
    if not found:
        return text
    at = rng.choice(found)
    return f"{text[:at]}{rng.choice(WORDS)}, {text[at:]}"


def move_piece(text: str, rng: Random) -> str:
    """A stretch of one program in the place of a stretch of it."""
    found = spans(text)
    if len(found) < 4:
        return text
    i, j = sorted(rng.sample(range(len(found)), 2))
    j = min(j, i + 12)
    k = rng.randrange(len(found))
    m = min(len(found) - 1, k + rng.randrange(4))
    return text[: found[k][0]] + text[found[i][0] : found[j][1]] + text[found[m][1] :]


def drop_line(text: str, rng: Random) -> str:
    lines = text.split("\n")
    del lines[rng.randrange(len(lines))]
    return "\n".join(lines)


def odd_character(text: str, rng: Random) -> str:
    at = rng.randrange(len(text) + 1)
    return text[:at] + rng.choice(_BYTES) + text[at:]


MUTATIONS: Final[tuple[Callable[[str, Random], str], ...]] = (
    delete_token, duplicate_token, swap_tokens, insert_token, replace_token, rename, rename, rename, rename,
    change_type, change_type, change_type, drop_argument, drop_argument, add_argument, move_piece, move_piece,
    drop_line, drop_line, odd_character,
)  # fmt: skip


def mutated(text: str, rng: Random) -> str:
    """One mutation more often than two; one alone is what a program survives best."""
    for _ in range(rng.choice((1, 1, 1, 1, 2, 3))):
        text = rng.choice(MUTATIONS)(text, rng)
    return text


# ---- inputs of the fuzzer -----------------------------------------------------------------------


def random_bytes(rng: Random) -> bytes:
    return rng.randbytes(rng.randrange(60))


def random_tokens(rng: Random) -> bytes:
    start = rng.choice(
        ("", "let x = ", "fn f(a) = ", "type T = ", "set S(a) { ", "import ", "let x = match a { ", 'let x = sh"')
    )
    words = [rng.choice(WORDS) for _ in range(rng.randrange(14))]
    return _encoded(start + rng.choice((" ", "")).join(words) + rng.choice(("", ";", ";\n")))


def mutated_declaration(rng: Random) -> bytes:
    known = declarations()
    text = rng.choice(known)
    if len(text) > 1200:
        text = text[: rng.randrange(1200)]
    return _encoded(mutated(text, rng))


def mutated_bytes(rng: Random) -> bytes:
    data = bytearray(rng.choice(declarations())[:600].encode())
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(3):
            case 0:
                data[at : at + rng.randrange(6)] = b""
            case 1:
                data[at:at] = rng.randbytes(rng.randrange(1, 4))
            case _:
                data[at : at + 1] = bytes([rng.randrange(256)])
    return bytes(data)


def mutated_program(rng: Random) -> bytes:
    return _encoded(mutated(rng.choice(small_programs()), rng))


def joined_declarations(rng: Random) -> bytes:
    known = declarations()
    parts = [rng.choice(known)[:800] for _ in range(rng.randint(2, 4))]
    parts[0] = mutated(parts[0], rng)
    return _encoded("\n".join(parts))


INPUTS: Final[tuple[Callable[[Random], bytes], ...]] = (
    random_bytes, random_tokens, random_tokens, mutated_bytes, mutated_declaration, mutated_declaration,
    mutated_declaration, mutated_program, mutated_program, mutated_program, mutated_program, joined_declarations,
)  # fmt: skip


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def an_input(seed: int, number: int) -> bytes:
    """The input of this number in the row of this seed."""
    rng = random.Random(f"{seed}/{number}")
    return rng.choice(INPUTS)(rng)
