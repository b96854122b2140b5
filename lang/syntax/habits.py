"""Rules of diagnose.py for what people bring along from Nix, Bazel, Python, YAML, JavaScript and Rust.

Each rule knows one construct by the token that doesn't fit and those around it, and says how Kiln writes it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from kiln.lang.syntax import mistakes as m
from kiln.lang.syntax.situation import Situation
from kiln.lang.syntax.tokens import CLOSERS, OPENERS, OPERAND_ENDS

_PATH: Final = re.compile(r"\.{1,2}(?:/[\w.+-]*)+")
_ANGLED: Final = re.compile(r"<([\w/.-]+)>")
_DASHED: Final = re.compile(r"[A-Za-z_]\w*(?:-[A-Za-z_]\w*)+")
_TYPES: Final = {
    "list": "List", "int": "Int", "str": "Str", "string": "Str", "bool": "Bool", "boolean": "Bool", "dict": "Map",
    "map": "Map", "optional": "Option", "option": "Option", "path": "Path", "array": "List", "number": "Int",
    "String": "Str", "Array": "List", "Dict": "Map", "Optional": "Option", "Integer": "Int", "Boolean": "Bool",
}  # fmt: skip
_SIGNS: Final = {
    "<>": "two values differ if `a != b`",
    "=<": "the sign is `<=`",
    "/=": "two values differ if `a != b`",
    "**": "there are no powers: multiply, or write a function that does",
    "::": "what a module has stands behind a dot: `list.sum`",
    ":=": "a name is bound with `let name = e;`",
    "<-": "a name is bound with `let name = e;`",
    "--": "nothing counts down: write `x - 1`; a comment begins with `#`",
}
_FUNCTION: Final = "a function is `fn(x) => x + 1`, with as many parameters as you like"


def _foreign(start: int, end: int, found: str, instead: str) -> m.ForeignSyntax:
    return m.ForeignSyntax(start, end, found if len(found) <= 40 else found[:39] + "…", instead)


# ---- in front of all other rules ------------------------------------------------------------------


def escaped_quote(s: Situation) -> m.Mistake | None:
    r"""`sh"… \" …"`: in a shell script a backslash is the shell's, and the quote ends the string."""
    if s.before not in ("STRING", "_STR_END") or s.text[s.before_end - 2 : s.before_end] != '\\"':
        return None
    first = s.index - 1
    while s.tokens.name(first) not in ("STRING", "STR_BEGIN"):
        first -= 1
    touching = s.start == s.before_end or s.found in ("ERROR", "NAME", "STRING")
    if not touching or not s.text.startswith("sh", s.tokens.starts[first]):
        return None
    instead = 'in `sh` a backslash is the shell\'s: a script with quotes in it stands between `sh"""` and `"""`'
    return _foreign(s.before_end - 2, s.before_end, '\\"', instead)


def record_update(s: Situation) -> m.Mistake | None:
    """`a // { b = 2 }`"""
    if s.found != "ERROR" or s.before not in OPERAND_ENDS or not s.text.startswith("//", s.start):
        return None
    if not s.text[s.start + 2 :].lstrip(" \t\n").startswith("{"):
        return None
    instead = "a changed record is `r with { b = 2 }`; one with more fields is `{ ..r, b = 2 }`"
    return _foreign(s.start, s.start + 2, "//", instead)


# ---- what begins an expression --------------------------------------------------------------------


def bare_path(s: Situation) -> m.Mistake | None:
    found = _PATH.match(s.text, s.start) if s.found in (".", "..") and s.operand else None
    if found is None or "/" not in found[0]:
        return None
    return _foreign(s.start, found.end(), found[0], f"a path stands between backquotes: `{found[0]}`")


def angled_path(s: Situation) -> m.Mistake | None:
    found = _ANGLED.match(s.text, s.start) if s.found == "CMP" and s.operand else None
    if found is None:
        return None
    instead = f'a module is imported: `import "{found[1]}" as {_alias(found[1])};`, and kiln.lock says which it is'
    return _foreign(s.start, found.end(), found[0], instead)


