"""A mistake on its way out of a declaration.

`Failure` carries one mistake, with its place in the declaration, up to the loop over declarations, which makes it a
report: the first mistake ends a declaration. On the way each construct that asked for the faulty part adds what it
was asked for (`contexts`, innermost first), so that a message can say "argument `zlib` of `curl`".
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeAlias

from kiln.lang.check.infos import Site
from kiln.lang.check.show import Printer
from kiln.lang.syntax import ast


class Message(NamedTuple):
    """A mistake in words. `label` stands beside the carets; `others` are further places."""

    code: str
    title: str
    label: str = ""
    notes: tuple[str, ...] = ()
    others: tuple[tuple[Site, str], ...] = ()
    help: str | None = None


class InArgument(NamedTuple):
    """`callee` is how the text calls it; the argument has a label, or a place that counts from 1."""

    callee: str
    label: str | None
    place: int
    site: Site | None


class InField(NamedTuple):
    label: str
    owner: str | None
    site: Site | None


class InEdit(NamedTuple):
    path: str
    site: Site | None


class InOverride(NamedTuple):
    """`member` of a set, in an overlay."""

    member: str


class InResult(NamedTuple):
    """The body of a declared function."""

    name: str


class InBinding(NamedTuple):
    """The value of a top-level `let`, or of a set's member."""

    name: str


class InFunction(NamedTuple):
    """The body of a function literal."""


class InPart(NamedTuple):
    """A part whose wanted type hangs on the construct around it: `what` is the subject of a sentence."""

    what: str


class InDefault(NamedTuple):
    name: str


class InAnnotation(NamedTuple):
    """`(e: T)`, or a local `let` with a type."""


Context: TypeAlias = (
    InArgument | InField | InEdit | InOverride | InResult | InBinding | InFunction | InPart | InDefault | InAnnotation
)  # fmt: skip


class Mistake(Protocol):
    def message(self, p: Printer, contexts: tuple[Context, ...]) -> Message: ...


class Failure(Exception):
    """`start` and `end` are relative to the declaration."""

    def __init__(self, mistake: Mistake, start: int, end: int) -> None:
        super().__init__(mistake)
        self.mistake = mistake
        self.start = start
        self.end = end
        self.contexts: list[Context] = []

    def within(self, context: Context) -> Failure:
        self.contexts.append(context)
        return self


class Poisoned(Exception):
    """The declaration uses one that has a mistake of its own, already told: nothing more is to be said."""


class Spanned(Protocol):
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


def giver(node: Spanned) -> Spanned:
    """What gave the value of `node`: of a pipe its last stage."""
    return node.right if isinstance(node, ast.Pipe) else node


def failure(mistake: Mistake, node: Spanned) -> Failure:
    blamed = giver(node)
    return Failure(mistake, blamed.start, blamed.end)


_ELSEWHERE = {
    "string": "Str", "integer": "Int", "number": "Int", "boolean": "Bool", "array": "List", "set": "List",
    "dict": "Map", "attrs": "Map", "object": "Map", "maybe": "Option", "optional": "Option", "nothing": "None",
    "null": "None", "nil": "None", "just": "Some", "derivation": "Drv", "package": "Pkg", "file": "File",
    "directory": "Tree", "len": "length", "tostring": "to_str", "str": "to_str",
    "int": "to_int", "parseint": "to_int", "reduce": "fold", "foldl": "fold", "foldl'": "fold", "foldr": "fold",
    "throw": "fail", "abort": "fail", "error": "fail", "raise": "fail", "panic": "fail", "strip": "trim",
    "tolower": "lower", "toupper": "upper", "elem": "includes", "concatmap": "concat", "fetchurl": "fetch_file",
    "mkderivation": "derive", "genrule": "derive", "attrnames": "keys", "attrvalues": "values", "hasattr": "map_has",
    "unlines": "join", "concatstringssep": "join", "splitstring": "split", "replacestrings": "replace",
}  # fmt: skip
"""What other languages call it."""
_SAID_OTHERWISE = {
    "True": "`true` and `false` are written small",
    "False": "`true` and `false` are written small",
    "print": "nothing is printed while a build file is evaluated; `kiln eval FILE#name` shows a value",
    "trace": "nothing is printed while a build file is evaluated; `kiln eval FILE#name` shows a value",
    "glob": 'files are taken by a source: source(`./src`, include = ["*.c"])',
    "select": "a choice is `match x { Some(y) => y, None => 0 }`, or `if c then a else b`",
    "getenv": "evaluation sees no environment: what differs is an argument or an option",
    "env": "evaluation sees no environment: what differs is an argument or an option",
    "self": "only members of a set see `self`: set Name() { a = 1; b = self.a; }",
    "this": "only members of a set see `self`: set Name() { a = 1; b = self.a; }",
    "lib": 'the library is imported by its modules: import "std/list" as list;',
    "builtins": "what is always there has no prefix: `length(xs)`, `to_str(n)`",
    "pkgs": 'packages are imported, `import "toolbox" as tb;`, or members of a set: `self.zlib`',
}
"""What Kiln has no name for, and what is there instead."""


def nearest(name: str, known: tuple[str, ...]) -> str | None:
    """The known name that the user may have meant."""
    from difflib import get_close_matches

    elsewhere = _ELSEWHERE.get(name.lower())
    if elsewhere is not None and elsewhere in known:
        return elsewhere

    found = get_close_matches(name, known, 1, 0.6)
    if found:
        return found[0]
    lowered = {k.lower(): k for k in known}
    return lowered.get(name.lower())


def did_you_mean(name: str, known: tuple[str, ...]) -> str | None:
    if name in _SAID_OTHERWISE:
        return _SAID_OTHERWISE[name]
    near = nearest(name, known)
    return None if near is None else f"did you mean `{near}`?"
