"""A session: one module that grows by what is typed.

A declaration takes the place of the one that had its name before, so that what uses it sees the new one; one that
does not check is not taken. Nothing is computed until an expression asks for it.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from kiln.interpreter.evaluate.evaluator import Evaluator, Verdict
from kiln.interpreter.evaluate.host import Host
from kiln.interpreter.expression import Around, Expression, Typed
from kiln.interpreter.modules import Loader
from kiln.interpreter.remote import Opener
from kiln.lang.core import CoreModule
from kiln.lang.syntax import ast, chunks
from kiln.lang.syntax.parser import parse_chunk

SHOWN = "session"
"""What messages call the session's module."""


class _Entry(NamedTuple):
    """A declaration, and the names that it gives: `value x`, `type T`."""

    names: frozenset[str]
    text: str


class Taken(NamedTuple):
    """A declaration that the session has taken: what it is, in a line; for a test, what it came to."""

    line: str
    verdict: Verdict | None = None


class Session:
    """Relative imports and paths start from `folder`, or from the folder of the file that was loaded last."""

    def __init__(self, folder: str, host: Host, trees: Opener | None = None) -> None:
        self._folder = os.path.abspath(folder)
        self._host = host
        self._trees = trees
        self._entries: list[_Entry] = []

    @property
    def text(self) -> str:
        """The session's module as it is now."""
        return "".join([f"{entry.text}\n\n" for entry in self._entries])

    @property
    def names(self) -> list[str]:
        """The names that were declared, sorted."""
        return sorted({name.partition(" ")[2] for entry in self._entries for name in entry.names})

    def expression(self, text: str) -> Expression:
        """An expression among what was declared. Raises CompileError."""
        return Expression.check(text, self.text, self._around)

    def declare(self, text: str) -> Taken:
        """Take a declaration. Raises CompileError, and then nothing has changed."""
        found = parse_chunk(text)
        names = _names(found) if isinstance(found, ast.Decl) else frozenset()
        kept = [entry for entry in self._entries if not entry.names & names]
        typed = Typed("".join([f"{entry.text}\n\n" for entry in kept]), text)
        program = typed.load(self._around)
        core = program.modules[program.root]
        if isinstance(found, ast.TestDecl):
            *_, verdict = Evaluator(program, self._host).run_tests(program.root)
            report = verdict.report and typed.relocated(verdict.report)
            return Taken(found.title, verdict._replace(report=report))
        self._entries = [*kept, _Entry(names, text)]
        return Taken(_line(found, core) if isinstance(found, ast.Decl) else "")

    def load(self, path: str) -> int:
        """Begin anew with the declarations of a file; how many. Raises CompileError, and then nothing has changed."""
        program = Loader(trees=self._trees).load(path)
        text = program.modules[program.root].text
        parts = [text[part.start : part.end] for part in chunks.split(text)[1]]
        entries = [(parse_chunk(part), part) for part in parts]
        self._entries = [_Entry(_names(found), part) for found, part in entries if isinstance(found, ast.Decl)]
        self._folder = os.path.dirname(os.path.abspath(path))
        return len(self._entries)

    @property
    def _around(self) -> Around:
        return Around(os.path.join(self._folder, f"<{SHOWN}>"), SHOWN, self._host, self._trees)


def _names(decl: ast.Decl) -> frozenset[str]:
    match decl:
        case ast.Import():
            aliases = [decl.alias] if decl.alias is not None else [item.alias for item in decl.names]
            return frozenset([f"{_space(alias.text)} {alias.text}" for alias in aliases])
        case ast.TypeDecl():
            return frozenset([f"type {decl.name.text}"])
        case ast.SetDecl():
            return frozenset([f"type {decl.name.text}", f"value {decl.name.text}"])
        case ast.FnDecl() | ast.LetDecl():
            return frozenset([f"value {decl.name.text}"])
        case ast.TestDecl():
            return frozenset()


def _space(name: str) -> str:
    return "type" if name[0].isupper() else "value"


def _line(decl: ast.Decl, core: CoreModule) -> str:
    match decl:
        case ast.FnDecl() | ast.LetDecl() | ast.SetDecl():
            return f"{decl.name.text}: {core.types[decl.name.text]}"
        case ast.TypeDecl():
            return f"type {decl.name.text}"
        case ast.Import():
            return f'import "{decl.source}"'
        case ast.TestDecl():
            return decl.title