def _alias(name: str) -> str:
    last = name.rstrip("/").rpartition("/")[2].removesuffix(".kiln")
    return re.sub(r"\W", "_", last).lower().lstrip("_0123456789") or "lib"


def import_expression(s: Situation) -> m.Mistake | None:
    if s.found != "import" or not s.operand:
        return None
    instead = 'an import is a declaration, in column 0: `import "./lib.kiln" as lib;`; its names are `lib.x`'
    return _foreign(s.start, s.end, "import", instead)


def with_scope(s: Situation) -> m.Mistake | None:
    if s.found != "with" or not s.operand:
        return None
    instead = 'names come from where they are: `pkgs.zlib`; `p with { version = "2" }` makes a changed package'
    return _foreign(s.start, s.end, "with", instead)


def recursive_record(s: Situation) -> m.Mistake | None:
    at = s.index - 1 if s.found == "{" else s.index
    if at < 0 or s.tokens.name(at) != "NAME" or s.spelling(at) != "rec" or s.spelling(at + 1) != "{":
        return None
    instead = "fields don't see each other: bind names with `let` before it, or declare a `set`, which has `self`"
    return _foreign(s.tokens.starts[at], s.tokens.ends[at], "rec", instead)


# ---- functions ------------------------------------------------------------------------------------


def bare_function(s: Situation) -> m.Mistake | None:
    """`(x) => e`, `x => e`, `() => e`, `x: e`, `{ a, b }: e`"""
    if s.found == "=>" and s.before in (")", "NAME") and s.item not in ("field", "list_item", "arm", "edit"):
        return None if s.accepts("=") or s.accepts("->") else _foreign(s.start, s.end, "=>", _FUNCTION)
    if s.found == ":" and s.before in ("NAME", "}") and (s.frame is None or s.frame.where == "parentheses"):
        return _colon_function(s)
    if s.found == "," and s.frame is not None and s.frame.where == "parentheses" and _arrow_behind(s, s.frame.token):
        return _foreign(s.tokens.starts[s.frame.token], s.end, "(…) =>", _FUNCTION)
    if s.found == ")" and s.before == "(" and s.behind == "=>":
        return _foreign(s.start - 1, s.tokens.ends[s.index + 1], "() =>", "a function without parameters is a value")
    return None


def _colon_function(s: Situation) -> m.Mistake | None:
    if not s.accepts("PLUS") or s.accepts("then") or s.accepts("else") or s.keyword in ("for", "in"):
        return None
    if s.behind == ":" and s.tokens.starts[s.index + 1] == s.end:
        return None
    instead = _FUNCTION if s.before == "NAME" else "a function names its parameters in parentheses: `fn(a, b) => a`"
    return _foreign(s.start, s.end, ":", instead)


def _arrow_behind(s: Situation, opener: int) -> bool:
    """Whether `=>` comes behind the pair of the bracket."""
    depth = 0
    for index in range(opener, len(s.tokens.kinds) - 1):
        kind = s.tokens.kinds[index]
        depth += (kind in OPENERS) - (kind in CLOSERS)
        if depth == 0:
            return s.tokens.name(index + 1) == "=>"
    return False


def function_body(s: Situation) -> m.Mistake | None:
    """`function(y) { y }`, `while (x) { … }`"""
    if s.found != "{" or s.before != ")" or s.frame is not None:
        return None
    first, depth = s.index - 1, 0
    while first > 0:
        depth += (s.tokens.kinds[first] in CLOSERS) - (s.tokens.kinds[first] in OPENERS)
        if depth == 0:
            break
        first -= 1
    if first == 0 or s.spelling(first - 1) not in ("function", "func", "lambda", "def"):
        return None
    return _foreign(s.tokens.starts[first - 1], s.tokens.ends[first - 1], s.spelling(first - 1), _FUNCTION)


