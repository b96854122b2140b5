"""A module as a page: what it exports, with its comments and its signatures as they are written.

# ---- looking -----…     a comment of this form begins a section of the page
test "x" = f(1) == 2;     an example of its section, if it names nothing private
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from kiln.interpreter.imports import PRELUDE
from kiln.interpreter.program import Program
from kiln.lang.check.infos import SetInfo
from kiln.lang.check.interface import Interface
from kiln.lang.check.show import Printer
from kiln.lang.check.types import type_id
from kiln.lang.check.uses import free_names
from kiln.lang.core import ModuleId
from kiln.lang.syntax import ast
from kiln.lang.syntax.lexer import lex
from kiln.lang.syntax.parser import parse_module
from kiln.lang.syntax.tokens import KIND

_SECTION = re.compile(r"^# -{2,} (.+?) -{2,}$", re.MULTILINE)
_OPENS = frozenset(KIND[sign] for sign in ("(", "[", "{", "_HOLE_BEGIN"))
_BEFORE = frozenset(KIND[word] for word in ("DOC", "PUB", "extern"))
_CLOSES = frozenset(KIND[sign] for sign in (")", "]", "}", "_HOLE_END"))


class Item(NamedTuple):
    """One thing that a module exports. `signature` is Kiln's syntax, without `pub`."""

    kind: Literal["type", "fn", "let", "set"]
    name: str
    signature: str
    doc: str | None
    members: tuple[Item, ...] = ()
    """Of a set: each a `let`."""


class Section(NamedTuple):
    """`title` is empty for what stands before the first heading."""

    title: str
    items: tuple[Item, ...]
    examples: tuple[str, ...]


class Names(NamedTuple):
    """How the types that a module's signatures name are found."""

    module: ModuleId
    types: Mapping[str, tuple[ModuleId, str]]
    """`Pair` and `list.Pair`: the module of each, and its name there."""
    modules: Mapping[str, ModuleId]
    """What an alias stands for."""


class Page(NamedTuple):
    module: ModuleId
    title: str
    doc: str | None
    sections: tuple[Section, ...]
    names: Names

    @property
    def items(self) -> tuple[Item, ...]:
        return tuple([item for section in self.sections for item in section.items])


def page_of(program: Program, module: ModuleId, title: str) -> Page:
    """The page of a checked module."""
    text = program.modules[module].text
    syntax, _ = parse_module(title, text)
    interface = program.interfaces[module]
    names = _names(program, module, syntax)
    headings = [(0, ""), *((match.start(), match[1]) for match in _SECTION.finditer(text))]
    ends = [*[start for start, _ in headings[1:]], len(text)]
    sections = [
        _section(heading, [chunk for chunk in syntax.chunks if start <= chunk.start < end], syntax, interface, names)
        for (start, heading), end in zip(headings, ends, strict=True)
    ]
    return Page(module, title, syntax.doc, tuple([part for part in sections if part.items]), names)


def _section(title: str, chunks: list[ast.Chunk], syntax: ast.Module, interface: Interface, names: Names) -> Section:
    items: list[Item] = []
    examples: list[str] = []
    for chunk in chunks:
        text = syntax.text[chunk.start : chunk.end]
        match chunk.decl:
            case ast.Import():
                pass
            case ast.TestDecl() as test:
                if not free_names(test.body, interface.private):
                    examples.append(_body(text))
            case decl if decl.pub:
                items.append(_item(decl, text, interface, names))
    return Section(title, tuple(items), tuple(examples))


# ---- signatures -----------------------------------------------------------------------------------


def _item(
    decl: ast.TypeDecl | ast.FnDecl | ast.LetDecl | ast.SetDecl, text: str, interface: Interface, names: Names
) -> Item:
    name = decl.name.text
    match decl:
        case ast.TypeDecl():
            return Item("type", name, _unindented(_head(text, whole=True)), decl.doc)
        case ast.FnDecl():
            return Item("fn", name, _head(text), decl.doc)
        case ast.LetDecl():
            return Item("let", name, _head(text), decl.doc)
        case ast.SetDecl():
            return Item("set", name, _head(text), decl.doc, _members(decl, interface, names))


def _head(text: str, *, whole: bool = False) -> str:
    """A declaration without its comment and `pub`, up to its body, or with it; never what stands behind it."""
    tokens = lex(text)
    kinds = tokens.kinds
    first = next(place for place, kind in enumerate(kinds) if kind not in _BEFORE)
    last = _semicolon(kinds) if whole else _body_of(kinds, first)
    return text[tokens.starts[first] : tokens.ends[last - 1]]


def _body_of(kinds: list[int], first: int) -> int:
    """The place of the token with which the body of the declaration at `first` begins, or which ends it."""
    begins = (KIND["{"],) if kinds[first] == KIND["set"] else (KIND["="], KIND[";"])
    depth = 0
    for place in range(first, len(kinds)):
        if depth == 0 and kinds[place] in begins:
            return place
        depth += (kinds[place] in _OPENS) - (kinds[place] in _CLOSES)
    return len(kinds) - 1


def _semicolon(kinds: list[int]) -> int:
    """The place of the token that ends a declaration."""
    return len(kinds) - 1 - kinds[::-1].index(KIND[";"])


def _unindented(text: str) -> str:
    """`type T = {` as it stands; a type on one line without the blanks that align it."""
    return text if "\n" in text else re.sub(r"\s+", " ", text)


def _members(decl: ast.SetDecl, interface: Interface, names: Names) -> tuple[Item, ...]:
    info = interface.infos[type_id(names.module, decl.name.text)]
    assert isinstance(info, SetInfo)
    aliases = {module: alias for alias, module in names.modules.items()}
    own = {type_id(module, name): alias for alias, (module, name) in names.types.items()}
    printer = Printer(names.module, aliases, own)
    return tuple([_member(member, printer.full(info.members[member.name.text].type)) for member in decl.members])


def _member(member: ast.Member, shown: str) -> Item:
    return Item("let", member.name.text, f"{member.name.text}: {shown}", member.doc)


def _body(text: str) -> str:
    """What stands between a test's `=` and its `;`, without the indentation of its lines behind the first."""
    tokens = lex(text)
    start = tokens.ends[tokens.kinds.index(KIND["="])]
    end = tokens.ends[_semicolon(tokens.kinds) - 1]
    first, *rest = text[start:end].strip().split("\n")
    margin = min((len(line) - len(line.lstrip()) for line in rest if line.strip()), default=0)
    return "\n".join([first, *("  " + line[margin:] for line in rest)])


# ---- names ----------------------------------------------------------------------------------------


def _names(program: Program, module: ModuleId, syntax: ast.Module) -> Names:
    types: dict[str, tuple[ModuleId, str]] = {}
    modules: dict[str, ModuleId] = {}
    if PRELUDE in program.interfaces:
        types.update({name: (PRELUDE, name) for name in program.interfaces[PRELUDE].types})
    for chunk in syntax.chunks:
        decl = chunk.decl
        if not isinstance(decl, ast.Import):
            continue
        target = program.links[module][decl.source]
        exported = program.interfaces[target].types
        if decl.alias is not None:
            modules[decl.alias.text] = target
            types.update({f"{decl.alias.text}.{name}": (target, name) for name in exported})
        types.update({n.alias.text: (target, n.name.text) for n in decl.names if n.name.text in exported})
    types.update({name: (module, name) for name in program.interfaces[module].types})
    return Names(module, types, modules)
