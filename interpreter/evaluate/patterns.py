"""Patterns as Python conditions.

`tests(pattern, subject)` gives conditions that hold where the pattern matches, to be joined by `and`, and the
bindings to make when they hold. A part that is looked at more than once is named within the condition:
`type(_3 := x._0) is _K1 and _3._0 == 2`. An or-pattern binds within its condition, where `(n := e) is n` is true.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, assert_never

from kiln.interpreter.evaluate.emit import integer, local
from kiln.interpreter.evaluate.values import attribute
from kiln.lang.core import (
    AnyPattern,
    BindPattern,
    ConPattern,
    CorePattern,
    EqualPattern,
    ListPattern,
    OrPattern,
    RecordPattern,
)


class Names(Protocol):
    def temp(self) -> str: ...
    def variant(self, con: str, arity: int) -> str: ...


class Matching(NamedTuple):
    tests: list[str]
    bindings: list[tuple[str, str]]
    """(Python local, expression): valid once all tests hold."""


def matching(pattern: CorePattern, subject: str, names: Names) -> Matching:
    """`subject` is a Python name or a short path from one."""
    found = Matching([], [])
    _walk(pattern, subject, names, found)
    return found


def _walk(pattern: CorePattern, subject: str, names: Names, out: Matching) -> None:
    match pattern:
        case AnyPattern():
            pass
        case BindPattern(name):
            out.bindings.append((local(name), subject))
        case EqualPattern(value):
            out.tests.append(f"{subject} == {_literal(value)}")
        case ConPattern(con, args):
            inner, shown = _named(subject, any(type(arg) is not AnyPattern for arg in args), names)
            out.tests.append(f"_type({shown}) is {names.variant(con, len(args))}")
            for place, arg in enumerate(args):
                _walk(arg, f"{inner}._{place}", names, out)
        case RecordPattern(fields):
            for label, part in fields:
                _walk(part, f"{subject}.{attribute(label)}", names, out)
        case ListPattern(items, rest):
            inner, shown = _named(subject, bool(items) or type(rest) is BindPattern, names)
            if rest is None:
                out.tests.append(f"_len({shown}) == {len(items)}")
            else:
                out.tests.append(f"_len({shown}) >= {len(items)}")
            for place, item in enumerate(items):
                _walk(item, f"{inner}[{place}]", names, out)
            if type(rest) is BindPattern:
                out.bindings.append((local(rest.name), f"{inner}[{len(items)}:]" if items else inner))
        case OrPattern(options):
            out.tests.append("(" + " or ".join(_option(option, subject, names) for option in options) + ")")
        case _:
            assert_never(pattern)


def _option(option: CorePattern, subject: str, names: Names) -> str:
    found = matching(option, subject, names)
    bound = [f"({name} := {value}) is {name}" for name, value in found.bindings]
    return "(" + (" and ".join([*found.tests, *bound]) or "True") + ")"


def _named(subject: str, again: bool, names: Names) -> tuple[str, str]:
    """(how to refer to the subject from now on, how to write it the first time)."""
    if not again or subject.isidentifier():
        return subject, subject
    name = names.temp()
    return name, f"({name} := {subject})"


def _literal(value: int | str | bool) -> str:
    return integer(value) if type(value) is int else repr(value)


def binders(pattern: CorePattern, found: Callable[[str], None]) -> None:
    """Calls `found` with every name that the pattern binds (those of an or-pattern once an option)."""
    match pattern:
        case BindPattern(name):
            found(name)
        case ConPattern(_, args):
            for arg in args:
                binders(arg, found)
        case RecordPattern(fields):
            for _, part in fields:
                binders(part, found)
        case ListPattern(items, rest):
            for item in items:
                binders(item, found)
            if type(rest) is BindPattern:
                found(rest.name)
        case OrPattern(options):
            for option in options:
                binders(option, found)
        case _:
            pass