def function_declaration(s: Situation) -> m.Mistake | None:
    """`fn f x = …`, `let f x = …`, `let f(x) = …`"""
    if s.before != "NAME" or s.index < 2 or s.tokens.name(s.index - 2) not in ("fn", "let"):
        return None
    name = s.spelling(s.index - 1)
    if s.found == "NAME" and s.tokens.name(s.index - 2) == "fn" and s.frame is None:
        shown = s.spelling(s.index)
        return _foreign(
            s.start, s.end, shown, f"parameters stand in parentheses: `fn {name}({shown}: Int) -> Int = …;`"
        )
    if s.found in ("NAME", "(") and s.accepts("=") and s.declaration == "let" and s.index < 4:
        at = s.index - 2
        instead = f"a function is declared by `fn {name}(x: Int) -> Int = x + 1;`"
        return _foreign(s.tokens.starts[at], s.tokens.ends[at], "let", instead)
    return None


def destructured(s: Situation) -> m.Mistake | None:
    """`let { a, b } = …` at the top level."""
    if s.found not in ("{", "[", "(") or s.before != "let" or s.frame is not None or s.declaration != "let":
        return None
    if s.index > 2 or s.accepts(s.found):
        return None
    instead = (
        "a declaration binds one name: `let r = e;`, and its parts are `r.a`; a local `let` takes a record apart"
    )
    return _foreign(s.start, s.end, s.found, instead)


def block(s: Situation) -> m.Mistake | None:
    """`{ let y = 1; y }`"""
    if s.found != "let" or s.before != "{" or s.item != "field":
        return None
    at = s.index - 1
    instead = "braces make a record, and no block: `let y = 1; y + 1` stands without them, or in parentheses"
    return _foreign(s.tokens.starts[at], s.tokens.ends[at], "{", instead)


def behind(s: Situation) -> m.Mistake | None:
    """`a if c else b`, `e where { … }`"""
    if s.new_line or s.before not in OPERAND_ENDS or not s.accepts("PLUS"):
        return None
    if s.found == "if" and s.item not in ("list_item", "arm") and not s.accepts("if"):
        return _foreign(s.start, s.end, "if", "a choice is `if c then a else b`")
    if s.found == "where" and s.behind == "{":
        return _foreign(s.start, s.end, "where", "names are bound before they are used: `let y = 1; y + 1`")
    return None


def union(s: Situation) -> m.Mistake | None:
    """`x: Int | Str`"""
    if s.found != "|" or s.before != "UNAME" or not _in_type(s):
        return None
    return _foreign(
        s.start, s.end, "|", "one of several types is a variant: `type T = | Number(n: Int) | Word(w: Str);`"
    )


def bracketed_type(s: Situation) -> m.Mistake | None:
    """`x: [Int]`"""
    if s.found != "[" or s.before not in (":", "->", "_QCOLON"):
        return None
    return _foreign(s.start, s.end, "[", "the type of a list is `List(Int)`, that of a map `Map(Int)`")


def conversion(s: Situation) -> m.Mistake | None:
    """`x as Int`"""
    if s.found != "as" or not s.accepts("PLUS"):
        return None
    instead = "a type is written in parentheses, `(x: Int)`, and converts nothing: `to_str(n)`, `to_int(text)` do"
    return _foreign(s.start, s.end, "as", instead)


# ---- signs ----------------------------------------------------------------------------------------


def two_signs(s: Situation) -> m.Mistake | None:
    """Two signs side by side that are one elsewhere; the second is what doesn't fit, or the first of `::`."""
    for at in (s.index - 1, s.index):
        if at < 0 or at + 1 >= len(s.tokens.kinds) or s.tokens.ends[at] != s.tokens.starts[at + 1]:
            continue
        pair = s.spelling(at) + s.spelling(at + 1)
        if pair in _SIGNS and len(pair) == 2:
            return _foreign(s.tokens.starts[at], s.tokens.ends[at + 1], pair, _SIGNS[pair])
    return None


def dot_join(s: Situation) -> m.Mistake | None:
    if s.before != "." or s.found not in ("STRING", "STR_BEGIN"):
        return None
    return _foreign(s.before_end - 1, s.before_end, ".", 'strings are joined by `++`, or by a hole: `"%{a}b"`')


