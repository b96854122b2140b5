"""A mistake on its way out of a declaration.

`Failure` carries one mistake, with its place in the declaration, up to the loop over declarations, which makes it a
report: the first mistake ends a declaration. On the way each construct that asked for the faulty part adds what it
was asked for (`contexts`, innermost first), so that a message can say "argument `zlib` of `curl`".
"""

from __future__ import annotations

from typing import NamedTuple, Protocol, TypeAlias

from kiln.lang.check.infos import Site
from kiln.lang.check.show import Printer


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


def failure(mistake: Mistake, node: Spanned) -> Failure:
    return Failure(mistake, node.start, node.end)


_ELSEWHERE = {
    "string": "Str", "integer": "Int", "number": "Int", "boolean": "Bool", "array": "List", "set": "List",
    "dict": "Map", "attrs": "Map", "object": "Map", "maybe": "Option", "optional": "Option", "nothing": "None",
    "null": "None", "nil": "None", "just": "Some", "derivation": "Drv", "package": "Pkg", "file": "File",
    "directory": "Tree", "len": "length", "print": "assert",
}  # fmt: skip
"""What other languages call it."""


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
    near = nearest(name, known)
    return None if near is None else f"did you mean `{near}`?"