def single_pipe(s: Situation) -> m.Mistake | None:
    if s.found != "|" or s.before not in OPERAND_ENDS or not s.accepts("PLUS"):
        return None
    return _foreign(s.start, s.end, "|", "a pipe is `|>`, as in `xs |> map(f)`; or is `||`")


def match_with(s: Situation) -> m.Mistake | None:
    if s.before != "with" or s.found not in ("|", "NAME", "UNAME", "INT", "STRING"):
        return None
    if not any(s.tokens.name(index) == "match" for index in range(s.index)):
        return None
    at = s.index - 1
    instead = "the arms of a match stand in braces: `match x { Some(y) => y, None => 0 }`"
    return _foreign(s.tokens.starts[at], s.tokens.ends[at], "with", instead)


def indexed(s: Situation) -> m.Mistake | None:
    """`xs[0]`, and `List[Int]` where a type stands."""
    if s.found == "[" and s.start == s.before_end and s.before in ("STRING", "_STR_END"):
        return _foreign(s.start, s.end, "[", 'a part of a string is `slice("abc", 0, to = 1)`')
    if s.found != "[" or s.start != s.before_end or s.before not in ("NAME", "UNAME", ")", "]"):
        return None
    if _in_type(s):
        return _type_arguments(s)
    if s.before == "UNAME":
        return None
    instead = 'an item of a list is `nth(xs, 0)`, a value of a map `map_get(m, "key")`: both are Options'
    return _foreign(s.start, s.end, "[", instead)


def angled_type(s: Situation) -> m.Mistake | None:
    if s.found != "CMP" or s.spelling(s.index) != "<" or s.before not in ("NAME", "UNAME") or not _in_type(s):
        return None
    return _type_arguments(s)


def _in_type(s: Situation) -> bool:
    """Whether the name in front of the token stands where a type does."""
    return s.index > 1 and s.tokens.name(s.index - 2) in (":", "->", "_QCOLON")


def _type_arguments(s: Situation) -> m.Mistake:
    name = s.spelling(s.index - 1)
    shown = _TYPES.get(name, name)
    example = "Map(Str)" if shown == "Map" else f"{shown}(Int)"
    return _foreign(s.start, s.end, s.spelling(s.index), f"a type's arguments stand in parentheses: `{example}`")


# ---- names ----------------------------------------------------------------------------------------


def dashed_name(s: Situation) -> m.Mistake | None:
    if s.found != "MINUS" or s.before not in ("NAME", "UNAME") or s.before_end != s.start:
        return None
    named = s.item in ("field", "edit", "arg", "param", "row_item", "import_name") and not s.accepts("PLUS")
    if not named and not s.accepts("=") and not (s.item == "field" and s.accepts(",")):
        return None
    start = s.tokens.starts[s.index - 1]
    found = _DASHED.match(s.text, start)
    if found is None:
        return None
    return _foreign(start, found.end(), found[0], f"a name has `_` and no `-`: `{found[0].replace('-', '_')}`")


def import_alias(s: Situation) -> m.Mistake | None:
    """`import "./lib";`"""
    if s.declaration != "import" or s.before != "STRING" or not s.accepts("as") or s.found != ";":
        return None
    name = s.spelling(s.index - 1)
    text = name[1:-1]
    if text.startswith("."):
        text = text.rstrip("/") + ("" if text.endswith(".kiln") else "/main.kiln" if text.endswith("/") else ".kiln")
    instead = f'an import has a name for what it brings: `import "{text}" as {_alias(text)};`'
    return _foreign(s.tokens.starts[s.index - 1], s.before_end, name, instead)


FIRST: Final[tuple[Callable[[Situation], m.Mistake | None], ...]] = (escaped_quote, record_update)
RULES: Final[tuple[Callable[[Situation], m.Mistake | None], ...]] = (
    bare_path,
    angled_path,
    import_expression,
    with_scope,
    recursive_record,
    two_signs,
    bare_function,
    function_body,
    function_declaration,
    destructured,
    block,
    behind,
    union,
    bracketed_type,
    conversion,
    dot_join,
    single_pipe,
    match_with,
    indexed,
    angled_type,
    dashed_name,
    import_alias,
)
